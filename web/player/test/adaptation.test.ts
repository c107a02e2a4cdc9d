// Tests of the policy that chooses renditions: on links whose rate changes, and on traces recorded in Chromium.
//
// In → Out: rates, pauses, boxes, probes → renditions over time, stalls, moves.
// Spec: issue "Every viewer's own quality", "Numbers"; `src/abr.ts`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { abrStart, abrStep, capIndex, type AbrObservation } from '../src/abr.ts';
import { type Course, RUNGS, watchOver } from './link_world.ts';

const MBPS = 1_000_000;
const step = (downMs: number, upMs: number, low = MBPS) => (ms: number): number => (ms < downMs || ms >= upMs ? 10 * MBPS : low);
const says = (course: Course): string => JSON.stringify({ switches: course.switches, stalls: course.stalls, probes: course.probes });

test('10 → 1 → 10 Mb/s, wherever in a segment: at most one stall of at most a second, and the best again within 15 s', () => {
  for (const offset of [0, 300, 700, 1_000, 1_300, 1_700]) {
    for (const rttMs of [10, 40, 100]) {
      const course = watchOver({ seconds: 90, rttMs, rate: step(20_000 + offset, 50_000 + offset) });
      assert.ok(course.stalls.length <= 1, says(course));
      assert.ok(course.stalls.every((stall) => stall.ms <= 1_000), says(course));
      assert.equal(course.at(30_000), '240p', says(course));
      assert.equal(course.at(65_000 + offset), 'source', says(course));
      assert.ok(course.switches.length <= 3, says(course));
      const settled = course.distance.slice(Math.floor((60_000 + offset) / 100));
      assert.ok(Math.max(...settled) < 700, 'latency is back within 10 s');
    }
  }
});

test('a rung that has to be started first costs more, and still ends the trouble', () => {
  const course = watchOver({ seconds: 90, coldMs: 2_000, rate: step(20_000, 50_000) });
  const stoodMs = course.stalls.reduce((sum, stall) => sum + stall.ms, 0);
  assert.ok(stoodMs < 2_500, says(course));
  assert.equal(course.at(30_000), '240p');
  assert.equal(course.at(65_000), 'source');
});

test('a path that is wide enough is never left, and never probed', () => {
  for (const rate of [3, 4, 10, 100]) {
    const course = watchOver({ seconds: 300, rate: () => rate * MBPS });
    assert.deepEqual([course.switches, course.stalls, course.probes], [[], [], 0], `${rate} Mb/s: ${says(course)}`);
  }
});

test('a path that is too narrow from the start gets what it carries, and does not flap for five minutes', () => {
  for (const [rate, name] of [[0.7, '240p'], [0.9, '240p'], [1.3, '240p'], [1.6, '480p'], [2.3, '480p']] as const) {
    const course = watchOver({ seconds: 300, rate: () => rate * MBPS });
    assert.equal(course.at(60_000), name, `${rate} Mb/s: ${says(course)}`);
    assert.ok(course.switches.length <= 4, `${rate} Mb/s: ${says(course)}`);
    assert.ok(course.stalls.every((stall) => stall.atMs < 20_000), `${rate} Mb/s: ${says(course)}`);
  }
});

test('a path that carries no picture at all still carries sound', () => {
  const course = watchOver({ seconds: 60, rate: () => 0.35 * MBPS });
  assert.ok(course.switches.some((one) => one.to === 'audio'), says(course));
});

test('a publisher that pauses and then sends all at once changes nothing', () => {
  for (const pauseMs of [200, 400, 700, 1_200]) {
    const course = watchOver({
      seconds: 60, rate: () => 20 * MBPS, publisher: (ms) => (ms > 20_000 && ms < 20_000 + pauseMs ? 20_000 + pauseMs : ms),
    });
    assert.deepEqual(course.switches, [], `${pauseMs} ms: ${says(course)}`);
  }
});

test('a path that goes up and down is followed with few moves', () => {
  const course = watchOver({ seconds: 200, rate: (ms) => (2 + 1.2 * Math.sin(ms / 4_000)) * MBPS });
  assert.ok(course.switches.length <= 14, says(course));
  assert.ok(course.meanBps > 600_000, `${course.meanBps}`);
});

