// Where the live edge is now, and how late frames come: the measurements behind the jitter buffer.
//
// In → Out: (arrival, end of media) of each live chunk → the edge as a steady clock, and lateness percentiles.
// The fastest chunk of the last 20 s defines the edge; every other chunk is late against it by a measured time.
// Spec: none; RFC 3550 6.4.1 has the older idea of interarrival jitter.

/** Seconds of history that count. */
const WINDOW_S = 20;
const SAMPLES_MAX = 4_096;

interface Arrival {
  arrivalMs: number;
  /** Arrival minus media time, milliseconds: smaller is sooner. */
  offsetMs: number;
}

/** The live edge of one timeline, as seen from this viewer. */
export class LiveEdge {
  private arrivals: Arrival[] = [];
  private bestOffsetMs: number | null = null;
  private cached: { atMs: number; p50Ms: number; p99Ms: number } | null = null;

  /** A live chunk (not part of the burst of a join) arrived whole at `arrivalMs` and ends at `mediaEndS`. */
  observe(arrivalMs: number, mediaEndS: number): void {
    const offsetMs = arrivalMs - mediaEndS * 1000;
    this.arrivals.push({ arrivalMs, offsetMs });
    const oldest = arrivalMs - WINDOW_S * 1000;
    let gone = 0;
    while (gone < this.arrivals.length - SAMPLES_MAX || (this.arrivals[gone]?.arrivalMs ?? arrivalMs) < oldest) gone += 1;
    const lost = this.arrivals.splice(0, gone);
    if (this.bestOffsetMs === null || offsetMs < this.bestOffsetMs) {
      this.bestOffsetMs = offsetMs;
    } else if (lost.some((arrival) => arrival.offsetMs <= (this.bestOffsetMs ?? 0))) {
      this.bestOffsetMs = this.arrivals.reduce((best, arrival) => Math.min(best, arrival.offsetMs), offsetMs);
    }
  }

  /** Media time in seconds that would just have arrived at `nowMs` on the fastest path; null before the first chunk. */
  at(nowMs: number): number | null {
    return this.bestOffsetMs === null ? null : (nowMs - this.bestOffsetMs) / 1000;
  }

  /** Lateness against the fastest chunk, milliseconds; recomputed at most twice a second. */
  lateness(nowMs: number): { p50Ms: number; p99Ms: number } {
    if (this.cached && nowMs - this.cached.atMs < 500 && nowMs >= this.cached.atMs) return this.cached;
    const best = this.bestOffsetMs ?? 0;
    const sorted = this.arrivals.map((arrival) => arrival.offsetMs - best).sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    this.cached = { atMs: nowMs, p50Ms: at(0.5), p99Ms: at(0.99) };
    return this.cached;
  }

  clear(): void {
    this.arrivals = [];
    this.bestOffsetMs = null;
    this.cached = null;
  }
}
