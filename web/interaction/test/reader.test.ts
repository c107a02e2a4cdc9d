// Tests of the reader against a server of growing bodies, in virtual time.
//
// In → Out: an index and segments → lines in order, requests counted.
// Spec: docs/ix.md, "Reading"; case IX-14.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GrowingBody, settle, VirtualClock } from '../../player/test/virtual_world.ts';
import { parseIndex, Reader, READER_TIMES, type ReaderState } from '../src/reader.ts';

class Server {
  readonly requests: string[] = [];
  readonly bodies = new Map<string, GrowingBody[]>();
  index: unknown = null;
  unreachable = false;
  readonly missing = new Set<string>();
  /** Nothing answers, nothing fails: a connection that died on the way. */
  dead = false;

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const name = url.replace('/live/x/ix/', '');
    this.requests.push(name);
    await Promise.resolve();
    if (this.unreachable) throw new TypeError('fetch failed');
    if (this.dead && name !== 'index.json') return new Promise((_, fail) => init.signal?.addEventListener('abort', () => fail(new TypeError('aborted'))));
    if (name === 'index.json') return this.index === null ? new Response('', { status: 404 }) : Response.json(this.index);
    if (this.missing.has(name)) return new Response('', { status: 404 });
    const body = new GrowingBody(() => undefined);
    this.bodies.set(name, [...(this.bodies.get(name) ?? []), body]);
    init.signal?.addEventListener('abort', () => body.abort());
    return new Response(body.stream);
  };

  live(epoch: number, msn: number): void {
    this.index = { v: 1, segments: [`${epoch}.${msn - 1}`, `${epoch}.${msn}`], current: `${epoch}.${msn}`, next: `${epoch}.${msn + 1}` };
  }

  body(name: string): GrowingBody {
    const body = this.bodies.get(`${name}.jsonl`)?.at(-1);
    assert.ok(body, `nobody asked for ${name}: ${this.requests.join(' ')}`);
    return body;
  }

  say(name: string, text: string): void {
    this.body(name).send(new TextEncoder().encode(`${text}\n`));
  }

  count(name: string): number {
    return this.requests.filter((one) => one === name).length;
  }
}

interface World {
  server: Server;
  clock: VirtualClock;
  heard: string[];
  states: ReaderState[];
  reader: Reader;
}

function world(jitterMs = 5_000): World {
  const [server, clock, heard, states] = [new Server(), new VirtualClock(), [] as string[], [] as ReaderState[]];
  server.live(1, 7);
  const reader = new Reader('/live/x/ix/', { fetch: server.fetch, sleep: clock.sleep, random: () => 0.5 }, {
    segment: () => heard.push('|'),
    line: (line) => heard.push(line),
    state: (state) => states.push(state),
    jitterMs: () => jitterMs,
  });
  return { server, clock, heard, states, reader };
}

test('it reads the index once and then counts', async () => {
  const { server, heard, reader, clock } = world();
  void reader.run();
  await settle();
  for (let msn = 7; msn < 30; msn += 1) {
    server.say(`1.${msn}`, `s${msn}`);
    server.say(`1.${msn}`, `b${msn}`);
    server.body(`1.${msn}`).end();
    await settle();
  }
  assert.equal(server.count('index.json'), 1);
  assert.deepEqual(heard.slice(0, 6), ['|', 's7', 'b7', '|', 's8', 'b8']);
  assert.equal(heard.filter((line) => line === '|').length, 23);
  assert.equal(reader.resyncs, 0);
  reader.stop();
  await clock.advance(100_000);
  assert.equal(server.requests.length, 25);
});

test('lines are heard as they grow, long before the segment ends', async () => {
  const { server, heard, reader } = world();
  void reader.run();
  await settle();
  server.say('1.7', 'first');
  await settle();
  assert.deepEqual(heard, ['|', 'first']);
  server.body('1.7').send(new TextEncoder().encode('half'));
  await settle();
  assert.equal(heard.length, 2);
  server.say('1.7', ' and half');
  await settle();
  assert.equal(heard.at(-1), 'half and half');
  reader.stop();
});

