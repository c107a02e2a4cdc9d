// Tests of the studio's words and its graph.
//
// In → Out: audit lines, delays, advice, hearts with moments → short English, series.
// Spec: docs/ix.md, "Moderation", "Flash jury".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Comment, StaffNews } from '../../interaction/src/index.ts';
import { middle, PerSecond, SPAN_S } from '../src/graph.ts';
import { adviceIn, deed, finding, listedWords, reactsTo } from '../src/studio_words.ts';

const ANN = '00000000000000aa';
const nameOf = (viewer: string): string | null => (viewer === ANN ? 'Ann' : null);

test('what was done is said with names', () => {
  const comment: Comment = { id: '1', author: ANN, name: 'Ann', text: 'x'.repeat(80), mediaMs: 0, broadcaster: false };
  const done = (rest: Partial<Extract<StaffNews, { kind: 'done' }>>): string =>
    deed({ kind: 'done', verb: 'block', by: 'broadcaster', viewer: null, comment: null, word: null, atMs: 0, ...rest }, nameOf);
  assert.equal(done({ viewer: ANN }), 'You blocked Ann');
  assert.equal(done({ verb: 'mute', by: 'jury:3', viewer: '00000000000000bb' }), 'A jury muted a viewer');
  assert.equal(done({ verb: 'delete', by: `viewer:${ANN}`, comment }), `Ann deleted “${'x'.repeat(59)}…” by Ann`);
  assert.equal(done({ verb: 'slow', by: 'operator' }), 'The operator changed slow mode');
  assert.equal(done({ verb: 'forbid', word: 'turnip*' }), 'You forbade “turnip*”');
  assert.match(finding('cleared'), /nothing wrong/);
  assert.deepEqual([0, 1, 120].map(listedWords), ['', 'The operator forbids one more.', 'The operator forbids 120 more.']);
});

test('how far behind they are is said in tenths of a second', () => {
  assert.deepEqual([null, 20, 420, 1_250, 12_400].map(reactsTo), ['', 'right now', '0.4 s ago', '1.3 s ago', '12 s ago']);
  assert.equal(middle([900, 100, 400]), 400);
  assert.equal(middle([]), null);
});

test('advice is shown in whatever form it comes, and nothing else is', () => {
  assert.deepEqual(adviceIn({ advice: ['shorter GOP', { code: 'b', message: 'no B-frames' }, 7, '', { message: 4 }] }), ['shorter GOP', 'no B-frames']);
  assert.deepEqual(adviceIn({}), []);
  assert.deepEqual(adviceIn(null), []);
  assert.deepEqual(adviceIn({ advice: 'one' }), ['one']);
});

test('hearts are counted by the second, and old seconds go', () => {
  const counts = new PerSecond();
  counts.add(3, 10_200);
  counts.add(2, 10_900);
  counts.add(1, 12_000);
  assert.deepEqual(counts.series(12_500).slice(-3), [5, 0, 1]);
  assert.equal(counts.series(12_500).length, SPAN_S);
  assert.deepEqual(counts.series(12_000 + SPAN_S * 1_000).filter((one) => one > 0), []);
  counts.add(1, 1e9);
  assert.equal(counts.series(1e9).at(-1), 1);
});
