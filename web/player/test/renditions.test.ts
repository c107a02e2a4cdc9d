// Tests of moves between renditions, against a fake server in virtual time.
//
// In → Out: wishes, and what the server does about them → which segments are asked for, in which order chunks come out.
// Spec: design contract "Paths", "Segments"; issue "Every viewer's own quality".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LOADER_TIMES, Loader } from '../src/loader.ts';
import { environment, FakeServer, halfSecond, Recorder, VirtualClock } from './virtual_world.ts';

const RUNGS = [
  '#EXT-X-STREAM-INF:BANDWIDTH=1300000,AVERAGE-BANDWIDTH=1200000,RESOLUTION=854x480', '480p/index.m3u8',
  '#EXT-X-STREAM-INF:BANDWIDTH=600000,AVERAGE-BANDWIDTH=500000,RESOLUTION=426x240', '240p/index.m3u8',
  '#EXT-X-STREAM-INF:BANDWIDTH=100000', 'audio/index.m3u8', '',
].join('\n');

/** Watches `source`, of which the first half of segment 10 has come. */
async function watching() {
  const clock = new VirtualClock();
  const server = new FakeServer();
  server.live(1, 10);
  server.rungs = RUNGS;
  const output = new Recorder();
  const loader = new Loader('http://test/live/x/index.m3u8', environment(clock, server), output);
  void loader.run();
  await clock.advance(0);
  for (const i of [0, 1]) server.body('1.10').send(halfSecond(i));
  await clock.advance(10);
  return { clock, server, output, loader };
}

test('the renditions are known by name, best first, sound last', async () => {
  const { output, loader } = await watching();
  assert.deepEqual(output.names, ['source', '480p', '240p', 'audio']);
  assert.equal(loader.rendition, 'source');
});

test('a move happens where the next segment begins: init section first, nothing twice, nothing left out', async () => {
  const { clock, server, output, loader } = await watching();
  loader.moveTo('480p');
  await clock.advance(10);
  assert.equal(server.body('1.11').cancelled, true, 'the held request is exchanged');
  for (const i of [2, 3]) server.body('1.10').send(halfSecond(i));
  server.body('480p/1.11').send(halfSecond(4));
  await clock.advance(10);
  assert.deepEqual(output.inits, [1], 'not before its first chunk');
  server.body('1.10').end();
  await clock.advance(10);
  assert.deepEqual(output.inits, [1, 1]);
  assert.deepEqual(output.chunks.slice(-2), ['1.10@135000', '480p/1.11@180000']);
  assert.equal(loader.rendition, '480p');
  assert.deepEqual([output.splices, output.errors.length, server.openMost], [0, 0, 2]);
  server.body('480p/1.11').send(halfSecond(5));
  await clock.advance(10);
  assert.equal(server.count('480p/1.12.m4s'), 1, 'and goes on there');
});

test('what the server says of the connection is there to be read, with each segment', async () => {
  const { clock, server, loader } = await watching();
  assert.equal(loader.hint, null);
  server.hint = '"nearcast";etp=5000;rtt=40;nearcast-unsent=0';
  for (const i of [2, 3]) server.body('1.10').send(halfSecond(i));
  server.body('1.10').end();
  await clock.advance(10);
  server.body('1.11').send(halfSecond(4));
  server.body('1.11').send(halfSecond(5));
  await clock.advance(10);
  assert.deepEqual(loader.hint, { deliveryBps: 5_000_000, limited: false, unsentBytes: 0 });
});

