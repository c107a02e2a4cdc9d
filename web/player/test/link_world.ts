// A viewer on a link whose rate changes: the policy, a server with rungs, and a simple media element, in virtual time.
//
// In → Out: rates over time and what else happens → renditions over time, stalls, moves, probes.
// The link shares its rate evenly among what is under way (the live segment, a probe); bytes queue at the sender, as TCP
// keeps them. A switch happens at a boundary; an urgent one after a round trip, and what was queued is dropped.
// Spec: RFC 8867 has the older idea of such test cases.

import { type AbrChunk, type AbrObservation, type AbrRung, abrLost, abrStart, abrStep } from '../src/abr.ts';
import { seeded } from './simulate.ts';

export const RUNGS: readonly AbrRung[] = [
  { name: 'source', bitrateBps: 2_600_000, width: 1280, height: 720 },
  { name: '480p', bitrateBps: 1_260_000, width: 854, height: 480 },
  { name: '240p', bitrateBps: 560_000, width: 426, height: 240 },
  { name: 'audio', bitrateBps: 100_000, width: 0, height: 0 },
];

/** What the world does. Times in milliseconds. */
export interface Wish {
  seconds: number;
  /** Bits per second that the link carries at a time. */
  rate: (ms: number) => number;
  rttMs?: number;
  /** How long a rung takes to start; 0 when it runs. */
  coldMs?: number;
  /** Until when what the publisher makes at `ms` is held back. */
  publisher?: (ms: number) => number;
  box?: { width: number; height: number };
  saveData?: boolean;
  /** Renditions that never come. */
  broken?: readonly string[];
  rungs?: readonly AbrRung[];
  /** The server tells at each segment what the link carried so many milliseconds ago. */
  hintAgeMs?: number;
}

/** What came of it. */
export interface Course {
  /** Moves as they took effect. */
  switches: { atMs: number; to: string }[];
  stalls: { atMs: number; ms: number }[];
  probes: number;
  /** Distance to what the publisher makes, milliseconds, each 100 ms. */
  distance: number[];
  /** What was playing at a time. */
  at(ms: number): string;
  meanBps: number;
}

interface Pending {
  endMs: number;
  left: number;
  bytes: number;
  keyframe: boolean;
  rendition: string;
}

const FRAME_MS = 1000 / 30;
const FRAMES = 60;
const STEP_MS = 10;

