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

/** Observations of a rendition that comes `lateMs` late from the first second on, with the server's word at 1.2 s. */
function movesWith(playing: string, lateMs: number, hint: AbrObservation['hint'], seconds = 1.5): string | undefined {
  let state = abrStart(0);
  for (let now = 0; now < seconds * 1_000; now += 50) {
    const late = now < 1_000 ? 0 : lateMs;
    const next = abrStep(state, {
      nowMs: now, rungs: RUNGS, playing, moving: null, bufferS: 0.3, targetS: 0.3, standing: false, box: null, saveData: false,
      chunks: [{ arrivalMs: now, endMs: now - 100 - late, bytes: 2_000, keyframe: false }], receivedBytes: now * 40,
      segment: { phaseS: 0.5, targetS: 2 }, probe: null, hint: now === 1_200 ? hint : null,
    });
    if (next.action.move) return next.action.move.name;
    state = next.state;
  }
  return undefined;
}

test('what waits unsent at the server makes a rendition that comes late go at once; nothing unsent proves nothing', () => {
  assert.equal(movesWith('source', 150, { deliveryBps: null, limited: false, unsentBytes: 60_000 }), '240p');
  assert.equal(movesWith('source', 150, { deliveryBps: null, limited: false, unsentBytes: 0 }), undefined);
  assert.equal(movesWith('source', 0, { deliveryBps: null, limited: false, unsentBytes: 60_000 }), undefined, 'it is in time');
});

test('a rate that the server has seen is looked into at once, once, and proves nothing', () => {
  const hint = { deliveryBps: 5_000_000, limited: true, unsentBytes: 0 };
  const at = (seen: Partial<AbrObservation>): AbrObservation => ({
    nowMs: 0, rungs: RUNGS, playing: '480p', moving: null, bufferS: 0.3, targetS: 0.3, standing: false, box: null, saveData: false, chunks: [],
    receivedBytes: 0, segment: { phaseS: 0.5, targetS: 2 }, probe: null, hint: null, ...seen,
  });
  const probes = (told: AbrObservation['hint']): number[] => {
    let state = abrStart(0);
    const found: number[] = [];
    for (let now = 0; now < 9_000; now += 50) {
      const chunks = [{ arrivalMs: now, endMs: now - 100, bytes: 2_000, keyframe: false }];
      const probe = found.at(-1) === now - 50 ? { state: 'failed' as const, bps: 0 } : null;
      const next = abrStep(state, at({ nowMs: now, chunks, receivedBytes: now * 40, probe, hint: now % 2_000 === 0 && now > 0 ? told : null }));
      assert.equal(next.action.move, null);
      if (next.action.probe) found.push(now);
      state = next.state;
    }
    return found;
  };
  assert.deepEqual(probes(null), [1_500, 4_550]);
  assert.deepEqual(probes({ ...hint, deliveryBps: 3_000_000 }), [1_500, 4_550], 'it is not enough');
  assert.deepEqual(probes(hint).slice(0, 2), [1_500, 2_000]);
  assert.equal(probes(hint).length, 3);
});

test('what the server tells of a path that is gone does no harm', () => {
  for (const hintAgeMs of [0, 1_000, 2_500, 4_000]) {
    for (const offset of [0, 700, 1_300]) {
      const course = watchOver({ seconds: 90, hintAgeMs, rate: step(20_000 + offset, 50_000 + offset) });
      assert.ok(course.stalls.length <= 1 && course.stalls.every((stall) => stall.ms <= 1_000), `${hintAgeMs} ms: ${says(course)}`);
      assert.deepEqual([course.at(30_000), course.at(65_000 + offset)], ['240p', 'source'], says(course));
      assert.ok(course.switches.length <= 3, says(course));
    }
    const narrow = watchOver({ seconds: 300, hintAgeMs, rate: () => 1.6 * MBPS });
    assert.equal(narrow.at(60_000), '480p', says(narrow));
    assert.ok(narrow.switches.length <= 4, says(narrow));
  }
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
