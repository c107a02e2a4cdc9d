// Numbers, moments and states in plain words.
//
// In → Out: counts, moments, what the player and the server say → short English.
// Spec: none.

import type { Status } from '../../player/src/player.ts';
import type { Lookup } from './api.ts';

/** "just now", "5 min", "2 h 10 min", "3 days": how long ago `since` (RFC 3339) was. */
export function age(since: string | null, nowMs: number): string | null {
  const began = since === null ? Number.NaN : Date.parse(since);
  if (Number.isNaN(began)) return null;
  const minutes = Math.max(0, Math.floor((nowMs - began) / 60_000));
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return days === 1 ? '1 day' : `${days} days`;
}

/** "nobody watching", "1 watching", "12.3 k watching", "about 1 M watching". */
export function watching(viewers: number, exact = true): string {
  if (viewers <= 0) return 'nobody watching yet';
  return `${exact ? '' : 'about '}${short(viewers)} watching`;
}

/** 950, 1.2 k, 12 k, 3.4 M. */
export function short(count: number): string {
  if (count < 1_000) return String(Math.floor(count));
  const [value, unit] = count < 999_500 ? [count / 1_000, 'k'] : [count / 1_000_000, 'M'];
  return `${value < 9.95 ? value.toFixed(1).replace(/\.0$/, '') : Math.round(value)} ${unit}`;
}

/** A hue, 0–359, that is always the same for the same text. */
export function hue(text: string): number {
  let hash = 7;
  for (const char of text) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360_007;
  return hash % 360;
}

/** What to say when there is no picture; null leaves it to the player. */
export function explain(status: Status, lookup: Lookup, id: string): string | null {
  if (status === 'unreachable' || lookup.kind === 'no-answer') return null;
  if (lookup.kind === 'unknown') return `There is no broadcast called “${id}” yet. If it goes live, it starts here by itself.`;
  const { title, state } = lookup.broadcast;
  if (state === 'reconnecting') return `${title} is away for a moment. The picture comes back by itself.`;
  if (state === 'idle') return `${title} is not live yet. It starts here by itself.`;
  if (state === 'ended') return `${title} has ended. Thank you for watching.`;
  return null;
}