test('a new epoch is found by the index, promptly, because the server has answered', async () => {
  const { server, clock, heard, reader } = world();
  void reader.run();
  await settle();
  server.say('1.7', 'old');
  server.body('1.7').end();
  await settle();
  server.live(2, 8);
  server.body('1.8').abort();
  await clock.advance(READER_TIMES.promptMs * 3);
  server.say('2.8', 'new');
  await settle();
  assert.equal(heard.at(-1), 'new');
  assert.equal(server.count('index.json'), 2);
  reader.stop();
});

test('a connection that is cut is opened again only after the time that the room asks for', async () => {
  const { server, clock, heard, reader } = world(8_000);
  void reader.run();
  await settle();
  server.say('1.7', 'before');
  await settle();
  server.body('1.7').abort();
  await clock.advance(3_900);
  assert.equal(server.count('index.json'), 1);
  server.live(1, 9);
  await clock.advance(200);
  assert.equal(server.count('index.json'), 2);
  server.say('1.9', 'after');
  await settle();
  assert.deepEqual(heard, ['|', 'before', '|', 'after'], 'what was missed is skipped');
  reader.stop();
});

test('ix_14 without a network it asks less and less, and again as soon as that is back', async () => {
  const { server, clock, states, reader } = world(0);
  void reader.run();
  await settle();
  server.say('1.7', 'x');
  await settle();
  server.unreachable = true;
  server.body('1.7').abort();
  await clock.advance(600_000);
  assert.ok(server.requests.length < 120, `${server.requests.length} requests in ten minutes`);
  assert.deepEqual(states, ['open', 'lost']);
  server.unreachable = false;
  server.live(1, 300);
  reader.retrySoon();
  await settle();
  server.say('1.300', 'y');
  await settle();
  assert.equal(states.at(-1), 'open');
  reader.stop();
});

test('a segment that says nothing is opened again, in case its connection is dead', async () => {
  const { server, clock, reader } = world();
  void reader.run();
  await settle();
  server.say('1.7', 'x');
  await settle();
  await clock.advance(READER_TIMES.silenceMs * 1.3 + READER_TIMES.promptMs * 4);
  assert.equal(server.count('1.7.jsonl'), 2);
  reader.stop();
});

test('ix_14 a segment that is asked for on a dead connection is asked for again', async () => {
  const { server, clock, heard, reader } = world();
  void reader.run();
  await settle();
  server.say('1.7', 'x');
  server.dead = true;
  server.body('1.7').end();
  await settle();
  server.dead = false;
  server.live(1, 9);
  await clock.advance(READER_TIMES.answerMs * 1.3 + READER_TIMES.promptMs * 2);
  server.say('1.9', 'y');
  await settle();
  assert.deepEqual(heard, ['|', 'x', '|', 'y']);
  reader.stop();
});

test('no room is waited for, and so is the end of one', async () => {
  const { server, clock, states, heard, reader } = world();
  server.index = null;
  void reader.run();
  await clock.advance(30_000);
  assert.ok(server.count('index.json') <= 14, String(server.count('index.json')));
  assert.deepEqual(states, ['closed']);
  server.index = { v: 1, segments: ['1.4'] };
  await clock.advance(5_000);
  server.say('1.4', 'the last');
  server.missing.add('1.5.jsonl');
  server.body('1.4').end();
  await clock.advance(60_000);
  assert.deepEqual(heard, ['|', 'the last'], 'read once');
  assert.equal(server.count('1.4.jsonl'), 1);
  reader.stop();
});

test('only an index is an index', () => {
  assert.deepEqual(parseIndex({ segments: ['1.2'], current: '1.3', next: '1.4' }), { epoch: 1, msn: 3 });
  assert.deepEqual(parseIndex({ segments: [], next: '1.4' }), { epoch: 1, msn: 4 });
  for (const value of [null, [], 'x', {}, { current: '../../secret' }, { current: '1.x' }, { segments: 'abc' }, { current: '1.99999999999999999' }]) {
    assert.equal(parseIndex(value), null, JSON.stringify(value));
  }
});
