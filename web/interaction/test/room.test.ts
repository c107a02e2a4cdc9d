// Tests of one viewer in one room, whole: reading, tapping, talking, losing the network, in virtual time.
//
// In → Out: lines and answers of a server → what the page is told to show, and what is sent.
// Spec: docs/ix.md; cases IX-10, IX-14.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GrowingBody, settle, VirtualClock } from '../../player/test/virtual_world.ts';
import { colourOf } from '../src/ids.ts';
import { ANSWER_MS, Room } from '../src/room.ts';
import { beatLine, comment, hearts, hex, snapshotLine } from './lines_of.ts';

const ME = hex(0xabc);
const START_MS = 100_000;

class World {
  readonly clock = new VirtualClock();
  readonly shown: string[] = [];
  readonly flights: number[] = [];
  readonly fates: string[] = [];
  readonly gaps: string[][] = [];
  readonly posts: Record<string, unknown>[] = [];
  readonly stored = new Map<string, string>();
  offline = false;
  /** What is sent up gets no answer and no error: a connection that died on the way. */
  dead = false;
  playhead: number | null = null;
  refuse: { status: number; code: string } | null = null;
  minted = 0;
  private segment: GrowingBody | null = null;
  readonly room: Room;

  constructor() {
    this.room = new Room('x', {
      fetch: this.fetch, sleep: this.clock.sleep, random: () => 0.5, nowMs: () => this.clock.nowMs,
      serverMs: () => START_MS + this.clock.nowMs - 1_000, playheadMs: () => this.playhead, present: () => true,
      store: { getItem: (key) => this.stored.get(key) ?? null, setItem: (key, value) => void this.stored.set(key, value) },
    }, {
      changed: () => undefined,
      comments: (comments) => this.shown.push(...comments.map((one) => one.text)),
      gone: (ids) => this.shown.push(...ids.map((id) => `gone ${Number.parseInt(id, 16)}`)),
      gap: (known) => this.gaps.push(known),
      hearts: (flights) => this.flights.push(...flights.map((flight) => flight.colour)),
      joins: (count) => this.shown.push(`${count} joined`),
      own: (own) => this.fates.push(`${own.text}: ${own.fate.kind}`),
      jury: (jury) => this.shown.push(`jury ${jury.id}`),
      notice: (code) => this.shown.push(`notice ${code}`),
      reading: () => undefined,
    });
  }

  async begin(...lines: string[]): Promise<void> {
    this.room.start();
    await settle();
    await this.say(snapshotLine({ at: this.at }), ...lines);
  }

  get at(): number {
    return START_MS + this.clock.nowMs - 1_000;
  }

  async say(...lines: string[]): Promise<void> {
    for (const line of lines) this.segment?.send(new TextEncoder().encode(`${line}\n`));
    await settle();
  }

  async cut(): Promise<void> {
    this.offline = true;
    this.segment?.abort();
    await settle();
  }

  private fetch = async (url: string, init: RequestInit): Promise<Response> => {
    await Promise.resolve();
    if (this.offline) throw new TypeError('offline');
    if (url.endsWith('index.json')) return Response.json({ v: 1, segments: [], current: '1.1' });
    if (url.endsWith('.jsonl')) {
      this.segment = new GrowingBody(() => undefined);
      init.signal?.addEventListener('abort', () => this.segment?.abort());
      return new Response(this.segment.stream);
    }
    if (url.endsWith('/viewers')) {
      this.minted += 1;
      return Response.json({ viewer: ME, name: 'Zoë', token: `t${this.minted}` });
    }
    if (this.dead) return new Promise((_, fail) => init.signal?.addEventListener('abort', () => fail(new TypeError('aborted'))));
    if (this.refuse) return Response.json({ error: { code: this.refuse.code, message: '' } }, { status: this.refuse.status });
    const body = JSON.parse(String(init.body)) as { taps?: { n: number }; comments?: { id: string }[] };
    this.posts.push(body);
    return Response.json({ v: 1, hearts: body.taps?.n ?? 0, repeated: false, comments: body.comments?.map(({ id }) => ({ id, seq: 1 })) });
  };

  get tapsSent(): number {
    return this.posts.reduce((sum, post) => sum + ((post['taps'] as { n: number } | undefined)?.n ?? 0), 0);
  }
}

test('a viewer is somebody after the first beat of the heart, and remains so after a reload', async () => {
  const world = new World();
  await world.begin();
  await world.clock.advance(200);
  assert.deepEqual(world.posts[0]?.['hb'], { in: 1, join: true });
  assert.equal(world.room.colour, colourOf(ME));
  assert.match(world.stored.get('nearcast.viewers') ?? '', /"x":/);
  world.room.stop();
});

