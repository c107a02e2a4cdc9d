// Which rendition to play: the policy.
//
// In → Out: (state, observation) → (state, action); no clock, no element, no network, no randomness.
// On a segment that grows, download time measures the encoder, so it is never used. What tells: chunks that come later and
// later while bytes flow without a pause (then what flows is what the path carries), bursts (a join, a catch-up, a random
// access point), a probe that fetches what is complete already, and what the server says about the connection.
// Down at once; up only when more than enough was proven; whoever fails there waits longer before the next try.
// Spec: none; `test/adaptation.test.ts` plays it on made-up links and recorded traces.

import type { ServerHint } from './server_hint.ts';

/** One rendition as the policy sees it. */
export interface AbrRung {
  name: string;
  bitrateBps: number;
  /** Picture in pixels; 0 for sound alone. */
  width: number;
  height: number;
}

/** A chunk that came. */
export interface AbrChunk {
  arrivalMs: number;
  /** Media time at its end, milliseconds. */
  endMs: number;
  bytes: number;
  keyframe: boolean;
}

/** How a probe stands. */
export interface AbrProbe {
  state: 'running' | 'done' | 'failed';
  /** What it carried, once known; 0 before. */
  bps: number;
}

/** What is seen at one moment; moments are about 50 ms apart. */
export interface AbrObservation {
  nowMs: number;
  /** Best first; sound alone is last. */
  rungs: readonly AbrRung[];
  playing: string;
  /** A move that is under way. */
  moving: string | null;
  /** Chunks since the last observation, all of the rendition that plays. */
  chunks: readonly AbrChunk[];
  /** Bytes of media so far, those of unfinished chunks included. */
  receivedBytes: number;
  bufferS: number;
  targetS: number;
  standing: boolean;
  /** How much of the current segment has come, and its usual length. */
  segment: { phaseS: number; targetS: number };
  /** Pixels that the picture is shown in; null while unknown. */
  box: { width: number; height: number } | null;
  saveData: boolean;
  probe: AbrProbe | null;
  /** What the server said of the connection since the last observation: how the segment before went on it. */
  hint: ServerHint | null;
}

/** What to do now. */
export interface AbrAction {
  /** Go over to a rendition; urgent when the current segment is not worth waiting for. */
  move: { name: string; urgent: boolean } | null;
  /** Start a probe of so many bytes, worth while from so many bits per second on; or stop the one that runs. */
  probe: { bytes: number; bps: number } | 'stop' | null;
}

interface Sample {
  nowMs: number;
  received: number;
  endMs: number;
  lateMs: number;
}

interface Wait {
  untilMs: number;
  waitMs: number;
}

/** What the policy remembers. */
export interface AbrState {
  playing: string | null;
  samples: Sample[];
  /** The least (arrival − end of media) of each second, this rendition's. */
  offsets: { second: number; ms: number }[];
  endMs: number | null;
  chunkMs: number;
  lateMs: number;
  /** Since when chunks have been late, and what had come by then. */
  late: { sinceMs: number; received: number } | null;
  /** What was measured of the rendition that plays: bytes in so much media time. */
  own: { bytes: number; ms: number };
  proven: { bps: number; atMs: number } | null;
  calmSinceMs: number;
  downMs: number;
  up: { name: string; atMs: number } | null;
  probeAtMs: number;
  probeWaitMs: number;
  probing: boolean;
  holds: Record<string, Wait>;
  bigSinceMs: number | null;
  /** When the server last said that the path was too narrow. */
  pressedMs: number;
  /** The highest rate that the server has told. */
  toldBps: number;
}

/** Figures of the policy. Times in milliseconds. */
export const ABR_POLICY = {
  /** Chunks later than this are late. */
  lateMs: 80,
  /** How long they must be late, with bytes flowing, before it counts. */
  fallingMs: 200,
  /** Of what the path carries, a rendition may take this share when it is chosen in need. */
  downShare: 0.8,
  /** What a better rendition needs, this many times over, before it is chosen. */
  upFactor: 1.4,
  /** How long what was proven holds. */
  provenMs: 8_000,
  calmMs: 1_500,
  probeFirstMs: 1_500,
  probeMaxMs: 8_000,
  /** A move up that ends with a move down within this time has failed. */
  upTrialMs: 12_000,
  holdFirstMs: 10_000,
  holdMaxMs: 120_000,
  /** A picture must be too large for this long before it is exchanged. */
  bigMs: 2_000,
  /** Data-saver: nothing with a shorter side above this. */
  saverHeight: 480,
} as const;

