// When to begin: a join starts with a burst of everything the segment holds so far, and playback starts at its end.
//
// In → Out: arrivals of the first chunks, and the time now → wait, or begin; and whether what follows is live.
// Beginning inside the burst would play old pictures and then jump; waiting after it would only cost time.
// Spec: none.

/** The burst so far. */
export interface Burst {
  firstMs: number;
  lastMs: number;
  /** Media time at the end of the first and of the last chunk, seconds. */
  firstEndS: number;
  lastEndS: number;
}

/** No chunk for this long: the burst is over. */
const QUIET_MS = 12;
/** Media that comes no faster than this times real time is live. */
const LIVE_PACE = 1.5;
const PACE_WINDOW_MS = 80;
/** On a slow path the picture begins before the burst is over, and catches up afterwards. */
const BEGIN_AFTER_MS = 400;
/** What still comes in bursts after this long is the path, and belongs into the measurements. */
const BURST_MAX_MS = 5_000;

/** What to do about a burst. */
export interface BurstVerdict {
  /** Place the playhead now. */
  begin: boolean;
  /** What follows is live. */
  over: boolean;
}

/** A burst that begins with its first chunk, handed on at `nowMs`. */
export function burstStart(nowMs: number, mediaEndS: number): Burst {
  return { firstMs: nowMs, lastMs: nowMs, firstEndS: mediaEndS, lastEndS: mediaEndS };
}

/** The burst after one more chunk. */
export function burstGrow(burst: Burst, nowMs: number, mediaEndS: number): Burst {
  return { ...burst, lastMs: nowMs, lastEndS: mediaEndS };
}

/** How the burst stands at `nowMs`. */
export function burstVerdict(burst: Burst, nowMs: number): BurstVerdict {
  const elapsedMs = burst.lastMs - burst.firstMs;
  const pace = ((burst.lastEndS - burst.firstEndS) * 1000) / Math.max(1, elapsedMs);
  const quiet = nowMs - burst.lastMs >= QUIET_MS;
  const live = elapsedMs >= PACE_WINDOW_MS && pace < LIVE_PACE;
  const over = quiet || live || nowMs - burst.firstMs >= BURST_MAX_MS;
  return { begin: over || nowMs - burst.firstMs >= BEGIN_AFTER_MS, over };
}

/** How long to wait before looking at a burst again. */
export const BURST_LOOK_MS = 6;
