// Tests of the LHLS loader against a fake server, in virtual time.
//
// In → Out: what the server does → which addresses are asked for, which chunks come out, what the viewer is told.
// Spec: design contract "Segments"; issue "The player".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Loader } from '../src/loader.ts';
import { environment, FakeServer, halfSecond, Recorder, VirtualClock } from './virtual_world.ts';

const MULTIVARIANT = '/live/x/index.m3u8';
const MEDIA = '/live/x/source/index.m3u8';

async function begin(prepare: (server: FakeServer) => void = (server) => server.live(1, 10)) {
  const clock = new VirtualClock();
  const server = new FakeServer();
  prepare(server);
  const output = new Recorder();
  const loader = new Loader(`http://test${MULTIVARIANT}`, environment(clock, server), output);
  const done = loader.run();
  await clock.advance(0);
  return { clock, server, output, loader, done };
}

/** Sends chunk `index` (half a second of media) on `name`. */
function send(server: FakeServer, name: string, index: number): void {
  server.body(name).send(halfSecond(index));
}

test('a join reads each playlist once and opens the growing segment', async () => {
  const { server, output, loader, done, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  assert.deepEqual(server.requests, [MEDIA, MULTIVARIANT, '/live/x/source/1.10.m4s', '/live/x/source/1.init.mp4']);
  assert.deepEqual(output.chunks, ['1.10@0']);
  assert.deepEqual(output.states, ['connecting', 'live']);
  loader.stop();
  await clock.advance(0);
  await done;
});

test('a best rendition of another name costs one more request', async () => {
  const { server, clock, output } = await begin((fresh) => {
    fresh.live(1, 10);
    fresh.variant = '1080p/index.m3u8';
  });
  server.body('1.10').send(halfSecond(0));
  await clock.advance(10);
  assert.ok(server.requests.includes('/live/x/1080p/1.10.m4s'));
  assert.deepEqual(output.chunks, ['1.10@0']);
});

test('the largest picture is taken, also where a smaller one has the higher bitrate', async () => {
  const { server, clock, output } = await begin((fresh) => {
    fresh.live(1, 10);
    fresh.rungs = '#EXT-X-STREAM-INF:BANDWIDTH=1386000,CODECS="avc1.64001f",RESOLUTION=854x480\n480p/index.m3u8\n';
  });
  server.body('1.10').send(halfSecond(0));
  await clock.advance(10);
  assert.equal(server.count('480p'), 0);
  assert.deepEqual(output.chunks, ['1.10@0']);
});

test('while all is well no playlist is read again, and at most two segments are open', async () => {
  const { server, output, clock } = await begin();
  for (let msn = 10; msn < 40; msn += 1) {
    for (let i = 0; i < 4; i += 1) {
      send(server, `1.${msn}`, (msn - 10) * 4 + i);
      await clock.advance(500);
    }
    server.body(`1.${msn}`).end();
    await clock.advance(0);
  }
  assert.equal(server.count('m3u8'), 2);
  assert.equal(server.count('init'), 1);
  assert.equal(server.openMost, 2);
  assert.equal(output.chunks.length, 120);
  assert.deepEqual(output.errors, []);
  assert.deepEqual(output.states, ['connecting', 'live']);
});

test('the next segment is opened while this one runs', async () => {
  const { server, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(500);
  assert.equal(server.count('1.11.m4s'), 0);
  send(server, '1.10', 1);
  await clock.advance(0);
  assert.equal(server.count('1.11.m4s'), 1);
});

test('chunks of the next segment wait until this one has ended', async () => {
  const { server, output, clock } = await begin();
  for (const i of [0, 1, 2]) send(server, '1.10', i);
  await clock.advance(10);
  send(server, '1.11', 4);
  await clock.advance(100);
  send(server, '1.10', 3);
  server.body('1.10').end();
  await clock.advance(10);
  assert.deepEqual(output.chunks, ['1.10@0', '1.10@45000', '1.10@90000', '1.10@135000', '1.11@180000']);
});

test('a silent segment is given up for the next one that already runs', async () => {
  const { server, output, clock } = await begin();
  for (const i of [0, 1, 2]) send(server, '1.10', i);
  await clock.advance(10);
  send(server, '1.11', 4);
  await clock.advance(1_000);
  assert.equal(output.chunks.at(-1), '1.11@180000');
  assert.equal(server.count('m3u8'), 2);
});

test('a connection that breaks is repaired at once, and no chunk comes twice', async () => {
  const { server, output, clock } = await begin();
  for (const i of [0, 1]) send(server, '1.10', i);
  await clock.advance(10);
  server.body('1.10').abort();
  await clock.advance(10);
  assert.equal(server.count('1.10.m4s'), 2);
  assert.equal(server.count('m3u8'), 3);
  for (const i of [0, 1, 2]) send(server, '1.10', i);
  await clock.advance(10);
  assert.deepEqual(output.chunks, ['1.10@0', '1.10@45000', '1.10@90000']);
  assert.equal(output.errors[0]?.code, 'network');
});

test('a body that ends inside a chunk counts as broken', async () => {
  const { server, output, clock } = await begin();
  server.body('1.10').send(halfSecond(0).slice(0, 40));
  server.body('1.10').end();
  await clock.advance(10);
  assert.equal(server.count('1.10.m4s'), 2);
  assert.deepEqual(output.chunks, []);
});

test('a new epoch is found in the playlist when the held request is aborted', async () => {
  const { server, output, clock } = await begin();
  for (const i of [0, 1]) send(server, '1.10', i);
  await clock.advance(10);
  server.body('1.10').end();
  await clock.advance(5_000);
  assert.equal(output.states.at(-1), 'away');
  server.live(2, 11);
  server.body('1.11').abort();
  await clock.advance(10);
  send(server, '2.11', 40);
  await clock.advance(10);
  assert.deepEqual(output.inits, [1, 2]);
  assert.equal(output.chunks.at(-1), '2.11@1800000');
  assert.equal(output.states.at(-1), 'live');
});

test('a new epoch is found even if the held request is never answered', async () => {
  const { server, output, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  server.body('1.10').end();
  await clock.advance(3_000);
  server.live(2, 11);
  await clock.advance(3_000);
  assert.ok(server.bodies.has('2.11'));
  assert.equal(output.errors.length, 0);
});

test('an init section that is held until the publisher is back does not hide that it is away', async () => {
  const { server, output, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  server.live(2, 11);
  server.holdInit(2);
  server.body('1.10').end();
  await clock.advance(0);
  send(server, '1.10', 1);
  server.bodies.get('1.11')?.at(-1)?.abort();
  await clock.advance(9_000);
  assert.equal(output.states.at(-1), 'away');
  assert.deepEqual([server.count('2.init'), server.count('2.11.m4s')], [1, 1], 'both are held, not asked for again and again');
  send(server, '2.11', 30);
  server.releaseInit(2);
  await clock.advance(10);
  assert.deepEqual(output.inits, [1, 2]);
  assert.equal(output.states.at(-1), 'live');
});

test('an init section that never comes is not waited for without end', async () => {
  const { server, output, clock } = await begin((fresh) => {
    fresh.live(1, 10);
    fresh.holdInit(1);
  });
  send(server, '1.10', 0);
  await clock.advance(6_000);
  assert.match(output.errors[0]?.message ?? '', /init section/);
  assert.equal(server.count('init'), 2);
});

test('while the publisher is away the playlist is read about every two seconds, not more', async () => {
  const { server, output, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  server.body('1.10').end();
  const before = server.count('m3u8');
  await clock.advance(30_000);
  const polls = server.count('m3u8') - before;
  assert.ok(polls >= 10 && polls <= 16, `${polls} polls in 30 s`);
  assert.deepEqual(output.states, ['connecting', 'live', 'away']);
});

test('an unknown broadcast is looked for with bounded backoff, and begins by itself', async () => {
  const { server, output, clock } = await begin((fresh) => fresh.refusals.set(MULTIVARIANT, 404));
  await clock.advance(60_000);
  assert.deepEqual(output.states, ['connecting', 'offline']);
  assert.ok(server.requests.length >= 25 && server.requests.length <= 45, `${server.requests.length} requests in a minute`);
  server.refusals.clear();
  server.live(1, 0);
  await clock.advance(2_500);
  send(server, '1.0', 0);
  await clock.advance(10);
  assert.equal(output.states.at(-1), 'live');
});

test('a server that cannot be reached is said, and tried again', async () => {
  const { server, output, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  server.unreachable = true;
  server.body('1.10').abort();
  await clock.advance(5_000);
  assert.equal(output.states.at(-1), 'unreachable');
  server.unreachable = false;
  server.live(1, 13);
  await clock.advance(2_500);
  send(server, '1.13', 12);
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '1.13@540000');
});

test('one lost connection is repaired without alarming the viewer', async () => {
  const { server, output, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  server.unreachable = true;
  server.body('1.10').abort();
  await clock.advance(300);
  server.unreachable = false;
  await clock.advance(700);
  send(server, '1.10', 0);
  send(server, '1.10', 1);
  await clock.advance(10);
  assert.deepEqual(output.states, ['connecting', 'live', 'connecting', 'live']);
});

test('the end of a broadcast is said, and a new beginning is found', async () => {
  const { server, output, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  server.mediaPlaylist = '#EXTM3U\n#EXTINF:2,\n1.10.m4s\n#EXT-X-ENDLIST\n';
  server.body('1.10').end();
  await clock.advance(10);
  server.body('1.11').abort();
  await clock.advance(10);
  assert.equal(output.states.at(-1), 'ended');
  server.live(2, 0);
  await clock.advance(3_000);
  send(server, '2.0', 0);
  await clock.advance(10);
  assert.equal(output.states.at(-1), 'live');
});

test('a dead connection in mid-segment is opened again', async () => {
  const { server, clock } = await begin();
  send(server, '1.10', 0);
  await clock.advance(10);
  await clock.advance(5_000);
  assert.ok(server.count('1.10.m4s') >= 2);
});

test('an old playlist from a cache does not lead back', async () => {
  const { server, clock } = await begin();
  for (const i of [0, 1]) send(server, '1.10', i);
  await clock.advance(10);
  server.body('1.10').end();
  await clock.advance(10);
  send(server, '1.11', 4);
  await clock.advance(10);
  server.body('1.11').abort();
  await clock.advance(10);
  assert.equal(server.count('1.10.m4s'), 1);
  assert.equal(server.count('1.11.m4s'), 2);
});

test('nonsense instead of a segment is a format error, and not asked for without pause', async () => {
  const { server, output, clock } = await begin();
  for (let i = 0; i < 200; i += 1) {
    const body = server.bodies.get('1.10')?.at(-1);
    if (body && !body.cancelled) body.send(new TextEncoder().encode('<html>sorry</html>'));
    await clock.advance(50);
  }
  assert.equal(output.errors[0]?.code, 'format');
  assert.ok(server.count('1.10.m4s') <= 14, `${server.count('1.10.m4s')} requests in 10 s`);
});

test('stopping closes every connection', async () => {
  const { server, loader, done, clock } = await begin();
  for (const i of [0, 1]) send(server, '1.10', i);
  await clock.advance(10);
  assert.equal(server.open, 2);
  loader.stop();
  await clock.advance(0);
  await done;
  assert.equal(server.open, 0);
});
