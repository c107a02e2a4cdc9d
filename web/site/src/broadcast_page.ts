// What the watch page and the embed page share: the broadcast in the address, and its player.
//
// In → Out: the page's address → a playing element, and `window.nearcast` for tests and the curious.
// Spec: design contract "Paths".

import type { NearcastPlayerElement } from '../../player/src/element.ts';
import type { Stats } from '../../player/src/player.ts';

declare global {
  interface Window {
    /** Figures of the page's player. */
    nearcast?: { element: NearcastPlayerElement; stats: () => Stats | null; pageOpenToFrameMs: () => number | null };
  }
}

/** The broadcast that the address `/b/{id}` or `/b/{id}/embed` names, as written there. */
export function broadcastInPath(path: string): string | null {
  return /^\/b\/([^/]+)(?:\/embed)?\/?$/.exec(path)?.[1] ?? null;
}

/** Starts the page's player; null when the address names no broadcast. */
export function startPlayer(): { id: string; element: NearcastPlayerElement } | null {
  const segment = broadcastInPath(location.pathname);
  const element = document.querySelector('nearcast-player');
  if (segment === null || !element) return null;
  window.nearcast = {
    element,
    stats: () => element.stats(),
    pageOpenToFrameMs: () => performance.getEntriesByName('nearcast:first-frame')[0]?.startTime ?? null,
  };
  element.setAttribute('poster', `/live/${segment}/thumb.jpg`);
  element.setAttribute('src', `/live/${segment}/index.m3u8`);
  return { id: decode(segment), element };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