const WINDOW_MS = 3_000;
const OFFSET_SECONDS = 15;
const BURST_BYTES = 40_000;
const OWN_MS = 4_000;
const TRICKLE_BYTES = 3_000;
/** A rate that the server tells is news when it is so many times the highest before. */
const NEWS = 1.2;
/** More than a picture or two. */
const UNSENT_BYTES = 32_000;
/** How long the server's word is worth something. */
const PRESSED_MS = 1_000;
/** A move that is not urgent takes so long to prepare. */
const TOO_NEAR_S = 0.5;

/** State before anything was observed. */
export function abrStart(nowMs: number): AbrState {
  return {
    playing: null, samples: [], offsets: [], endMs: null, chunkMs: 33, lateMs: 0, late: null, own: { bytes: 0, ms: 0 }, proven: null,
    calmSinceMs: nowMs, downMs: -Infinity, up: null, probeAtMs: nowMs + ABR_POLICY.probeFirstMs, probeWaitMs: ABR_POLICY.probeFirstMs,
    probing: false, holds: {}, bigSinceMs: null, pressedMs: -Infinity, toldBps: 0,
  };
}

/** A rendition did not come although it was asked for. */
export function abrLost(state: AbrState, name: string, nowMs: number): AbrState {
  return { ...state, holds: hold(state.holds, name, nowMs) };
}

/** One step of the policy. */
export function abrStep(before: AbrState, seen: AbrObservation): { state: AbrState; action: AbrAction } {
  const state = measure(before, seen);
  const action: AbrAction = { move: null, probe: null };
  const at = seen.rungs.findIndex((rung) => rung.name === seen.playing);
  const playing = seen.rungs[at];
  if (!playing) return { state, action };
  settleProbe(state, seen);

  if (seen.probe?.state === 'running') {
    // A probe may cost the picture nothing: what it spoils counts against it, not against the rendition.
    if (state.lateMs > Math.max(ABR_POLICY.lateMs, seen.bufferS * 500) || seen.standing) action.probe = 'stop';
    state.late = null;
    return { state, action };
  }
  const down = needsLess(state, seen, at);
  if (down) {
    action.move = { name: down.name, urgent: down.urgent };
    noteDown(state, seen, playing);
    return { state, action };
  }
  if (seen.moving !== null) return { state, action };
  const cap = capIndex(seen);
  const big = at < cap;
  state.bigSinceMs = big ? (state.bigSinceMs ?? seen.nowMs) : null;
  const fitting = seen.rungs[cap];
  if (big && fitting && seen.nowMs - (state.bigSinceMs ?? seen.nowMs) >= ABR_POLICY.bigMs && !isHeld(state, fitting.name, seen.nowMs)) {
    action.move = { name: fitting.name, urgent: false };
    return { state, action };
  }
  if (at > cap && isCalm(state, seen)) raise(state, seen, { at, cap }, action);
  return { state, action };
}

/** The best rendition that makes sense in the box that the picture has: the smallest that fills it. */
export function capIndex(seen: Pick<AbrObservation, 'rungs' | 'box' | 'saveData'>): number {
  const { rungs, box, saveData } = seen;
  const pictures = rungs.filter((rung) => rung.width > 0).length;
  let cap = 0;
  while (cap + 1 < pictures) {
    const [here, below] = [rungs[cap], rungs[cap + 1]];
    if (!here || !below) break;
    const fills = box !== null && box.width > 0 && box.height > 0 && (below.width >= box.width || below.height >= box.height);
    const saving = saveData && Math.min(here.width, here.height) > ABR_POLICY.saverHeight;
    if (!fills && !saving) break;
    cap += 1;
  }
  return cap;
}