/** Runs the world. */
export function watchOver(wish: Wish): Course {
  const rungs = wish.rungs ?? RUNGS;
  const random = seeded(3);
  const rttMs = wish.rttMs ?? 40;
  const course: Course = { switches: [], stalls: [], probes: 0, distance: [], at: () => '', meanBps: 0 };
  let state = abrStart(0);
  let playing = rungs[0]?.name ?? '';
  let made = 0;
  let skipTo = 0;
  let hint: AbrObservation['hint'] = null;
  let queue: Pending[] = [];
  let sentFrames = 45; // the join begins in the middle of a segment
  let arrived: AbrChunk[] = [];
  let shown = playing;
  let received = 0;
  let playedBits = 0;
  let endMs = 0;
  let position: number | null = null;
  let standingSince: number | null = null;
  let neededMs = 200;
  let moving: { name: string; urgent: boolean; readyMs: number } | null = null;
  let probe: { left: number; bytes: number; atMs: number; counted: { atMs: number; left: number } | null; result: AbrObservation['probe'] } | null = null;
  const frame = (index: number, name: string): Pending => {
    const bitrate = rungs.find((rung) => rung.name === name)?.bitrateBps ?? 0;
    const keyframe = index % FRAMES === 0;
    // A random access point is six times as large as another picture.
    const bytes = Math.round((bitrate / 8 / 30) * (60 / 65) * (keyframe ? 6 : 1) * (0.9 + 0.2 * random()));
    return { endMs: (index + 1) * FRAME_MS, left: bytes, bytes, keyframe, rendition: name };
  };
  const start = sentFrames;
  for (let i = 0; i < start; i += 1) queue.push(frame(i, playing));
  made = start;
  const targetMs = 350;
  for (let now = start * FRAME_MS; now < wish.seconds * 1000; now += STEP_MS) {
    // The publisher, and which rendition the segment that begins comes in.
    while (wish.publisher ? wish.publisher((made + 1) * FRAME_MS) <= now : (made + 1) * FRAME_MS <= now) {
      if (made % FRAMES === 0 && moving && !moving.urgent && moving.readyMs <= now) {
        playing = moving.name;
        moving = null;
        course.switches.push({ atMs: now, to: playing });
      }
      if (made % FRAMES === FRAMES / 2 && wish.hintAgeMs !== undefined) {
        hint = { deliveryBps: wish.rate(Math.max(0, now - wish.hintAgeMs)), limited: queue.length === 0, unsentBytes: 0 };
      }
      if (made >= skipTo) queue.push(frame(made, playing));
      made += 1;
    }
    if (moving?.urgent && moving.readyMs <= now) {
      playing = moving.name;
      moving = null;
      course.switches.push({ atMs: now, to: playing });
      queue = [];
      const nearlyOver = (endMs / FRAME_MS) % FRAMES > 0.7 * FRAMES;
      if (!nearlyOver) endMs = Math.floor(Math.max(0, made - 1) / FRAMES) * FRAMES * FRAME_MS;
      else skipTo = Math.ceil(endMs / FRAME_MS / FRAMES) * FRAMES;
      if (!nearlyOver) for (let i = Math.round(endMs / FRAME_MS); i < made; i += 1) queue.push(frame(i, playing));
      sentFrames = 0;
    }
    // The link.
    const shares = (queue.length > 0 ? 1 : 0) + (probe && probe.result?.state === 'running' && now - probe.atMs >= 1.5 * rttMs ? 1 : 0);
    let budget = shares > 0 ? (wish.rate(now) / 8) * (STEP_MS / 1000) / shares : 0;
    if (probe?.result?.state === 'running' && now - probe.atMs >= 1.5 * rttMs && shares > 0) {
      // Slow start: the rate doubles each round trip.
      const ramp = 14_600 * 2 ** ((now - probe.atMs) / rttMs - 1.5) * (STEP_MS / rttMs);
      const used = Math.min(budget, ramp, probe.left);
      probe.left -= used;
      budget += shares === 2 ? budget - used : 0;
      if (!probe.counted && probe.left <= (probe.bytes * 2) / 3) probe.counted = { atMs: now, left: probe.left };
      if (probe.left <= 0 && probe.bytes === 10_000) probe.result = { state: 'failed', bps: 0 };
      else if (probe.left <= 0 && probe.counted) probe.result = { state: 'done', bps: ((probe.counted.left - probe.left) * 8_000) / Math.max(10, now - probe.counted.atMs) };
      else if (now - probe.atMs > 1_500) probe.result = { state: 'failed', bps: 0 };
    }
    for (let head = queue[0]; head && budget > 0; head = queue[0]) {
      const sent = Math.min(budget, head.left);
      head.left -= sent;
      budget -= sent;
      received += sent;
      if (head.left > 0) break;
      queue.shift();
      playedBits += head.bytes * 8;
      endMs = head.endMs;
      if (head.rendition !== shown) arrived = [];
      shown = head.rendition;
      arrived.push({ arrivalMs: now + rttMs / 2, endMs, bytes: head.bytes, keyframe: head.keyframe });
    }
    // The element.
    if (position === null && endMs > 0 && now > start * FRAME_MS + 400) position = Math.max(0, endMs - targetMs);
    if (position !== null) {
      // A hole is jumped.
      if (skipTo > 0 && endMs > skipTo * FRAME_MS) {
        position = Math.max(position, skipTo * FRAME_MS);
        skipTo = 0;
      }
      if (sentFrames === 0 && endMs > position + 120) {
        position = Math.max(position, endMs - targetMs);
        sentFrames = 1;
        neededMs = 120;
      }
      const distance = now - position;
      if (standingSince === null) {
        const rate = distance > targetMs + 60 ? 1.05 : distance < targetMs - 60 ? 0.95 : 1;
        position = Math.min(Math.max(endMs, position), position + STEP_MS * rate);
        if (position >= endMs) standingSince = now;
      } else if (endMs - position >= neededMs) {
        if (now - standingSince > 20) course.stalls.push({ atMs: standingSince, ms: now - standingSince });
        standingSince = null;
        neededMs = 200;
        if (now - position > targetMs + 1_000) position = Math.max(position, endMs - targetMs);
      }
    }
    if (now % 100 < STEP_MS && position !== null) course.distance.push(now - position);
    // The policy.
    if (position !== null && now % 50 < STEP_MS) {
      const step = abrStep(state, {
        nowMs: now + rttMs / 2, rungs, playing: shown, moving: moving?.name ?? (playing === shown ? null : playing), chunks: arrived, receivedBytes: received,
        bufferS: Math.max(0, endMs - position) / 1000, targetS: targetMs / 1000, standing: standingSince !== null && now - standingSince > 100,
        segment: { phaseS: ((endMs / FRAME_MS) % FRAMES) / 30, targetS: 2 }, box: wish.box ?? null, saveData: wish.saveData ?? false,
        probe: probe?.result ?? null, hint,
      });
      hint = null;
      arrived = [];
      state = step.state;
      if (probe && probe.result?.state !== 'running') probe = null;
      const { move } = step.action;
      if (step.action.probe === 'stop' && probe) probe.result = { state: 'failed', bps: 0 };
      else if (step.action.probe && step.action.probe !== 'stop') {
        course.probes += 1;
        const few = wish.rate(now) < step.action.probe.bps / 2;
        probe = { left: few ? 10_000 : step.action.probe.bytes, bytes: few ? 10_000 : step.action.probe.bytes, atMs: now, counted: null, result: { state: 'running', bps: 0 } };
      }
      if (move && wish.broken?.includes(move.name)) state = abrLost(state, move.name, now);
      else if (move) moving = { ...move, readyMs: now + 2 * rttMs + 60 + (move.name === 'source' ? 0 : (wish.coldMs ?? 0)) };
    }
  }
  if (standingSince !== null) course.stalls.push({ atMs: standingSince, ms: wish.seconds * 1000 - standingSince });
  course.at = (ms) => course.switches.filter((one) => one.atMs <= ms).at(-1)?.to ?? rungs[0]?.name ?? '';
  course.meanBps = playedBits / wish.seconds;
  return course;
}
