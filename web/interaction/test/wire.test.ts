// Tests of the wire: the documented examples, and lines that nobody should send.
//
// In → Out: lines → values, cut to bounds.
// Spec: docs/ix.md; case IX-07.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { colourOf, randomId } from '../src/ids.ts';
import { LineSplitter } from '../src/lines.ts';
import { type Beat, LINE_MAX, parseLine, parseStaff, type Snapshot } from '../src/wire.ts';
import { beatLine, comment, documented, hearts, hex, snapshotLine } from './lines_of.ts';

test('every documented line is understood', () => {
  const lines = documented('jsonl').flatMap((block) => block.split('\n'));
  assert.ok(lines.length >= 6, String(lines.length));
  const parsed = lines.map(parseLine);
  assert.ok(parsed.every(Boolean));
  const first = parsed[0] as Snapshot;
  assert.equal(first.total, 15);
  assert.deepEqual([first.rules.juries, (parsed[1] as Snapshot).rules.juries], [true, false]);
  assert.deepEqual(first.last.map((one) => [one.name, one.broadcaster]), [['Ann', false], ['Bea', true]]);
  const jury = parsed.find((line): line is Beat => line?.kind === 'beat' && line.juries.length > 0)?.juries[0];
  assert.equal(jury?.jurors.length, 3);
});

test('a colour is the one that the server reckons', () => {
  // 0xaa × 0x9e3779b97f4a7c15 mod 2⁶⁴ begins with the hexadecimal digit 0x1.
  const expected = Number(((0xaan * 0x9e3779b97f4a7c15n) % (1n << 64n)) >> 60n);
  assert.equal(colourOf(hex(0xaa)), expected);
  assert.equal(colourOf('not an id'), 0);
  for (let i = 0; i < 200; i += 1) assert.ok(colourOf(randomId()) < 16);
});

test('ix_07 nonsense is no line, and what is malformed inside a line is left out', () => {
  for (const line of ['', '[]', 'null', '{', '{"k":"x"}', '{"k":"b"}', snapshotLine({ v: 2 }), snapshotLine({ hearts: [1] }), '1'.repeat(LINE_MAX + 1)]) {
    assert.equal(parseLine(line), null, line.slice(0, 40));
  }
  const beat = parseLine(beatLine(1, {
    comments: [comment(1), { id: 'x' }, null, comment(2, { t: 7 }), comment(3, { u: '<b>' }), comment(4)],
    hearts: [1, 2], gone: ['zz', hex(9), 4], viewers: { n: -1 }, joins: { n: 1.5, names: ['', 'Zoë', 3] }, muted: [[hex(1), 0], ['x', 1], 5], level: 99,
    pin: { id: 'no' }, juries: [{ id: 1 }], rules: { tap_ms: 0, tap_in: 1e9, hb_ms: 1, gate: '<script>' },
  })) as Beat;
  assert.deepEqual(beat.comments.map((one) => one.id), [hex(1), hex(4)]);
  assert.equal(beat.hearts, null);
  assert.deepEqual(beat.gone, [hex(9)]);
  assert.equal(beat.viewers, null);
  assert.deepEqual(beat.joins, { count: 0, names: ['Zoë'] });
  assert.deepEqual(beat.muted, [{ viewer: hex(1), untilMs: 0 }]);
  assert.deepEqual([beat.level, beat.pin, beat.juries.length], [4, null, 0]);
  // Rules out of range would make a page flood the server.
  assert.deepEqual([beat.rules?.tapMs, beat.rules?.tapIn, beat.rules?.heartbeatMs, beat.rules?.gate], [50, 4_096, 1_000, 'all']);
});

test('ix_07 a line of thousands is cut, and characters that turn the direction of a page do not pass', () => {
  const many = parseLine(beatLine(1, { comments: Array.from({ length: 1_500 }, (_, i) => comment(i)) })) as Beat;
  assert.equal(many.comments.length, 128);
  const odd = parseLine(beatLine(1, { comments: [comment(1, { t: `a\u202eb\u0000c\u2066d${'x'.repeat(9_000)}` })] })) as Beat;
  assert.match(odd.comments[0]?.text ?? '', /^a b c dx+$/);
  assert.ok((odd.comments[0]?.text.length ?? 0) <= 1_600);
});

test('a message of the socket is understood, and an unknown one is not', () => {
  assert.equal(parseStaff(JSON.stringify({ k: 'm', seq: 1, at: 5, hearts: hearts({ 3: 2 }) }))?.kind, 'micro');
  assert.deepEqual(parseStaff(JSON.stringify({ k: 'failed', do: 'pin', message: 'it is gone' })), { kind: 'failed', verb: 'pin', message: 'it is gone' });
  const done = parseStaff(JSON.stringify({ k: 'done', do: 'block', by: 'broadcaster', viewer: hex(1), at: 5 }));
  assert.ok(done?.kind === 'done' && done.viewer === hex(1) && done.comment === null);
  const verdict = parseStaff(JSON.stringify({ k: 'verdict', id: hex(2), code: 'words' }));
  assert.ok(verdict?.kind === 'verdict' && !verdict.accepted && verdict.code === 'words');
  assert.equal(parseStaff('{"k":"b","seq":1,"at":1}'), null);
});

test('lines are cut from bytes wherever these were torn, and a line without end is left out', () => {
  const bytes = new TextEncoder().encode('{"a":"ä❤"}\n{"b":1}\n\n{"c"');
  for (let size = 1; size <= bytes.length; size += 1) {
    const splitter = new LineSplitter();
    const lines: string[] = [];
    for (let at = 0; at < bytes.length; at += size) lines.push(...splitter.push(bytes.slice(at, at + size)));
    assert.deepEqual(lines, ['{"a":"ä❤"}', '{"b":1}'], `in pieces of ${size}`);
  }
  const splitter = new LineSplitter();
  const flood = new TextEncoder().encode('x'.repeat(100_000));
  for (let i = 0; i < 10; i += 1) assert.deepEqual(splitter.push(flood), []);
  assert.deepEqual(splitter.push(new TextEncoder().encode('\n{"ok":1}\n')), ['{"ok":1}']);
});

test('the staff hears which words are forbidden, and who forbade one', () => {
  const messages = documented('jsonl message').flatMap((block) => block.split('\n')).map(parseStaff);
  assert.ok(messages.every(Boolean));
  assert.deepEqual(messages.find((one) => one?.kind === 'words'), { kind: 'words', words: ['turnip*'], listed: 120 });
  assert.ok(messages.some((one) => one?.kind === 'done' && one.verb === 'forbid' && one.word === 'turnip*'));
  assert.deepEqual(parseStaff('{"k":"words","words":[1,"a","",null],"listed":-1}'), { kind: 'words', words: ['a'], listed: 0 });
});
