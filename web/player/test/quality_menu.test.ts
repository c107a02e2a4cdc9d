// Tests of the words in the menu of qualities; the menu itself is tested in a browser.
//
// In → Out: renditions and bitrates → words.
// Spec: issue "Every viewer's own quality".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitrateWords, qualityName } from '../src/quality_words.ts';

test('a quality is named by the shorter side of its picture', () => {
  assert.equal(qualityName({ name: 'source', width: 1280, height: 720, bitrateBps: 1 }), '720p');
  assert.equal(qualityName({ name: '480p', width: 480, height: 854, bitrateBps: 1 }), '480p');
  assert.equal(qualityName({ name: 'audio', width: 0, height: 0, bitrateBps: 1 }), 'Sound only');
});

test('bitrates are said shortly, and not at all while unknown', () => {
  assert.deepEqual([2_500_000, 999_600, 560_400, 0, NaN].map(bitrateWords), ['2.5 Mb/s', '1.0 Mb/s', '560 kb/s', '', '']);
});
