// Plays a trace of arrivals without a browser: the live edge, the latency policy, and a simple model of a media element.
//
// In → Out: (arrival, end of media) pairs → distance to the edge over time, stalls, time at each rate.
// The model: the playhead advances at the policy's rate, stands when the buffer is empty, and goes on with 200 ms in it
// (400 ms after an underflow, as Chromium does with sound). Steps are 10 ms, the policy is asked each 50 ms.
// Spec: Chromium's audio renderer (queue before playback, doubled after an underflow).

import { LiveEdge } from '../src/edge.ts';
import { LATENCY_POLICY, type LatencyPolicy, latencyStart, latencyStep } from '../src/latency.ts';

/** (arrival in ms, end of media in ms), in order of arrival. */
export type Trace = readonly (readonly [number, number])[];

/** What came of it. Milliseconds. */
export interface Played {
  stalls: number;
  jumps: number;
  distanceP50: number;
  distanceP95: number;
  targetEnd: number;
  rateMin: number;
  rateMax: number;
  rateChanges: number;
}

const STEP_MS = 10;

/** Plays `trace`; figures count from `settleMs` on. */
export function play(trace: Trace, policy: LatencyPolicy = LATENCY_POLICY, settleMs = 5_000): Played {
  const edge = new LiveEdge();
  let state = latencyStart(true, policy);
  let at = 0;
  let endMs = trace[0]?.[1] ?? 0;
  let position = endMs / 1000 - state.targetS;
  let standing = true;
  let neededS = 0.2;
  let rate = 1;
  let rateBefore = 1;
  const distances: number[] = [];
  const played: Played = { stalls: 0, jumps: 0, distanceP50: 0, distanceP95: 0, targetEnd: 0, rateMin: 1, rateMax: 1, rateChanges: 0 };
  const lastMs = trace.at(-1)?.[0] ?? 0;
  for (let now = trace[0]?.[0] ?? 0; now <= lastMs; now += STEP_MS) {
    for (let next = trace[at]; next && next[0] <= now; next = trace[at]) {
      endMs = Math.max(endMs, next[1]);
      edge.observe(next[0], next[1] / 1000);
      at += 1;
    }
    if (standing && endMs / 1000 - position >= neededS) standing = false;
    if (!standing) {
      position = Math.min(endMs / 1000, position + (STEP_MS / 1000) * rate);
      if (position >= endMs / 1000) {
        standing = true;
        neededS = 0.4;
        if (now >= settleMs) played.stalls += 1;
      }
    }
    const live = edge.at(now);
    const distanceS = live === null ? null : live - position;
    if (now % 50 < STEP_MS) {
      const step = latencyStep(
        state,
        { nowMs: now, distanceS, shortfallS: edge.shortfall(now).p99Ms / 1000, stalls: played.stalls, hasAudio: true, playing: !standing },
        policy,
      );
      state = step.state;
      rate = step.action.rate;
      if (step.action.jumpToS !== null && live !== null) {
        position = Math.min(endMs / 1000, live - step.action.jumpToS);
        neededS = 0.2;
        played.jumps += 1;
      }
      if (rate !== rateBefore && now >= settleMs) played.rateChanges += 1;
      rateBefore = rate;
      played.rateMin = Math.min(played.rateMin, rate);
      played.rateMax = Math.max(played.rateMax, rate);
    }
    if (now >= settleMs && distanceS !== null) distances.push(distanceS * 1000);
  }
  distances.sort((a, b) => a - b);
  played.distanceP50 = Math.round(distances[Math.floor(distances.length * 0.5)] ?? 0);
  played.distanceP95 = Math.round(distances[Math.floor(distances.length * 0.95)] ?? 0);
  played.targetEnd = Math.round(state.targetS * 1000);
  return played;
}

/** A number sequence that is the same every time. */
export function seeded(seed: number): () => number {
  let value = seed >>> 0;
  return () => {
    value = (Math.imul(value, 1_664_525) + 1_013_904_223) >>> 0;
    return value / 2 ** 32;
  };
}

/** `seconds` of pictures at 30/s, each late by what `lateMs` says; order is kept, as TCP keeps it. */
export function pictures(seconds: number, lateMs: (ms: number) => number): Trace {
  const trace: [number, number][] = [];
  let before = 0;
  for (let i = 0; i < seconds * 30; i += 1) {
    const sent = (i * 1000) / 30;
    before = Math.max(before, sent + lateMs(sent));
    trace.push([before, ((i + 1) * 1000) / 30]);
  }
  return trace;
}
