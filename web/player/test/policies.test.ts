// Tests of the small pure policies: joining, recovering, clocks, timelines and the live edge.
//
// In → Out: situations → decisions.
// Spec: the headers of the modules under test.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { improve } from '../src/clock.ts';
import { LiveEdge } from '../src/edge.ts';
import { type Burst, burstGrow, burstLook, burstStart } from '../src/join.ts';
import { recover } from '../src/recovery.ts';
import { Timeline } from '../src/timeline.ts';

/** Looks each 6 ms, as the player does, while chunks (ms, media end in s) come; gives when it begins and is over. */
function watch(chunks: readonly (readonly [number, number])[], untilMs: number): { beginMs: number | null; overMs: number | null } {
  let burst: Burst | null = null;
  let beginMs: number | null = null;
  let at = 0;
  for (let now = 0; now <= untilMs; now += 2) {
    for (let next = chunks[at]; next && next[0] <= now; next = chunks[at]) {
      burst = burst ? burstGrow(burst, now, next[1]) : burstStart(now, next[1]);
      at += 1;
    }
    if (!burst || now % 6 !== 0) continue;
    const look = burstLook(burst, now);
    burst = look.burst;
    if (look.begin) beginMs ??= now;
    if (look.over) return { beginMs, overMs: now };
  }
  return { beginMs, overMs: null };
}

/** A chunk a picture from `fromMs` on, at real time, after media up to `endS`. */
function live(fromMs: number, endS: number, count = 30): [number, number][] {
  return Array.from({ length: count }, (_, i) => [fromMs + i * 33, endS + (i + 1) * 0.033]);
}

test('a join begins as soon as its burst has stopped, and what follows is live soon after', () => {
  const { beginMs, overMs } = watch([[0, 0.5], [2, 1], [5, 1.9], ...live(30, 1.9)], 1_000);
  assert.ok(beginMs !== null && beginMs <= 18, `${beginMs}`);
  assert.ok(overMs !== null && overMs <= 130, `${overMs}`);
});

test('a segment that has only just begun is live from its first chunk', () => {
  const { beginMs, overMs } = watch(live(0, 0), 1_000);
  assert.ok(beginMs !== null && beginMs <= 18, `${beginMs}`);
  assert.ok(overMs !== null && overMs <= 66, `${overMs}`);
});

test('a pause inside the burst is not taken for its end', () => {
  const { beginMs, overMs } = watch([[0, 0.033], [40, 0.6], [70, 1.2], [95, 1.9], ...live(120, 1.9)], 1_000);
  assert.ok(beginMs !== null && beginMs <= 18, 'the first picture does not wait');
  assert.ok(overMs !== null && overMs > 95 && overMs <= 200, `${overMs}`);
});

test('on a slow path the picture begins inside the burst, and nothing is measured until it is over', () => {
  const chunks: [number, number][] = [];
  for (let ms = 0; ms <= 900; ms += 10) chunks.push([ms, ms * 0.004]);
  const { beginMs, overMs } = watch([...chunks, ...live(930, 3.6)], 2_000);
  assert.ok(beginMs !== null && beginMs >= 400 && beginMs <= 410, `${beginMs}`);
  assert.ok(overMs !== null && overMs > 900, `${overMs}`);
});

test('a path that always bursts is measured after five seconds', () => {
  const chunks: [number, number][] = [];
  for (let ms = 0; ms <= 9_000; ms += 10) chunks.push([ms, ms * 0.004]);
  assert.ok((watch(chunks, 9_000).overMs ?? 0) <= 5_010);
});

test('a hole in the buffer is jumped', () => {
  const ranges = [{ start: 0, end: 10 }, { start: 14, end: 15 }];
  assert.equal(recover({ positionS: 10, ranges, stuckMs: 100, targetS: 0.25 }), 14.001);
  assert.equal(recover({ positionS: 9.99, ranges, stuckMs: 100, targetS: 0.25 }), 14.001);
  assert.equal(recover({ positionS: 9.99, ranges, stuckMs: 20, targetS: 0.25 }), null);
});

test('an empty buffer is waited for', () => {
  assert.equal(recover({ positionS: 10, ranges: [{ start: 0, end: 10 }], stuckMs: 60_000, targetS: 0.25 }), null);
  assert.equal(recover({ positionS: 10, ranges: [], stuckMs: 60_000, targetS: 0.25 }), null);
});

test('a playhead that stands in front of media is nudged, once it has had time', () => {
  const seen = { positionS: 5, ranges: [{ start: 0, end: 10 }], targetS: 0.25 };
  assert.equal(recover({ ...seen, stuckMs: 1_000 }), null);
  assert.equal(recover({ ...seen, stuckMs: 2_000 }), 5.05);
});

