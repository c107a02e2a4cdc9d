// Tests of the way up: what is sent when, what is kept, what is forgotten.
//
// In → Out: taps, comments, answers, virtual time → requests and fates.
// Spec: docs/ix.md, "The way up", "Limits", "Refusals"; cases IX-09, IX-14, IX-17.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox, type Outcome, type OwnComment, type Request, TAP_LIFE_MS, WAITING_MAX } from '../src/outbox.ts';
import { FIRST_RULES } from '../src/wire.ts';

interface Bench {
  outbox: Outbox;
  fates: string[];
  notices: string[];
}

function bench(random: () => number = () => 0.5): Bench {
  const fates: string[] = [];
  const notices: string[] = [];
  let ids = 0;
  const outbox = new Outbox(
    { own: (comment: OwnComment) => fates.push(`${comment.text}: ${comment.fate.kind}`), notice: (code) => notices.push(code) },
    () => (ids += 1).toString(16).padStart(16, '0'),
    random,
  );
  return { outbox, fates, notices };
}

const OK: Outcome = { kind: 'ok', hearts: 0, comments: [] };

/** Says yes to everything in a request of comments. */
function yes(request: Request | null): Outcome {
  const comments = (request?.body['comments'] ?? []) as { id: string }[];
  return { kind: 'ok', hearts: 0, comments: comments.map(({ id }) => ({ id, error: null })) };
}

/** A bench whose heartbeat has been sent. */
function greeted(random?: () => number): Bench {
  const made = bench(random);
  made.outbox.next('light', 0, true);
  made.outbox.done('light', OK, 0);
  return made;
}

test('taps are summed for as long as the rules say, then sent with their age', () => {
  const { outbox } = greeted();
  for (let at = 1_000; at < 1_100; at += 20) outbox.tap(at);
  assert.equal(outbox.next('light', 1_090, true), null);
  const request = outbox.next('light', 1_110, true);
  assert.deepEqual(request?.body['taps'], { n: 5, in: 1, age: 110 });
  assert.equal(request?.hearts, 5);
});

test('one request of a lane is under way at a time, and hearts do not wait for a comment', () => {
  const { outbox } = greeted();
  outbox.speak('hello', null);
  assert.ok(outbox.next('say', 0, true));
  assert.equal(outbox.next('say', 0, true), null);
  outbox.tap(0);
  assert.ok(outbox.next('light', 200, true));
});

test('the first thing said is that one is there, and then now and again while somebody watches', () => {
  const { outbox } = bench();
  assert.deepEqual(outbox.next('light', 0, true)?.body['hb'], { in: 1, join: true });
  outbox.done('light', OK, 0);
  assert.equal(outbox.next('light', 9_999, true), null);
  assert.equal(outbox.next('light', 10_001, false), null);
  assert.deepEqual(outbox.next('light', 10_002, true)?.body['hb'], { in: 1, join: false });
});

test('ix_17 sampling rules are obeyed at once, and what was kept is weighted', () => {
  const { outbox } = greeted(() => 0.1);
  outbox.rules = { ...FIRST_RULES, tapIn: 8 };
  assert.equal(outbox.tap(0), true);
  assert.deepEqual(outbox.next('light', 200, true)?.hearts, 8);
  outbox.done('light', OK, 200);
  outbox.rules = { ...FIRST_RULES, tapIn: 16 };
  assert.equal(outbox.tap(300), false);
  outbox.rules = { ...FIRST_RULES, tapIn: 0 };
  assert.equal(outbox.tap(400), false);
  assert.equal(outbox.next('light', 900, true), null);
});

test('a lost request is repeated under its id, later and later, with the true age of its taps', () => {
  const { outbox } = greeted();
  outbox.tap(0);
  const first = outbox.next('light', 100, true);
  outbox.done('light', { kind: 'lost' }, 150);
  assert.equal(outbox.next('light', 200, true), null);
  const second = outbox.next('light', 600, true);
  assert.equal(second?.body['id'], first?.body['id']);
  assert.deepEqual(second?.body['taps'], { n: 1, in: 1, age: 600 });
  outbox.done('light', { kind: 'lost' }, 650);
  assert.equal(outbox.next('light', 1_100, true), null, 'waits longer');
});

test('ix_14 hearts tapped while the network was off are forgotten, not replayed', () => {
  const { outbox } = greeted();
  outbox.tap(0);
  outbox.next('light', 100, false);
  outbox.done('light', { kind: 'lost' }, 100);
  for (let at = 200; at < 9_000; at += 100) outbox.tap(at);
  const late = outbox.next('light', TAP_LIFE_MS + 20_000, false);
  assert.equal(late, null);
  outbox.tap(40_000);
  assert.deepEqual(outbox.next('light', 40_200, false)?.body['taps'], { n: 1, in: 1, age: 200 });
});

