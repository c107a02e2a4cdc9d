// Tests of what the pages say, and of how they read their own address.
//
// In → Out: states, numbers, paths → words, ids.
// Spec: design contract "Paths".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { broadcastInPath } from '../src/broadcast_page.ts';
import { age, explain, hue, short, watching } from '../src/words.ts';
import type { Broadcast, BroadcastState, Lookup } from '../src/api.ts';

const NOW = Date.parse('2026-11-22T12:00:00Z');

test('ages are said as people say them', () => {
  const said = (since: string): string | null => age(since, NOW);
  assert.equal(said('2026-11-22T11:59:40Z'), 'just now');
  assert.equal(said('2026-11-22T12:00:05Z'), 'just now');
  assert.equal(said('2026-11-22T11:55:00Z'), '5 min');
  assert.equal(said('2026-11-22T10:00:00Z'), '2 h');
  assert.equal(said('2026-11-22T09:50:00Z'), '2 h 10 min');
  assert.equal(said('2026-11-20T09:50:00Z'), '2 days');
  assert.equal(said('soon'), null);
  assert.equal(age(null, NOW), null);
});

test('crowds are said shortly', () => {
  assert.deepEqual([0, 1, 999, 1_000, 1_249, 12_300, 999_499, 999_500, 3_400_000].map(short), [
    '0', '1', '999', '1 k', '1.2 k', '12 k', '999 k', '1 M', '3.4 M',
  ]);
  assert.equal(watching(0), 'nobody watching yet');
  assert.equal(watching(12_300), '12 k watching');
});

test('a broadcast keeps its colour', () => {
  assert.equal(hue('demo'), hue('demo'));
  assert.ok(hue('💜'.repeat(500)) < 360);
});

test('the address names the broadcast', () => {
  assert.equal(broadcastInPath('/b/demo'), 'demo');
  assert.equal(broadcastInPath('/b/demo/'), 'demo');
  assert.equal(broadcastInPath('/b/demo/embed'), 'demo');
  assert.equal(broadcastInPath('/b/a%2Fb'), 'a%2Fb');
  for (const path of ['/', '/b/', '/b', '/b/demo/other', '/x/demo']) assert.equal(broadcastInPath(path), null, path);
});

test('every state without a picture is said in plain words', () => {
  const found = (state: BroadcastState): Lookup => {
    const broadcast: Broadcast = { id: 'x', title: 'A walk', state, since: null, viewers: 0, watchUrl: '/b/x', thumbnailUrl: null, previewUrl: null };
    return { kind: 'found', broadcast };
  };
  assert.match(explain('away', found('reconnecting'), 'x') ?? '', /A walk is away/);
  assert.match(explain('offline', found('idle'), 'x') ?? '', /not live yet/);
  assert.match(explain('ended', found('ended'), 'x') ?? '', /has ended/);
  assert.match(explain('offline', { kind: 'unknown' }, 'x') ?? '', /no broadcast called “x”/);
  assert.equal(explain('away', found('live'), 'x'), null);
  assert.equal(explain('unreachable', { kind: 'no-answer' }, 'x'), null);
});
