// The watch page: the player, and around it what the server knows of the broadcast.
//
// In → Out: `/b/{id}` → picture first; then title, viewers, and plain words for every state without a picture.
// The player finds the picture by itself; the API is asked only for words, twice as often while nothing plays.
// Spec: design contract "Paths"; `/api/v1/openapi.json`, "broadcasts".

import '../../player/src/element.ts';
import { startAmbient } from './ambient.ts';
import { findBroadcast, type Lookup, repeat } from './api.ts';
import { startPlayer } from './broadcast_page.ts';
import { age, explain, watching } from './words.ts';

const CALM_MS = 5_000;
const EAGER_MS = 2_000;

function start(): void {
  const page = startPlayer();
  const heading = document.querySelector('h1');
  const facts = document.querySelector('.facts');
  const elsewhere = document.querySelector<HTMLElement>('.elsewhere');
  if (!page || !heading || !facts || !elsewhere) return;
  const { id, element } = page;
  heading.textContent = id;
  document.title = `${id} · Nearcast`;

  let lookup: Lookup = { kind: 'no-answer' };
  const show = (): void => {
    const status = element.player?.status ?? 'connecting';
    const words = explain(status, lookup, id);
    if (words === null) element.removeAttribute('message');
    else element.setAttribute('message', words);
    elsewhere.hidden = !['ended', 'offline', 'failed'].includes(status);
    if (lookup.kind !== 'found') return;
    const { title, since, viewers, state } = lookup.broadcast;
    heading.textContent = title;
    document.title = `${title} · Nearcast`;
    const began = state === 'live' ? age(since, Date.now()) : null;
    const started = began === null ? null : began === 'just now' ? 'started just now' : `live for ${began}`;
    facts.textContent = [state === 'live' ? watching(viewers) : null, started].filter(Boolean).join(' · ');
  };
  // Nothing may compete with the first picture.
  element.addEventListener('firstframe', () => startAmbient(element.video), { once: true });
  const askAgain = repeat(async () => {
    // The first picture comes before any words about it.
    if (element.stats()?.join.firstFrameMs === null) await new Promise((resolve) => setTimeout(resolve, 300));
    lookup = await findBroadcast(id);
    show();
    return element.player?.status === 'playing' ? CALM_MS : EAGER_MS;
  });
  element.addEventListener('status', () => {
    show();
    if (element.player?.status !== 'connecting') askAgain();
  });
}

start();