test('comments wait for the network for as long as it takes, and each is sent under its own id until it is answered', () => {
  const { outbox, fates } = greeted();
  const comment = outbox.speak('hello', 1_234.6);
  let now = 0;
  const ids = new Set<unknown>();
  for (let tries = 0; tries < 12; tries += 1) {
    now += 20_000;
    const request = outbox.next('say', now, true);
    assert.deepEqual(request?.body['comments'], [{ id: comment?.id, t: 'hello', m: 1_235 }]);
    ids.add(request?.body['id']);
    outbox.done('say', { kind: 'lost' }, now);
  }
  assert.equal(ids.size, 1, 'always the same request');
  assert.equal(outbox.waiting, 1);
  now += 20_000;
  outbox.done('say', yes(outbox.next('say', now, true)), now);
  assert.deepEqual(fates, ['hello: sending', 'hello: said']);
  assert.equal(outbox.waiting, 0);
  assert.equal(outbox.next('say', now + 60_000, true), null, 'and is not sent again');
});

test('what is said while another is under way follows in order, at most four at once', () => {
  const { outbox, fates } = greeted();
  for (let i = 1; i <= 6; i += 1) outbox.speak(String(i), null);
  const first = outbox.next('say', 0, true);
  assert.deepEqual((first?.body['comments'] as { t: string }[]).map((one) => one.t), ['1', '2', '3', '4']);
  outbox.done('say', yes(first), 10);
  const second = outbox.next('say', 10, true);
  assert.deepEqual((second?.body['comments'] as { t: string }[]).map((one) => one.t), ['5', '6']);
  outbox.done('say', yes(second), 20);
  assert.equal(fates.filter((fate) => fate.endsWith('said')).length, 6);
});

test('slow mode spaces what waits, and a refusal that passes is tried again', () => {
  const { outbox, fates } = greeted();
  outbox.rules = { ...FIRST_RULES, slowMs: 5_000 };
  outbox.speak('a', null);
  outbox.speak('b', null);
  const first = outbox.next('say', 0, true);
  outbox.done('say', yes(first), 100);
  assert.equal(outbox.next('say', 4_000, true), null);
  const second = outbox.next('say', 5_200, true);
  const id = ((second?.body['comments'] as { id: string }[])[0] as { id: string }).id;
  outbox.done('say', { kind: 'ok', hearts: 0, comments: [{ id, error: { code: 'slow', message: '' } }] }, 5_300);
  assert.equal(outbox.next('say', 6_000, true), null);
  outbox.done('say', yes(outbox.next('say', 10_400, true)), 10_500);
  assert.deepEqual(fates, ['a: said', 'b: said']);
});

test('a refusal has its reason, an overtaken comment stays with its author', () => {
  const { outbox, fates } = greeted();
  const [one, two] = [outbox.speak('rude', null), outbox.speak('late', null)];
  outbox.next('say', 0, true);
  outbox.done('say', {
    kind: 'ok', hearts: 0,
    comments: [{ id: one?.id ?? '', error: { code: 'words', message: 'no' } }, { id: two?.id ?? '', error: { code: 'crowded', message: '' } }],
  }, 10);
  assert.deepEqual(fates, ['rude: refused', 'late: crowded']);
  assert.deepEqual(one?.fate, { kind: 'refused', code: 'words', message: 'no' });
});

test('a request that is refused as a whole refuses its comments, and taps with a word', () => {
  const { outbox, fates, notices } = greeted();
  outbox.speak('hello', null);
  outbox.next('say', 0, true);
  outbox.done('say', { kind: 'refused', status: 403, code: 'muted', message: 'for a minute' }, 10);
  assert.deepEqual(fates, ['hello: refused']);
  outbox.tap(0);
  outbox.next('light', 200, true);
  outbox.done('light', { kind: 'refused', status: 429, code: 'rate_viewer', message: '' }, 210);
  assert.deepEqual(notices, ['rate_viewer']);
  outbox.tap(300);
  assert.equal(outbox.next('light', 500, true), null, 'and the page keeps quiet for a moment');
  assert.ok(outbox.next('light', 2_500, true));
});

test('a server that stops or a room that is gone is like a lost request', () => {
  const { outbox, fates } = greeted();
  outbox.speak('hello', null);
  for (const [index, status] of [503, 404, 401].entries()) {
    assert.ok(outbox.next('say', index * 20_000, true));
    outbox.done('say', { kind: 'refused', status, code: 'x', message: '' }, index * 20_000);
  }
  outbox.done('say', yes(outbox.next('say', 90_000, true)), 90_000);
  assert.deepEqual(fates, ['hello: sending', 'hello: said']);
});

test('reports and votes go each once, and more than twenty comments do not wait', () => {
  const { outbox } = greeted();
  outbox.report('00000000000000aa');
  outbox.vote(3, 'abuse');
  assert.equal(outbox.next('light', 0, true)?.body['report'], '00000000000000aa');
  outbox.done('light', OK, 0);
  assert.deepEqual(outbox.next('light', 1, true)?.body['vote'], { jury: 3, is: 'abuse' });
  outbox.done('light', OK, 2);
  assert.equal(outbox.next('light', 3, true), null);
  for (let i = 0; i < WAITING_MAX; i += 1) assert.ok(outbox.speak('x', null));
  assert.equal(outbox.speak('x', null), null);
});