/** Takes the observation into the measurements. */
function measure(before: AbrState, seen: AbrObservation): AbrState {
  const state: AbrState = { ...before, samples: [...before.samples], offsets: [...before.offsets], holds: { ...before.holds } };
  const { nowMs } = seen;
  if (state.playing !== seen.playing) {
    Object.assign(state, { playing: seen.playing, samples: [], offsets: [], endMs: null, late: null, lateMs: 0, own: { bytes: 0, ms: 0 } });
  }
  for (const chunk of seen.chunks) takeChunk(state, seen, chunk);
  const best = state.offsets.reduce((least, one) => Math.min(least, one.ms), Infinity);
  if (state.endMs === null) return state;
  state.lateMs = Math.max(0, nowMs - state.endMs - best - state.chunkMs);
  state.samples.push({ nowMs, received: seen.receivedBytes, endMs: state.endMs, lateMs: state.lateMs });
  while ((state.samples[0]?.nowMs ?? nowMs) < nowMs - WINDOW_MS) state.samples.shift();
  if (state.lateMs < ABR_POLICY.lateMs) state.late = null;
  else state.late ??= { sinceMs: nowMs, received: seen.receivedBytes };
  if (state.late || seen.standing) state.calmSinceMs = nowMs;
  noteBurst(state, seen);
  if (seen.hint) takeHint(state, seen, seen.hint);
  return state;
}

/** A hint is of the past: kernels keep the highest rate of a connection until a slower one fills the path. So it proves nothing. */
function takeHint(state: AbrState, seen: AbrObservation, { deliveryBps, limited, unsentBytes }: ServerHint): void {
  const { nowMs } = seen;
  if (unsentBytes >= UNSENT_BYTES) state.pressedMs = nowMs;
  if (deliveryBps === null) return;
  const next = better(seen);
  // What was told before is no news, and good news is worth a look at once.
  if (next && deliveryBps >= next.bitrateBps * ABR_POLICY.upFactor && deliveryBps > state.toldBps * NEWS) state.probeAtMs = Math.min(state.probeAtMs, nowMs);
  state.toldBps = Math.max(state.toldBps, deliveryBps);
  // A path that was full carried no more than this, whatever was proven before.
  if (!limited && deliveryBps < wanted(state, seen)) state.proven = null;
}

/** The rendition above the one that plays. */
function better(seen: AbrObservation): AbrRung | undefined {
  return seen.rungs[seen.rungs.findIndex((rung) => rung.name === seen.playing) - 1];
}

/** Bits per second of the rendition that plays: as measured, or as stated. */
function wanted(state: AbrState, seen: AbrObservation): number {
  if (state.own.ms >= 1_000) return (state.own.bytes * 8_000) / state.own.ms;
  return seen.rungs.find((rung) => rung.name === seen.playing)?.bitrateBps ?? 0;
}

function takeChunk(state: AbrState, seen: AbrObservation, chunk: AbrChunk): void {
  const offset = chunk.arrivalMs - chunk.endMs;
  const best = state.offsets.reduce((least, one) => Math.min(least, one.ms), Infinity);
  // A random access point is the largest thing on the way: what it takes longer than the others measures the path.
  const excessMs = offset - best;
  if (chunk.keyframe && chunk.bytes > 8_000 && excessMs > 1 && excessMs < 1_000) {
    const bps = (chunk.bytes * 8_000) / excessMs;
    const next = better(seen);
    // Too coarse to trust, good enough to ask again soon.
    if (next && bps > 2 * next.bitrateBps) state.probeAtMs = Math.min(state.probeAtMs, chunk.arrivalMs + ABR_POLICY.probeFirstMs);
  }
  const second = Math.floor(chunk.arrivalMs / 1000);
  const last = state.offsets.at(-1);
  if (last?.second === second) last.ms = Math.min(last.ms, offset);
  else state.offsets.push({ second, ms: offset });
  while ((state.offsets[0]?.second ?? second) < second - OFFSET_SECONDS) state.offsets.shift();
  if (state.endMs !== null && chunk.endMs > state.endMs) {
    const lengthMs = Math.min(500, chunk.endMs - state.endMs);
    state.chunkMs += (lengthMs - state.chunkMs) / 8;
    const { bytes, ms } = state.own;
    const fade = ms > OWN_MS ? 0.5 : 1;
    state.own = { bytes: bytes * fade + chunk.bytes, ms: ms * fade + lengthMs };
  }
  state.endMs = Math.max(state.endMs ?? chunk.endMs, chunk.endMs);
}