test('a rung that has to be started is waited for, while the picture goes on', async () => {
  const { clock, server, output, loader } = await watching();
  const release = server.holdPlaylist('240p');
  loader.moveTo('240p');
  for (const i of [2, 3]) server.body('1.10').send(halfSecond(i));
  server.body('1.10').end();
  await clock.advance(10);
  assert.deepEqual(server.queries, ['/live/x/240p/index.m3u8?announce=prefetch'], 'its first part is enough');
  server.body('1.11').send(halfSecond(4));
  await clock.advance(2_000);
  assert.equal(output.chunks.at(-1), '1.11@180000');
  server.live(1, 11);
  release();
  server.body('1.11').send(halfSecond(5));
  await clock.advance(10);
  assert.equal(server.count('240p/1.12.m4s'), 1);
  server.body('1.11').end();
  server.body('240p/1.12').send(halfSecond(8));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '240p/1.12@360000');
});

test('an urgent move begins the current segment again, and says so', async () => {
  const { clock, server, output, loader } = await watching();
  loader.moveTo('240p', true);
  await clock.advance(10);
  assert.equal(server.body('1.10').cancelled, true, 'what is on its way does not stand in the way');
  assert.equal(server.count('240p'), 0, 'and is gone before anything is asked for');
  await clock.advance(100);
  for (const i of [0, 1, 2]) server.body('240p/1.10').send(halfSecond(i));
  await clock.advance(10);
  assert.deepEqual(output.chunks.slice(2), ['240p/1.10@0', '240p/1.10@45000', '240p/1.10@90000']);
  assert.equal(output.splices, 1);
  assert.equal(server.count('240p/index.m3u8'), 0, 'no playlist is waited for');
});

test('an urgent move near the end of a segment begins with the next one', async () => {
  const { clock, server, output, loader } = await watching();
  server.body('1.10').send(halfSecond(2));
  await clock.advance(10);
  loader.moveTo('240p', true);
  await clock.advance(100);
  server.body('240p/1.11').send(halfSecond(4));
  await clock.advance(10);
  assert.deepEqual(output.chunks.slice(-2), ['1.10@90000', '240p/1.11@180000']);
  assert.equal(output.splices, 1);
});

test('an urgent move to a rung that does not run goes on with source until it does, and asks for no segment twice', async () => {
  const { clock, server, output, loader } = await watching();
  server.refusals.set('/live/x/240p/1.10.m4s', 404);
  const release = server.holdPlaylist('240p');
  loader.moveTo('240p', true);
  await clock.advance(LOADER_TIMES.rungPatienceMs + 200);
  assert.equal(server.count('x/source/1.10.m4s'), 1);
  server.body('1.11').send(halfSecond(4));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '1.11@180000');
  server.live(1, 11);
  release();
  await clock.advance(200);
  for (const i of [4, 5]) server.body('240p/1.11').send(halfSecond(i));
  await clock.advance(10);
  assert.deepEqual(output.chunks.slice(-2), ['240p/1.11@180000', '240p/1.11@225000']);
  assert.deepEqual(output.lost_, []);
});

test('a wish that is taken back leaves everything as it was', async () => {
  const { clock, server, output, loader } = await watching();
  const release = server.holdPlaylist('480p');
  loader.moveTo('480p');
  await clock.advance(10);
  loader.moveTo('source');
  release();
  for (const i of [2, 3]) server.body('1.10').send(halfSecond(i));
  server.body('1.10').end();
  server.body('1.11').send(halfSecond(4));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '1.11@180000');
  assert.deepEqual(output.lost_, []);
});

test('a rendition that is refused is said to be lost, and the picture goes on', async () => {
  const { clock, server, output, loader } = await watching();
  server.refusals.set('/live/x/480p/index.m3u8', 404);
  loader.moveTo('480p');
  await clock.advance(10);
  assert.deepEqual(output.lost_, ['480p']);
  for (const i of [2, 3]) server.body('1.10').send(halfSecond(i));
  server.body('1.10').end();
  server.body('1.11').send(halfSecond(4));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '1.11@180000');
  assert.equal(server.requests.filter((path) => path === '/live/x/index.m3u8').length, 2, 'the list is read again');
});

