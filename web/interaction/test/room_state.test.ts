// Tests of the room's state: order, epochs, gaps, deletions.
//
// In → Out: lines in good and in bad order → what is new, and how it stands.
// Spec: docs/ix.md, "Reading"; cases IX-11, IX-14, IX-16.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RoomState } from '../src/room_state.ts';
import { parseLine } from '../src/wire.ts';
import { beatLine, comment, hearts, hex, snapshotLine } from './lines_of.ts';

function read(state: RoomState, ...lines: string[]): (ReturnType<RoomState['apply']>)[] {
  return lines.map((text) => {
    const line = parseLine(text);
    assert.ok(line, text);
    if (line.kind === 'snapshot') state.beginSegment();
    return state.apply(line);
  });
}

test('a late joiner knows totals, rules, pin and the last comments from the first line', () => {
  const state = new RoomState();
  const [news] = read(state, snapshotLine({ hearts: hearts({ 2: 12 }), total: 12, said: 40, viewers: { n: 9, err: 2 }, pin: comment(7), last: [comment(8), comment(9)] }));
  assert.deepEqual([state.total, state.said, state.viewers, state.pin?.id], [12, 40, { count: 9, error: 2 }, hex(7)]);
  assert.deepEqual(news?.comments.map((one) => one.id), [hex(8), hex(9)]);
  assert.equal(news?.gap, false);
});

test('beats add to the totals, and a segment that is read again adds nothing', () => {
  const state = new RoomState();
  const lines = [snapshotLine(), beatLine(11, { hearts: hearts({ 1: 3 }), comments: [comment(1)] }), beatLine(12, { hearts: hearts({ 1: 1, 5: 2 }) })];
  read(state, ...lines);
  assert.deepEqual([state.total, state.said, state.seq], [6, 1, 12]);
  const again = read(state, ...lines);
  assert.ok(again.every((news) => news === null));
  assert.deepEqual([state.total, state.said], [6, 1]);
});

test('the snapshot of the next segment shows nothing twice', () => {
  const state = new RoomState();
  read(state, snapshotLine(), beatLine(11, { comments: [comment(1)] }));
  const [news] = read(state, snapshotLine({ seq: 11, said: 1, last: [comment(1)] }));
  assert.deepEqual(news?.comments, []);
  assert.equal(news?.gap, false);
});

test('after a gap it stands as the snapshot says, and only what is unseen is new', () => {
  const state = new RoomState();
  read(state, snapshotLine(), beatLine(11, { comments: [comment(1), comment(2)] }));
  const [news] = read(state, snapshotLine({ seq: 500, total: 77, hearts: hearts({ 0: 77 }), last: [comment(2), comment(3)] }));
  assert.equal(news?.gap, true);
  assert.deepEqual(news?.comments.map((one) => one.id), [hex(3)]);
  assert.deepEqual(news?.known, [hex(2), hex(3)]);
  assert.equal(news?.hearts, null);
  assert.equal(state.total, 77);
});

test('ix_11 a lower epoch is ignored with everything in its segment', () => {
  const state = new RoomState();
  read(state, snapshotLine({ epoch: 3, seq: 5 }));
  const old = read(state, snapshotLine({ epoch: 2, seq: 900, total: 9 }), beatLine(901, { hearts: hearts({ 0: 9 }) }));
  assert.deepEqual(old, [null, null]);
  assert.equal(state.total, 0);
  const [next] = read(state, snapshotLine({ epoch: 4, seq: 1, total: 2, hearts: hearts({ 0: 2 }) }));
  assert.ok(next);
  assert.equal(state.total, 2);
});

test('ix_16 what was deleted vanishes, is no pin any more and does not come back with an old snapshot', () => {
  const state = new RoomState();
  read(state, snapshotLine({ pin: comment(1), last: [comment(1), comment(2)] }));
  const [news] = read(state, beatLine(11, { gone: [hex(1), hex(2)] })).slice(-1);
  assert.deepEqual(news?.gone, [hex(1), hex(2)]);
  assert.equal(state.pin, null);
  const [late] = read(state, snapshotLine({ seq: 11, last: [comment(2)], pin: comment(1) }));
  assert.deepEqual(late?.comments, []);
  assert.equal(state.pin, null);
});

test('a mute ends when its time has come or a beat lifts it', () => {
  const state = new RoomState();
  read(state, snapshotLine({ muted: [[hex(1), 0], [hex(2), 200_000]] }));
  assert.equal(state.mutedUntil(hex(1), 1e12), 0);
  assert.equal(state.mutedUntil(hex(2), 150_000), 200_000);
  assert.equal(state.mutedUntil(hex(2), 200_000), null);
  read(state, beatLine(11, { muted: [[hex(1), 1]] }));
  assert.equal(state.mutedUntil(hex(1), 150_000), null);
});

test('a jury is put before a viewer once, though snapshots repeat it', () => {
  const state = new RoomState();
  const jury = { id: 4, jurors: [hex(1)], comment: comment(1), until: 115_000 };
  read(state, snapshotLine());
  assert.equal(read(state, beatLine(11, { juries: [jury] }))[0]?.juries.length, 1);
  assert.equal(read(state, snapshotLine({ seq: 11, juries: [jury] }))[0]?.juries.length, 0);
});

test('own comments that come back are not new', () => {
  const state = new RoomState();
  read(state, snapshotLine());
  state.remember(hex(5));
  assert.deepEqual(read(state, beatLine(11, { comments: [comment(5), comment(6)] }))[0]?.comments.map((one) => one.id), [hex(6)]);
});