test('a playhead far beyond everything buffered comes back', () => {
  assert.equal(recover({ positionS: 100, ranges: [{ start: 0, end: 10 }], stuckMs: 400, targetS: 0.25 }), 9.75);
});

test('the shortest round trip speaks for the clock, until it is too old', () => {
  const slow = improve(null, { sentMs: 0, receivedMs: 100, serverMs: 5_050 });
  assert.deepEqual(slow, { offsetMs: 5_000, rttMs: 100, takenMs: 100 });
  const quick = improve(slow, { sentMs: 200, receivedMs: 204, serverMs: 5_212 });
  assert.equal(quick?.offsetMs, 5_010);
  assert.equal(improve(quick, { sentMs: 300, receivedMs: 350, serverMs: 9_999 }), quick);
  const later = improve(quick, { sentMs: 1_000_000, receivedMs: 1_000_020, serverMs: 1_005_020 });
  assert.equal(later?.rttMs, 20);
  assert.equal(improve(quick, { sentMs: 0, receivedMs: 1, serverMs: Number.NaN }), quick);
});

test('wall time is told piece by piece across a publisher that went away', () => {
  const timeline = new Timeline();
  assert.equal(timeline.wallAt(1), null);
  timeline.add(10, 100_000);
  timeline.add(12, 102_000);
  timeline.add(14, 130_000);
  assert.equal(timeline.wallAt(13), 103_000);
  assert.equal(timeline.wallAt(14.5), 130_500);
  assert.equal(timeline.wallAt(9), 99_000);
});

test('a timeline that starts again forgets what lay ahead, and never grows without bound', () => {
  const timeline = new Timeline();
  timeline.add(1_000, 5_000);
  timeline.add(2, 9_000);
  assert.equal(timeline.wallAt(1_000), 9_000 + 998_000);
  for (let s = 3; s < 5_000; s += 1) timeline.add(s, s * 1_000);
  assert.equal(timeline.wallAt(4_999), 4_999_000);
});

test('the edge is where the fastest chunk says it is, and what is missing before a late one is the shortfall', () => {
  const edge = new LiveEdge();
  for (let i = 0; i < 100; i += 1) edge.observe(1_000 + i * 33 + (i % 10 === 0 ? 40 : i % 2), i * 0.033);
  assert.ok(Math.abs((edge.at(1_001) ?? 99) - 0.001) < 0.002);
  const { p50Ms, p99Ms } = edge.shortfall(5_000);
  assert.ok(Math.abs(p50Ms - 33.5) <= 1, `${p50Ms}`);
  assert.ok(Math.abs(p99Ms - 73) <= 1, `${p99Ms}`);
});

test('a chunk each 100 ms asks for 100 ms more than a steady stream of bytes would', () => {
  const edge = new LiveEdge();
  for (let i = 1; i < 100; i += 1) edge.observe(i * 100, i * 0.1);
  assert.ok(Math.abs(edge.shortfall(10_000).p99Ms - 100) < 0.01);
});

test('chunks that come in one read count once, with the end of the last', () => {
  const edge = new LiveEdge();
  for (let i = 1; i < 100; i += 1) {
    edge.observe(i * 33, i * 0.033 - 0.02);
    edge.observe(i * 33, i * 0.033);
  }
  assert.ok(Math.abs(edge.shortfall(5_000).p50Ms - 33) < 0.01);
});

test('what came late beside a probe of our own says nothing of the path', () => {
  for (const isOurs of [true, false]) {
    const edge = new LiveEdge();
    for (let i = 0; i < 100; i += 1) edge.observe(1_000 + i * 33 + (i > 50 && i < 56 ? 120 : 0), i * 0.033, isOurs && i > 50 && i < 57);
    const { p99Ms } = edge.shortfall(1_000 + 100 * 33);
    assert.equal(p99Ms > 100, !isOurs, `${p99Ms}`);
    assert.ok(Math.abs((edge.at(5_000) ?? 0) - 4) < 0.001, 'the edge is where it was');
  }
});

test('a slower path is believed after twenty seconds', () => {
  const edge = new LiveEdge();
  for (let ms = 0; ms < 10_000; ms += 33) edge.observe(ms, ms / 1000);
  for (let ms = 10_000; ms < 40_000; ms += 33) edge.observe(ms + 50, ms / 1000);
  assert.ok(Math.abs((edge.at(40_000) ?? 0) - 39.95) < 0.002);
  assert.ok(edge.shortfall(40_000).p99Ms < 34);
});

test('a join that takes a second to catch up leaves no shortfall behind', () => {
  const edge = new LiveEdge();
  // Two seconds of media at four times its pace, then live.
  let now = 0;
  for (let end = 33; end <= 6_000; end += 33) {
    now = Math.max(now + 8, end - 1_300);
    edge.observe(now, end / 1000);
  }
  assert.ok(edge.shortfall(now).p99Ms < 100, JSON.stringify(edge.shortfall(now)));
});