test('a segment that is refused after the playlist promised it is taken from the old rendition', async () => {
  const { clock, server, output, loader } = await watching();
  server.refusals.set('/live/x/480p/1.11.m4s', 404);
  loader.moveTo('480p');
  await clock.advance(10);
  for (const i of [2, 3]) server.body('1.10').send(halfSecond(i));
  server.body('1.10').end();
  await clock.advance(10);
  server.body('1.11').send(halfSecond(4));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '1.11@180000');
  assert.deepEqual(output.lost_, ['480p']);
});

/** Watches 480p, of which half a second of segment 11 has come. */
async function watchingRung() {
  const world = await watching();
  const { clock, server, loader } = world;
  loader.moveTo('480p');
  await clock.advance(10);
  for (const i of [2, 3]) server.body('1.10').send(halfSecond(i));
  server.body('1.10').end();
  server.body('480p/1.11').send(halfSecond(4));
  server.live(1, 11);
  await clock.advance(10);
  return world;
}

test('a rung whose encoder dies is left for source at once, and taken up again when it is back', async () => {
  const { clock, server, output, loader } = await watchingRung();
  const release = server.holdPlaylist('480p');
  server.body('480p/1.11').abort();
  await clock.advance(LOADER_TIMES.rungPatienceMs + 50);
  for (const i of [4, 5, 6]) server.body('1.11').send(halfSecond(i));
  await clock.advance(10);
  assert.deepEqual(output.chunks.slice(-3), ['1.11@180000', '1.11@225000', '1.11@270000']);
  assert.equal(output.splices, 1);
  assert.deepEqual(output.states, ['connecting', 'live', 'connecting', 'live'], 'nobody hears of it');
  release();
  await clock.advance(10);
  server.body('1.11').end();
  server.body('480p/1.12').send(halfSecond(8));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '480p/1.12@360000');
  assert.equal(loader.rendition, '480p');
});

test('a rung that stands still while source goes on is left for source', async () => {
  const { clock, server, output } = await watchingRung();
  server.live(1, 11, 8);
  await clock.advance(LOADER_TIMES.rungSilentMs + 600);
  for (const i of [4, 5, 6]) server.body('1.11').send(halfSecond(i));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '1.11@270000');
  assert.ok(!output.states.includes('away'));
});

test('a publisher that pauses is no reason to leave a rung', async () => {
  const { clock, server, output, loader } = await watchingRung();
  server.live(1, 11, 3);
  await clock.advance(1_400);
  server.body('480p/1.11').send(halfSecond(5));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '480p/1.11@225000');
  assert.equal(loader.rendition, '480p');
});

test('a broken connection is repaired on the same rung', async () => {
  const { clock, server, output } = await watchingRung();
  server.body('480p/1.11').abort();
  await clock.advance(10);
  for (const i of [4, 5]) server.body('480p/1.11').send(halfSecond(i));
  await clock.advance(10);
  assert.deepEqual(output.chunks.slice(-2), ['480p/1.11@180000', '480p/1.11@225000']);
  assert.equal(output.splices, 0);
});

test('a phone that turns is followed on source at once, and its new renditions are read', async () => {
  const { clock, server, output } = await watchingRung();
  const release = server.holdPlaylist('480p');
  server.rungs = RUNGS.replace('854x480', '480x854').replace('426x240', '240x426');
  server.live(2, 12);
  server.body('480p/1.11').end();
  await clock.advance(10);
  server.body('480p/1.12').abort();
  await clock.advance(LOADER_TIMES.rungPatienceMs + 50);
  for (const i of [8, 9, 10, 11]) server.body('2.12').send(halfSecond(i));
  await clock.advance(10);
  assert.equal(output.chunks.at(-1), '2.12@495000');
  const reads = server.requests.filter((path) => path === '/live/x/index.m3u8').length;
  server.body('2.12').end();
  await clock.advance(10);
  assert.equal(server.requests.filter((path) => path === '/live/x/index.m3u8').length, reads + 1);
  release();
});
