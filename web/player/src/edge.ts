// Where the live edge is now, and how far arrivals fall short of it: the measurements behind the jitter buffer.
//
// In → Out: (arrival, end of media) of each live chunk → the edge as a steady clock, and percentiles of the shortfall.
// The fastest chunk of the last 20 s defines the edge. Just before a chunk comes, the buffer ends furthest behind it: that
// shortfall is what a playhead has to keep away from the edge, and it holds for a chunk a picture and a chunk each 100 ms.
// Spec: none; RFC 3550 6.4.1 has the older idea of interarrival jitter.

/** Seconds of history that count. */
const WINDOW_S = 20;
const SAMPLES_MAX = 4_096;
/** Arrivals before the edge came nearer by more than this were catching up: they say nothing of what is to be expected. */
const CAUGHT_UP_MS = 60;

interface Arrival {
  arrivalMs: number;
  /** Arrival minus end of media, milliseconds: smaller is sooner. */
  offsetMs: number;
  /** Arrival minus the end of what was there before: what the buffer lacked just before. */
  lackMs: number;
  /** The least offset by then. */
  bestMs: number;
}

/** Percentiles of how far the buffer's end fell behind the edge, milliseconds. */
export interface Shortfall {
  p50Ms: number;
  p99Ms: number;
}

/** The live edge of one timeline, as seen from this viewer. */
export class LiveEdge {
  private arrivals: Arrival[] = [];
  private bestOffsetMs: number | null = null;
  private endMs: number | null = null;
  private cached: { atMs: number; shortfall: Shortfall } | null = null;

  /**
   * A live chunk (not part of the burst of a join) arrived whole at `arrivalMs`; media is complete up to `mediaEndS`. What came
   * late because of something of our own (`isOurs`) says nothing of the path.
   */
  observe(arrivalMs: number, mediaEndS: number, isOurs = false): void {
    const endMs = mediaEndS * 1000;
    const before = this.endMs;
    if (before !== null && endMs <= before) return;
    this.endMs = endMs;
    if (isOurs) return;
    const offsetMs = arrivalMs - endMs;
    const bestMs = Math.min(this.bestOffsetMs ?? offsetMs, offsetMs);
    const last = this.arrivals.at(-1);
    if (last?.arrivalMs === arrivalMs) Object.assign(last, { offsetMs, bestMs });
    else this.arrivals.push({ arrivalMs, offsetMs, lackMs: arrivalMs - (before ?? endMs), bestMs });
    this.forget(arrivalMs);
    this.bestOffsetMs = Math.min(this.bestOffsetMs ?? offsetMs, offsetMs);
  }

  /** Media time in seconds that would just have arrived at `nowMs` on the fastest path; null before the first chunk. */
  at(nowMs: number): number | null {
    return this.bestOffsetMs === null ? null : (nowMs - this.bestOffsetMs) / 1000;
  }

  /** How far the buffer's end fell behind the edge; recomputed at most twice a second. */
  shortfall(nowMs: number): Shortfall {
    if (this.cached && nowMs >= this.cached.atMs && nowMs - this.cached.atMs < 500) return this.cached.shortfall;
    const best = this.bestOffsetMs ?? 0;
    const settled = this.arrivals.filter((arrival) => arrival.bestMs - best <= CAUGHT_UP_MS);
    const sorted = settled.map((arrival) => arrival.lackMs - best).sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    this.cached = { atMs: nowMs, shortfall: { p50Ms: at(0.5), p99Ms: at(0.99) } };
    return this.cached.shortfall;
  }

  /** Another path or another clock: nothing known holds any more. */
  clear(): void {
    this.arrivals = [];
    this.bestOffsetMs = null;
    this.endMs = null;
    this.cached = null;
  }

  private forget(nowMs: number): void {
    const oldest = nowMs - WINDOW_S * 1000;
    let gone = 0;
    while (gone < this.arrivals.length - SAMPLES_MAX || (this.arrivals[gone]?.arrivalMs ?? nowMs) < oldest) gone += 1;
    if (gone === 0) return;
    const lost = this.arrivals.splice(0, gone);
    const best = this.bestOffsetMs ?? 0;
    if (lost.some((arrival) => arrival.offsetMs <= best)) {
      this.bestOffsetMs = this.arrivals.reduce((least, arrival) => Math.min(least, arrival.offsetMs), Infinity);
    }
  }
}
