// How far behind the live edge to play, and how to get there: the latency controller.
//
// In → Out: (state, observation) → (state, action); no clock, no element, no randomness.
// The target is what the renderer needs, plus the shortfall that was measured, plus what stalls have taught.
// It grows at once and shrinks slowly; small errors are corrected by rate, large ones by a jump.
// Spec: none; a recorded trace in `test/traces` is the reference for its behaviour.

/** What the controller may do, and how eagerly. */
export interface LatencyPolicy {
  /** Seconds of media that the renderer needs at its worst moment, with sound: Chromium starts with 200 ms of it. */
  floorWithAudioS: number;
  /** The same for pictures alone. */
  floorVideoOnlyS: number;
  /** Seconds added to the measured shortfall. */
  marginS: number;
  /** The target never exceeds this. */
  targetMaxS: number;
  /** More than this beyond the target, the player jumps instead of speeding up. */
  jumpAfterS: number;
  /** Playback rate stays within 1 ± this. */
  rateSpan: number;
  /** Seconds that a stall adds to the target. */
  stallStepS: number;
  /** Seconds per second at which the target comes down again. */
  shrinkPerS: number;
}

/** Defaults, tuned on recorded traces and in Chromium. */
export const LATENCY_POLICY: LatencyPolicy = {
  floorWithAudioS: 0.18,
  floorVideoOnlyS: 0.06,
  marginS: 0.01,
  targetMaxS: 2,
  jumpAfterS: 0.6,
  rateSpan: 0.05,
  stallStepS: 0.06,
  shrinkPerS: 0.015,
};

/** What is seen at one moment. */
export interface LatencyObservation {
  nowMs: number;
  /** Seconds between the live edge and the playhead; null while unknown. */
  distanceS: number | null;
  /** 99th percentile of how far the buffer's end fell behind the edge, seconds. */
  shortfallS: number;
  /** Stalls since playback began that were not the publisher's. */
  stalls: number;
  hasAudio: boolean;
  /** True while the playhead moves. */
  playing: boolean;
}

/** What the controller remembers. */
export interface LatencyState {
  targetS: number;
  /** What stalls have added and time has not yet taken away. */
  penaltyS: number;
  stalls: number;
  lastMs: number | null;
  rate: number;
}

/** What to do now. */
export interface LatencyAction {
  rate: number;
  /** Seconds behind the edge to jump to, or null. */
  jumpToS: number | null;
}

/** State before anything was observed. */
export function latencyStart(hasAudio: boolean, policy: LatencyPolicy): LatencyState {
  return { targetS: floor(hasAudio, policy), penaltyS: 0, stalls: 0, lastMs: null, rate: 1 };
}

/** One step of the controller. */
export function latencyStep(
  state: LatencyState,
  seen: LatencyObservation,
  policy: LatencyPolicy,
): { state: LatencyState; action: LatencyAction } {
  const elapsedS = state.lastMs === null ? 0 : Math.max(0, Math.min(5, (seen.nowMs - state.lastMs) / 1000));
  const newStalls = Math.max(0, seen.stalls - state.stalls);
  const easing = policy.shrinkPerS * elapsedS;
  const penaltyS = clamp(state.penaltyS - easing + newStalls * policy.stallStepS, 0, policy.targetMaxS);
  const least = floor(seen.hasAudio, policy);
  const wanted = clamp(least + seen.shortfallS + policy.marginS + penaltyS, least, policy.targetMaxS);
  const targetS = Math.max(wanted, Math.min(state.targetS, policy.targetMaxS) - easing);
  const next: LatencyState = { targetS, penaltyS, stalls: seen.stalls, lastMs: seen.nowMs, rate: state.rate };

  if (seen.distanceS === null || !seen.playing) {
    return { state: { ...next, rate: 1 }, action: { rate: 1, jumpToS: null } };
  }
  const error = seen.distanceS - targetS;
  if (error > policy.jumpAfterS) {
    return { state: { ...next, rate: 1 }, action: { rate: 1, jumpToS: targetS } };
  }
  next.rate = correct(state.rate, error, policy);
  return { state: next, action: { rate: next.rate, jumpToS: null } };
}

/** Rate for an error: none inside a dead zone that is wide while at rest and narrow while correcting. */
function correct(current: number, error: number, policy: LatencyPolicy): number {
  const deadZone = current === 1 ? DEAD_ZONE_REST_S : DEAD_ZONE_MOVING_S;
  if (Math.abs(error) < deadZone) return 1;
  const wanted = clamp(error * GAIN_PER_S, -policy.rateSpan, policy.rateSpan);
  const steps = Math.round(wanted / RATE_STEP);
  return 1 + (steps === 0 ? Math.sign(error) : steps) * RATE_STEP;
}

const DEAD_ZONE_REST_S = 0.025;
const DEAD_ZONE_MOVING_S = 0.006;
const GAIN_PER_S = 0.4;
/** Each change of rate makes the browser splice sound, so it moves in steps. */
const RATE_STEP = 0.01;

function floor(hasAudio: boolean, policy: LatencyPolicy): number {
  return hasAudio ? policy.floorWithAudioS : policy.floorVideoOnlyS;
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