/** Media that comes much faster than it lasts shows what the path carries. */
function noteBurst(state: AbrState, seen: AbrObservation): void {
  const now = state.samples.at(-1);
  // Long enough that what waited behind a lost packet and came at once is counted with the pause before it.
  const then = sampleAt(state, seen.nowMs - 1_000);
  if (!now || !then || now.nowMs - then.nowMs < 200) return;
  const elapsed = now.nowMs - then.nowMs;
  const bytes = now.received - then.received;
  if (bytes >= BURST_BYTES && now.endMs - then.endMs >= 1.5 * elapsed) prove(state, (bytes * 8_000) / elapsed, seen.nowMs);
}

function prove(state: AbrState, bps: number, nowMs: number): void {
  const known = state.proven && nowMs - state.proven.atMs < ABR_POLICY.provenMs ? state.proven.bps : 0;
  if (bps >= known) state.proven = { bps, atMs: nowMs };
}

function settleProbe(state: AbrState, seen: AbrObservation): void {
  const running = seen.probe?.state === 'running';
  if (state.probing && !running) {
    const bps = seen.probe?.state === 'done' ? seen.probe.bps : 0;
    const next = better(seen);
    const enough = next !== undefined && bps >= next.bitrateBps * ABR_POLICY.upFactor;
    if (enough) state.proven = { bps, atMs: seen.nowMs };
    // A path that has been narrow for minutes is asked less often.
    const most = Math.min(4 * ABR_POLICY.probeMaxMs, Math.max(ABR_POLICY.probeMaxMs, (seen.nowMs - state.downMs) / 8));
    state.probeWaitMs = enough ? ABR_POLICY.probeFirstMs : Math.min(most, state.probeWaitMs * 2);
    state.probeAtMs = seen.nowMs + state.probeWaitMs;
  }
  state.probing = running;
}

/** The rendition to fall back to, if what plays is more than the path carries. */
function needsLess(state: AbrState, seen: AbrObservation, at: number): { name: string; urgent: boolean } | null {
  const { late } = state;
  const playing = seen.rungs[at];
  const pictures = seen.rungs.filter((rung) => rung.width > 0).length;
  if (!late || !playing) return null;
  const { nowMs } = seen;
  const lateForMs = nowMs - late.sinceMs;
  const pressed = nowMs - state.pressedMs < PRESSED_MS;
  if (lateForMs < ABR_POLICY.fallingMs && !pressed) return null;
  const from = sampleAt(state, Math.max(late.sinceMs, nowMs - 1_500)) ?? state.samples[0];
  if (!from) return null;
  const carriedBps = ((seen.receivedBytes - from.received) * 8_000) / Math.max(1, nowMs - from.nowMs);
  const wantedBps = wanted(state, seen);
  const growth = (ms: number): number => (state.lateMs - (sampleAt(state, nowMs - ms)?.lateMs ?? 0)) / ms;
  // A pause is the publisher's, or a lost packet's; a path that is full has none, unless its queue overflows.
  const [earlier, lately] = [sampleAt(state, nowMs - 300)?.received ?? 0, sampleAt(state, nowMs - 150)?.received ?? 0];
  const flows = lately > earlier && seen.receivedBytes > lately;
  const trickles = lately - late.received >= TRICKLE_BYTES && state.lateMs >= 2 * ABR_POLICY.lateMs;
  const falls = growth(200) >= 0.35;
  const fast = falls && ((flows && carriedBps < wantedBps * 0.95) || (trickles && carriedBps < wantedBps * 0.7));
  const slow = flows && lateForMs >= 1_000 && growth(1_000) >= 0.05 && carriedBps < wantedBps * 1.02;
  if (!fast && !slow && !pressed) return null;
  const moving = seen.rungs.findIndex((rung) => rung.name === seen.moving);
  const lowest = Math.max(0, pictures - 1);
  let to = seen.rungs.findIndex((rung, i) => i > at && (rung.bitrateBps <= carriedBps * ABR_POLICY.downShare || i === lowest) && !isHeld(state, rung.name, nowMs));
  // Without a picture only when the smallest one has failed for a while.
  if (to >= pictures && !(at === lowest && lateForMs >= 2_500)) to = -1;
  const target = seen.rungs[to];
  if (!target || moving >= to || nowMs - state.downMs < 700) return null;
  return { name: target.name, urgent: isUrgent(seen, { carriedBps, wantedBps, targetBps: target.bitrateBps }) };
}

