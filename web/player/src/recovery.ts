// What to do about a playhead that does not move: jump a hole, come back into the buffer, or give it a nudge.
//
// In → Out: playhead, buffered ranges, how long nothing moved → where to seek, or nothing.
// Spec: Media Source Extensions, "SourceBuffer monitoring" (a hole in the buffer stops playback).

/** A stretch of buffered media, seconds. */
export interface BufferedRange {
  start: number;
  end: number;
}

/** What is seen of a playhead that should be moving. */
export interface Stuckness {
  positionS: number;
  ranges: readonly BufferedRange[];
  /** How long the playhead has stood still, milliseconds. */
  stuckMs: number;
  /** Seconds behind the end of the buffer at which to come back when everything buffered lies behind. */
  targetS: number;
}

const HOLE_AFTER_MS = 80;
const LOST_AFTER_MS = 250;
const NUDGE_AFTER_MS = 1_500;
/** Media after the playhead with which a standing playhead is the browser's fault, not the network's. */
const ENOUGH_S = 0.6;
/** Lands inside the range in spite of rounded container times. */
const INSIDE_S = 0.001;
const NUDGE_S = 0.05;

/** Where to seek to, or null for patience. */
export function recover(seen: Stuckness): number | null {
  const here = seen.ranges.find((range) => range.start - INSIDE_S <= seen.positionS && seen.positionS < range.end);
  const later = seen.ranges.find((range) => range.start > seen.positionS);
  if (here && here.end - seen.positionS > ENOUGH_S) {
    return seen.stuckMs >= NUDGE_AFTER_MS ? seen.positionS + NUDGE_S : null;
  }
  if (later && seen.stuckMs >= HOLE_AFTER_MS) return later.start + INSIDE_S;
  const last = seen.ranges.at(-1);
  if (!here && !later && last && seen.positionS > last.end + 1 && seen.stuckMs >= LOST_AFTER_MS) {
    return Math.max(last.start + INSIDE_S, last.end - seen.targetS);
  }
  return null;
}
