// The embed page: the bare player, for iframes of other sites.
//
// In → Out: `/b/{id}/embed` → a player that fills the frame.
// Spec: design contract "Paths".

import '../../player/src/element.ts';
import { startPlayer } from './broadcast_page.ts';

const page = startPlayer();
if (page) document.title = `${page.id} · Nearcast`;
