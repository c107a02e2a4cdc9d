// When each heart floats up: sums per beat become single hearts again, at the rhythm in which they were tapped.
//
// In → Out: hearts by colour, the time between beats → moments and colours; own hearts are taken out, they float already.
// A colour's hearts are evenly spaced, and the spacing goes on from beat to beat; a crowd is thinned to what a screen can show.
// Spec: docs/ix.md, "When to show".

import { COLOURS } from './wire.ts';

/** One heart to show. */
export interface Flight {
  colour: number;
  /** From now. */
  delayMs: number;
}

/** Hearts a second that fill a phone's screen: more are not told apart. */
export const FLIGHTS_PER_S = 60;
/** Own hearts that have not come back after so long never will. */
const ECHO_MS = 4_000;

/** Spreads the hearts of each beat over the time to the next. */
export class HeartRhythm {
  private last = new Map<number, number>();

  /** The hearts of one beat. `random` moves crowded ones a little, so that they do not march. */
  spread(hearts: number[], beatMs: number, nowMs: number, random: () => number): Flight[] {
    const shown = thin(hearts, Math.max(1, Math.round((FLIGHTS_PER_S * beatMs) / 1_000)));
    const flights: Flight[] = [];
    shown.forEach((count, colour) => {
      if (count === 0) return;
      const step = beatMs / count;
      const first = Math.min(Math.max((this.last.get(colour) ?? -Infinity) + step, nowMs), nowMs + step);
      const loose = count > 2 ? step * 0.4 : 0;
      for (let i = 0; i < count; i += 1) {
        flights.push({ colour, delayMs: Math.max(0, first - nowMs + i * step + (random() - 0.5) * loose) });
      }
      this.last.set(colour, first + (count - 1) * step);
    });
    return flights.sort((a, b) => a.delayMs - b.delayMs);
  }
}

/** At most `most` hearts, in the proportions of all. */
export function thin(hearts: number[], most: number): number[] {
  const total = hearts.reduce((sum, one) => sum + one, 0);
  if (total <= most) return hearts.slice(0, COLOURS);
  const exact = hearts.slice(0, COLOURS).map((count) => (count / total) * most);
  const kept = exact.map(Math.floor);
  // Largest remainder: the sum is exactly `most`, and no colour is off by a whole heart.
  const order = exact.map((value, colour) => ({ colour, rest: value - Math.floor(value) })).sort((a, b) => b.rest - a.rest || a.colour - b.colour);
  let left = most - kept.reduce((sum, one) => sum + one, 0);
  for (const { colour } of order) {
    if (left <= 0) break;
    kept[colour] = (kept[colour] ?? 0) + 1;
    left -= 1;
  }
  return kept;
}

/** Own hearts that were sent and have not come back in a beat: they must not float twice. */
export class OwnEcho {
  private waiting: { count: number; atMs: number }[] = [];

  sent(count: number, nowMs: number): void {
    if (count > 0) this.waiting.push({ count, atMs: nowMs });
    if (this.waiting.length > 64) this.waiting.shift();
  }

  /** The server has counted other than was sent. */
  correct(by: number): void {
    for (let left = -by; left > 0; ) {
      const newest = this.waiting.at(-1);
      if (!newest) return;
      const taken = Math.min(left, newest.count);
      newest.count -= taken;
      left -= taken;
      if (newest.count === 0) this.waiting.pop();
    }
  }

  /** Takes own hearts out of a beat's. */
  without(hearts: number[], colour: number, nowMs: number): number[] {
    this.waiting = this.waiting.filter((one) => nowMs - one.atMs < ECHO_MS && one.count > 0);
    const others = [...hearts];
    for (const one of this.waiting) {
      const taken = Math.min(one.count, others[colour] ?? 0);
      one.count -= taken;
      others[colour] = (others[colour] ?? 0) - taken;
    }
    return others;
  }
}
