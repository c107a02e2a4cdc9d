// Tests of the latency controller: single steps, made-up paths, and traces recorded in Chromium.
//
// In → Out: observations or traces → targets, rates, jumps, stalls.
// Spec: design "Numbers to reach"; `src/latency.ts`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LATENCY_POLICY, type LatencyObservation, latencyStart, type LatencyState, latencyStep } from '../src/latency.ts';
import { pictures, play, seeded, type Trace } from './simulate.ts';
import busyHost from './traces/busy_host.json' with { type: 'json' };
import quietHost from './traces/quiet_host.json' with { type: 'json' };

const calm: LatencyObservation = { nowMs: 0, distanceS: 0.25, shortfallS: 0.04, stalls: 0, hasAudio: true, playing: true };

/** Steps through observations 50 ms apart. */
function steps(state: LatencyState, count: number, seen: Partial<LatencyObservation>): { state: LatencyState; rate: number; jumpToS: number | null } {
  let last = { rate: 1, jumpToS: null as number | null };
  let now = state.lastMs ?? 0;
  for (let i = 0; i < count; i += 1) {
    now += 50;
    const step = latencyStep(state, { ...calm, ...seen, nowMs: now }, LATENCY_POLICY);
    state = step.state;
    last = step.action;
  }
  return { state, ...last };
}

test('the target is the floor, the shortfall and a margin', () => {
  const { state } = steps(latencyStart(true, LATENCY_POLICY), 1, { shortfallS: 0.1 });
  assert.ok(Math.abs(state.targetS - (LATENCY_POLICY.floorWithAudioS + 0.1 + LATENCY_POLICY.marginS)) < 1e-9);
});

test('pictures without sound are played nearer to the edge', () => {
  assert.ok(latencyStart(false, LATENCY_POLICY).targetS < latencyStart(true, LATENCY_POLICY).targetS);
});

test('the target grows at once and comes down slowly', () => {
  const up = steps(latencyStart(true, LATENCY_POLICY), 1, { shortfallS: 0.3 }).state;
  assert.ok(up.targetS > 0.45);
  const second = steps(up, 20, { shortfallS: 0.04 }).state;
  assert.ok(up.targetS - second.targetS < 0.02, 'after one second');
  const minute = steps(second, 20 * 90, { shortfallS: 0.04 }).state;
  assert.ok(minute.targetS < 0.26, `after a minute and a half: ${minute.targetS}`);
});

test('a stall raises the target, and time forgives it', () => {
  const before = steps(latencyStart(true, LATENCY_POLICY), 1, {}).state;
  const after = steps(before, 1, { stalls: 1 }).state;
  assert.ok(after.targetS >= before.targetS + LATENCY_POLICY.stallStepS - 0.001);
  const forgiven = steps(after, 20 * 60, { stalls: 1 }).state;
  assert.ok(forgiven.targetS < before.targetS + 0.01);
});

test('the rate stays within its span and comes back to exactly one', () => {
  const { state } = steps(latencyStart(true, LATENCY_POLICY), 1, {});
  assert.equal(steps(state, 1, { distanceS: state.targetS + 0.5 }).rate, 1.05);
  assert.equal(steps(state, 1, { distanceS: state.targetS - 0.5 }).rate, 0.95);
  assert.equal(steps(state, 1, { distanceS: state.targetS + 0.01 }).rate, 1);
});

test('far behind it jumps, and only when it plays', () => {
  const { state } = steps(latencyStart(true, LATENCY_POLICY), 1, {});
  assert.ok((steps(state, 1, { distanceS: 3 }).jumpToS ?? 0) > 0.1);
  assert.equal(steps(state, 1, { distanceS: 3, playing: false }).jumpToS, null);
  assert.equal(steps(state, 1, { distanceS: null }).jumpToS, null);
});

test('hostile figures keep the target within its bounds', () => {
  for (const seen of [{ shortfallS: 1e9 }, { shortfallS: -5 }, { stalls: 1_000_000 }, { distanceS: -1e9 }, { nowMs: Number.MAX_SAFE_INTEGER }]) {
    const { state, rate } = steps(latencyStart(true, LATENCY_POLICY), 3, seen);
    assert.ok(state.targetS >= LATENCY_POLICY.floorWithAudioS && state.targetS <= LATENCY_POLICY.targetMaxS, JSON.stringify(seen));
    assert.ok(rate >= 0.95 && rate <= 1.05);
  }
});

test('a clean path is played at its target without a stall, and almost always at rate one', () => {
  const random = seeded(1);
  const played = play(pictures(600, () => random() * 3));
  assert.deepEqual([played.stalls, played.jumps], [0, 0]);
  assert.ok(played.distanceP95 < 280, JSON.stringify(played));
  assert.ok(played.rateChanges < 60, JSON.stringify(played));
});

test('RTT 40 with jitter and losses: under 400 ms to the edge, no stall in five minutes', () => {
  const random = seeded(7);
  // Calibrated on one BBR connection with 0.5 % loss: p50 33, p95 about 90, p99 about 140, p99.9 about 250 ms.
  const played = play(pictures(300, () => 20 + random() * 10 + (random() < 0.025 ? 40 + random() * 140 : 0)));
  assert.equal(played.stalls, 0, JSON.stringify(played));
  assert.ok(played.distanceP50 < 400, JSON.stringify(played));
});

test('an outage of two seconds stalls once, and then the newest is shown', () => {
  const played = play(pictures(60, (ms) => (ms > 20_000 && ms < 22_000 ? 22_000 - ms : 1)));
  assert.equal(played.stalls, 1, JSON.stringify(played));
  assert.ok(played.jumps <= 1);
  assert.ok(played.distanceP50 < 600, JSON.stringify(played));
});

test('a publisher whose clock runs 100 ppm fast is followed', () => {
  const trace = pictures(600, () => 1).map(([arrival, end]) => [arrival * 0.9999, end] as const);
  const played = play(trace);
  assert.equal(played.stalls, 0);
  assert.ok(played.distanceP95 < 300, JSON.stringify(played));
});

test('recorded: a host with time for us, from RTMP to the browser', () => {
  const played = play(quietHost.arrivals as unknown as Trace);
  assert.deepEqual([played.stalls, played.jumps], [0, 0]);
  assert.ok(played.distanceP95 < 290, JSON.stringify(played));
});

test('recorded: a host whose two cores are fought over by compilers', () => {
  const played = play(busyHost.arrivals as unknown as Trace);
  assert.deepEqual([played.stalls, played.jumps], [0, 0]);
  assert.ok(played.distanceP95 < 450, JSON.stringify(played));
});