/** Is beginning the segment again sooner done than what is left of it? */
function isUrgent(seen: AbrObservation, bps: { carriedBps: number; wantedBps: number; targetBps: number }): boolean {
  const { phaseS, targetS } = seen.segment;
  const leftS = Math.max(0, targetS - phaseS);
  const carried = Math.max(1, bps.carriedBps);
  // What is left may be too little for the move to be ready in time.
  const stayS = (leftS < TOO_NEAR_S ? leftS + targetS : leftS) * (bps.wantedBps / carried) - seen.bufferS;
  const cutS = 0.3 + Math.min(leftS, (phaseS * bps.targetBps) / carried);
  return stayS > cutS;
}

function noteDown(state: AbrState, seen: AbrObservation, playing: AbrRung): void {
  state.downMs = seen.nowMs;
  state.calmSinceMs = seen.nowMs;
  state.proven = null;
  state.probeWaitMs = ABR_POLICY.probeFirstMs;
  state.probeAtMs = seen.nowMs + 2 * ABR_POLICY.probeFirstMs;
  const failed = state.up && seen.nowMs - state.up.atMs < ABR_POLICY.upTrialMs;
  if (failed) state.holds = hold(state.holds, playing.name, seen.nowMs);
  state.up = null;
  state.late = null;
}

function hold(holds: Record<string, Wait>, name: string, nowMs: number): Record<string, Wait> {
  const before = holds[name];
  const again = before && nowMs - before.untilMs < ABR_POLICY.holdMaxMs;
  const waitMs = again ? Math.min(ABR_POLICY.holdMaxMs, before.waitMs * 2) : ABR_POLICY.holdFirstMs;
  return { ...holds, [name]: { untilMs: nowMs + waitMs, waitMs } };
}

function isHeld(state: AbrState, name: string, nowMs: number): boolean {
  return nowMs < (state.holds[name]?.untilMs ?? -Infinity);
}

function isCalm(state: AbrState, seen: AbrObservation): boolean {
  const calm = seen.nowMs - state.calmSinceMs >= ABR_POLICY.calmMs;
  return calm && !seen.standing && seen.bufferS >= Math.min(0.12, seen.targetS * 0.4);
}

/** Up to the best that was proven, or a probe of the path. */
function raise(state: AbrState, seen: AbrObservation, { at, cap }: { at: number; cap: number }, action: AbrAction): void {
  const { nowMs } = seen;
  const proven = state.proven && nowMs - state.proven.atMs < ABR_POLICY.provenMs ? state.proven.bps : 0;
  const free = seen.rungs.slice(cap, at).filter((rung) => !isHeld(state, rung.name, nowMs));
  const worthIt = free.find((rung) => rung.bitrateBps * ABR_POLICY.upFactor <= proven);
  if (worthIt) {
    action.move = { name: worthIt.name, urgent: false };
    state.up = { name: worthIt.name, atMs: nowMs };
    return;
  }
  const [best, next] = [free[0], free.at(-1)];
  if (!best || !next || nowMs < state.probeAtMs) return;
  // Enough bytes that the best would be proven over half a second.
  const bytes = Math.min(600_000, Math.max(64_000, Math.round((best.bitrateBps * ABR_POLICY.upFactor) / 16)));
  action.probe = { bytes, bps: next.bitrateBps * ABR_POLICY.upFactor };
  state.probing = true;
}

/** The newest sample at or before `ms`, or the oldest there is. */
function sampleAt(state: AbrState, ms: number): Sample | undefined {
  let found = state.samples[0];
  for (const sample of state.samples) {
    if (sample.nowMs > ms) break;
    found = sample;
  }
  return found;
}