test('after a failed move up the next try waits longer', () => {
  // Wide for a moment every ten seconds: a trap for a policy without a memory.
  const course = watchOver({ seconds: 240, rate: (ms) => (ms < 10_000 || ms % 10_000 < 2_500 ? 10 * MBPS : MBPS) });
  const ups = course.switches.filter((one, i) => one.to === 'source' && i > 0).map((one) => one.atMs);
  assert.ok(ups.length <= 6, says(course));
});

test('a rendition that never comes is not asked for again and again', () => {
  const course = watchOver({ seconds: 120, rate: step(20_000, 50_000), broken: ['480p'] });
  assert.ok(!course.switches.some((one) => one.to === '480p'));
  assert.equal(course.at(80_000), 'source');
});

test('nothing larger is played than what fills the element', () => {
  const cap = (width: number, height: number): string | undefined => RUNGS[capIndex({ rungs: RUNGS, box: { width, height }, saveData: false })]?.name;
  assert.equal(cap(1280, 720), 'source');
  assert.equal(cap(860, 484), 'source');
  assert.equal(cap(640, 360), '480p');
  assert.equal(cap(400, 225), '240p');
  assert.equal(cap(1, 1), '240p');
  const course = watchOver({ seconds: 30, rate: () => 50 * MBPS, box: { width: 640, height: 360 } });
  assert.deepEqual(course.switches.map((one) => one.to), ['480p']);
});

test('a picture in portrait is measured against the element too', () => {
  const rungs = RUNGS.map((rung) => ({ ...rung, width: rung.height, height: rung.width }));
  const cap = capIndex({ rungs, box: { width: 1170, height: 2532 }, saveData: false });
  assert.equal(rungs[cap]?.name, 'source');
  assert.equal(rungs[capIndex({ rungs, box: { width: 400, height: 480 }, saveData: false })]?.name, '480p');
});

test('data-saver stays at 480 lines and below, however wide the path', () => {
  const course = watchOver({ seconds: 60, rate: () => 100 * MBPS, saveData: true });
  assert.deepEqual(course.switches.map((one) => one.to), ['480p']);
  assert.equal(course.probes, 0);
});

test('while the server has nothing unsent, lateness is not the path\'s', () => {
  const at = (nowMs: number, lateMs: number, unsentBytes: number | null): AbrObservation => ({
    nowMs, rungs: RUNGS, playing: 'source', moving: null, bufferS: 0.1, targetS: 0.3, standing: false, box: null, saveData: false,
    chunks: [{ arrivalMs: nowMs, endMs: nowMs - 100 - lateMs, bytes: 4_000, keyframe: false }], receivedBytes: nowMs * 100,
    segment: { phaseS: 0.5, targetS: 2 }, probe: null, hint: { deliveryBps: null, unsentBytes },
  });
  const course = (unsentBytes: number | null): string | undefined => {
    let state = abrStart(0);
    for (let now = 0; now < 4_000; now += 50) {
      const next = abrStep(state, at(now, now < 1_000 ? 0 : (now - 1_000) * 0.6, unsentBytes));
      if (next.action.move) return next.action.move.name;
      state = next.state;
    }
    return undefined;
  };
  assert.equal(course(0), undefined);
  assert.equal(course(null), '240p');
});

test('hostile figures neither throw nor move anything', () => {
  let state = abrStart(0);
  for (const bad of [NaN, Infinity, -1, 0]) {
    const { state: next, action } = abrStep(state, {
      nowMs: 1_000, rungs: [{ name: 'source', bitrateBps: bad, width: bad, height: bad }], playing: 'source', moving: null,
      chunks: [{ arrivalMs: bad, endMs: bad, bytes: bad, keyframe: true }], receivedBytes: bad, bufferS: bad, targetS: bad, standing: false,
      segment: { phaseS: bad, targetS: bad }, box: { width: bad, height: bad }, saveData: true, probe: { state: 'done', bps: bad }, hint: null,
    });
    assert.equal(action.move, null);
    state = next;
  }
});
