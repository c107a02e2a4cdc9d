// When to begin: a join starts with a burst of everything the segment holds so far, and playback starts at its end.
//
// In → Out: arrivals of the first chunks, and the time now → wait, or begin; and whether what follows is live.
// Beginning inside the burst would play old pictures and then skip; waiting after it would only cost time. A short silence
// may also be a pause inside the burst (a busy viewer's machine), so the end is confirmed by the pace of what follows.
// Spec: none.

/** The burst so far. */
export interface Burst {
  firstMs: number;
  lastMs: number;
  /** Media time at the end of the last chunk, seconds. */
  endS: number;
  /** Since when, and from which media time on, the pace is measured. */
  windowMs: number;
  windowEndS: number;
}

/** What a look at a burst says. */
export interface BurstLook {
  burst: Burst;
  /** The playhead may be placed. */
  begin: boolean;
  /** What follows is live. */
  over: boolean;
}

/** No chunk for this long: probably the end of the burst. */
const QUIET_MS = 12;
/** On a slow path the picture begins before the burst is over. */
const BEGIN_AFTER_MS = 400;
const WINDOW_MS = 60;
/** Media that comes no faster than this times real time, and a chunk or two, is live. */
const LIVE_PACE = 1.5;
const CHUNKS_MS = 70;
/** What still comes in bursts after this long is the path, and belongs into the measurements. */
const BURST_MAX_MS = 5_000;

/** How often to look at a burst. */
export const BURST_LOOK_MS = 6;
/** Seconds that the burst must have gone on after the beginning for the playhead to be placed again. */
export const REPLACE_AFTER_S = 0.3;

/** A burst that begins with its first chunk, handed on at `nowMs`. */
export function burstStart(nowMs: number, mediaEndS: number): Burst {
  return { firstMs: nowMs, lastMs: nowMs, endS: mediaEndS, windowMs: nowMs, windowEndS: mediaEndS };
}

/** The burst after one more chunk. */
export function burstGrow(burst: Burst, nowMs: number, mediaEndS: number): Burst {
  return { ...burst, lastMs: nowMs, endS: mediaEndS };
}

/** How the burst stands at `nowMs`. */
export function burstLook(burst: Burst, nowMs: number): BurstLook {
  const elapsedMs = nowMs - burst.windowMs;
  let over = nowMs - burst.firstMs >= BURST_MAX_MS;
  let looked = burst;
  if (!over && elapsedMs >= WINDOW_MS) {
    const grownMs = (burst.endS - burst.windowEndS) * 1000;
    over = grownMs <= elapsedMs * LIVE_PACE + CHUNKS_MS;
    looked = { ...burst, windowMs: nowMs, windowEndS: burst.endS };
  }
  const begin = over || nowMs - burst.lastMs >= QUIET_MS || nowMs - burst.firstMs >= BEGIN_AFTER_MS;
  return { burst: looked, begin, over };
}