test('own hearts float at once and once, those of others as they come', async () => {
  const world = new World();
  await world.begin();
  await world.clock.advance(200);
  for (let i = 0; i < 4; i += 1) world.room.tap();
  assert.equal(world.flights.length, 4);
  await world.clock.advance(300);
  assert.equal(world.tapsSent, 4);
  await world.say(beatLine(11, { at: world.at, hearts: hearts({ [colourOf(ME)]: 4, [(colourOf(ME) + 1) % 16]: 2 }) }));
  assert.equal(world.flights.length, 6);
  assert.equal(world.room.state.total, 6);
  world.room.stop();
});

test('own comments are there at once, never twice, and stay until the server has answered', async () => {
  const world = new World();
  await world.begin();
  await world.clock.advance(200);
  const own = world.room.speak('hello');
  assert.deepEqual(world.fates, ['hello: sending']);
  await world.clock.advance(200);
  await world.say(beatLine(11, { at: world.at, comments: [comment(1, { id: own?.id, t: 'hello' }), comment(2, { t: 'hi' })] }));
  await world.clock.advance(100);
  assert.deepEqual(world.fates, ['hello: sending', 'hello: said']);
  assert.deepEqual(world.shown, ['hi']);
  world.room.stop();
});

test('ix_14 off and on: comments arrive, stale hearts do not, what was missed comes as totals and not as a burst', async () => {
  const world = new World();
  await world.begin();
  await world.clock.advance(200);
  await world.cut();
  world.room.speak('said offline');
  for (let i = 0; i < 30; i += 1) world.room.tap();
  const floating = world.flights.length;
  await world.clock.advance(30_000);
  assert.equal(world.tapsSent, 0);
  world.offline = false;
  world.room.retrySoon();
  await settle();
  await world.say(
    snapshotLine({ seq: 200, at: world.at - 20_000, total: 5_000, hearts: hearts({ 0: 5_000 }), last: [comment(3, { t: 'missed' })] }),
    ...Array.from({ length: 80 }, (_, i) => beatLine(201 + i, { at: world.at - 20_000 + i * 200, hearts: hearts({ 0: 10 }) })),
  );
  await world.clock.advance(2_000);
  assert.deepEqual(world.fates.at(-1), 'said offline: said');
  assert.equal(world.tapsSent, 0, 'hearts of half a minute ago are forgotten');
  assert.equal(world.flights.length, floating, 'and old ones of others do not float');
  assert.equal(world.room.state.total, 5_800);
  assert.deepEqual(world.shown, ['missed']);
  assert.equal(world.gaps.length, 1);
  await world.say(beatLine(281, { at: world.at, hearts: hearts({ 0: 2 }) }));
  assert.equal(world.flights.length, floating + 2, 'fresh ones do');
  world.room.stop();
});

test('a comment is shown when the picture has reached what its author saw', async () => {
  const world = new World();
  world.playhead = 50_000;
  await world.begin();
  await world.say(beatLine(11, { comments: [comment(1, { t: 'soon', m: 50_800 }), comment(2, { t: 'now', m: 49_000 })] }));
  assert.deepEqual(world.shown, ['now']);
  world.playhead = 50_900;
  await world.clock.advance(100);
  assert.deepEqual(world.shown, ['now', 'soon']);
  world.room.stop();
});

test('a comment that is deleted while it waits is never shown', async () => {
  const world = new World();
  world.playhead = 0;
  await world.begin();
  await world.say(beatLine(11, { comments: [comment(1, { m: 9_999 })] }), beatLine(12, { gone: [hex(1)] }));
  await world.clock.advance(20_000);
  assert.deepEqual(world.shown, ['gone 1']);
  world.room.stop();
});

test('a token that is not taken any more is replaced, and nothing is lost by that', async () => {
  const world = new World();
  await world.begin();
  await world.clock.advance(200);
  world.refuse = { status: 401, code: 'unauthorized' };
  world.room.speak('hello');
  await world.clock.advance(100);
  world.refuse = null;
  await world.clock.advance(10_000);
  assert.ok(world.minted >= 2);
  assert.equal(world.fates.at(-1), 'hello: said');
  world.room.stop();
});

test('only jurors are asked', async () => {
  const world = new World();
  await world.begin();
  await world.clock.advance(200);
  const jury = (id: number, jurors: string[]): Record<string, unknown> => ({ id, jurors, comment: comment(1), until: 200_000 });
  await world.say(beatLine(11, { juries: [jury(1, [hex(5)]), jury(2, [hex(5), ME])] }));
  assert.deepEqual(world.shown, ['jury 2']);
  world.room.stop();
});

test('ix_14 a comment that went into a dead connection is sent again, under the same id', async () => {
  const world = new World();
  await world.begin();
  await world.clock.advance(200);
  world.dead = true;
  world.room.speak('anybody?');
  await world.clock.advance(500);
  world.dead = false;
  await world.clock.advance(ANSWER_MS + 2_000);
  assert.deepEqual(world.fates, ['anybody?: sending', 'anybody?: sending', 'anybody?: said']);
  assert.equal(world.room.waiting, 0);
  world.room.stop();
});
