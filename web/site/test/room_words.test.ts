// Tests of what the room says in words, and of what the comment line takes.
//
// In → Out: fates, rules, joins, texts → short English.
// Spec: docs/ix.md, "Refusals", "Rules", "Comments".

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Comment, Rules } from '../../interaction/src/index.ts';
import { whyNot } from '../src/composer.ts';
import { fateInWords, heard, invitation, joined, reason } from '../src/room_words.ts';

const RULES: Rules = { tapMs: 100, tapIn: 1, heartbeatMs: 10_000, heartbeatIn: 1, slowMs: 0, gate: 'all', beatMs: 250, jitterMs: 5_000, juries: true };

test('every refusal of the wire has words of its own', () => {
  const page = readFileSync(new URL(import.meta.url).pathname.replace(/^(.*)\/web\/.*$/, '$1/docs/ix.md'), 'utf8');
  const table = page.split('### Refusals')[1]?.split('### The socket')[0] ?? '';
  const codes = [...table.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1] ?? '');
  assert.ok(codes.length >= 10, String(codes));
  for (const code of codes.filter((one) => one !== 'unknown')) assert.notEqual(reason(code, 'fallback'), 'fallback', code);
  assert.equal(reason('something new', 'as the server says'), 'as the server says');
});

test('the comment line says what the room allows', () => {
  assert.deepEqual(invitation(RULES, 0, null), { text: 'Say something…', open: true });
  assert.equal(invitation(RULES, 4, null).open, false);
  assert.equal(invitation({ ...RULES, gate: 'nobody' }, 0, null).open, false);
  assert.match(invitation({ ...RULES, slowMs: 5_000 }, 0, null).text, /Slow mode, 5 s/);
  assert.deepEqual(invitation(RULES, 0, 12_300), { text: 'You are muted for 13 s', open: false });
  assert.match(invitation(RULES, 0, 0).text, /for this broadcast/);
});

test('joins are told in one line', () => {
  assert.equal(joined(1, ['Ann']), 'Ann joined');
  assert.equal(joined(2, ['Ann', 'Bea']), 'Ann and Bea joined');
  assert.equal(joined(3, ['Ann', 'Bea']), 'Ann, Bea and 1 other joined');
  assert.equal(joined(9, []), '9 people joined');
});

test('a comment has one to two hundred characters as people count them', () => {
  assert.equal(whyNot('x'.repeat(200)), null);
  assert.equal(whyNot('👍🏽'.repeat(200)), null);
  assert.match(whyNot('x'.repeat(201)) ?? '', /200/);
  assert.match(whyNot('👩‍👩‍👧‍👦'.repeat(100)) ?? '', /too long/);
  assert.ok(whyNot(''));
});

test('what becomes of an own comment is said only when it is worth saying', () => {
  assert.equal(fateInWords({ kind: 'sending', offline: false }), '');
  assert.equal(fateInWords({ kind: 'said' }), '');
  assert.match(fateInWords({ kind: 'sending', offline: true }), /network/);
  assert.match(fateInWords({ kind: 'refused', code: 'words', message: '' }), /word/);
});

test('a screen reader hears one comment, or how many there were', () => {
  const comment = (text: string): Comment => ({ id: text, author: '', name: 'Ann', text, mediaMs: 0, broadcaster: false });
  assert.equal(heard([comment('hi')]), 'Ann: hi');
  assert.equal(heard([comment('a'), comment('b'), comment('c')]), '3 comments. Ann: c');
  assert.equal(heard([]), '');
});
