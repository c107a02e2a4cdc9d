// Rungs and pictures as a viewer without a browser meets them: made for whoever asks, replaced when an encoder dies.
// In → Out: a publisher, requests for rungs and pictures, signals to the encoder's process → playlists, metrics, what the API says.
// Spec: issue "Every viewer's own quality"; cases PKG-03, PKG-08.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { until } from '../harness/processes.mjs';
import { ffmpeg } from '../harness/publishers.mjs';

const LONG = 60_000;
let server;
let publisher;

before(async () => {
  server = await Nearcast.start();
  publisher = ffmpeg(server.rtmp('x'));
  await server.live('x', LONG);
});
after(async () => {
  await publisher?.stop();
  await server?.stop();
});

const get = (path) => fetch(server.url(path));
const text = async (path) => (await get(path)).text();
const metric = async (name) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, 'm').exec(await text('/metrics'))?.[1] ?? 0);
const rung = async () => (await server.broadcast('x')).renditions.find(({ name }) => name === '240p');

/** The segments that a rung's playlist lists. */
const segments = async () => [...(await text('/live/x/240p/index.m3u8')).matchAll(/^(\d+\.\d+)\.m4s$/gm)].map(([, name]) => name);

test('with nobody watching no encoder runs; who asks for a rung starts it', { timeout: 120_000 }, async () => {
  assert.match(await text('/live/x/index.m3u8'), /RESOLUTION=426x240.*\n240p\/index\.m3u8/);
  assert.equal((await rung()).state, 'offered');
  assert.deepEqual([await metric('nearcast_transcode_processes'), server.encoders().length], [0, 0]);

  assert.ok((await segments()).length > 0, 'the first answer lists a whole segment');
  assert.equal(await metric('nearcast_transcode_processes'), 1);
  const running = await rung();
  assert.deepEqual([running.state, running.width, running.height], ['running', 426, 240]);
  const [name] = (await segments()).slice(-1);
  const segment = Buffer.from(await (await get(`/live/x/240p/${name}.m4s`)).arrayBuffer());
  assert.ok(segment.length > 1000 && segment.includes('moof'));
});

for (const signal of ['SIGKILL', 'SIGSTOP']) {
  test(`a rung goes on after ${signal} of its encoder`, { timeout: 120_000 }, async () => {
    await segments();
    const [victim] = await until('an encoder runs', () => (server.encoders().length > 0 ? server.encoders() : null), LONG);
    const last = Number((await segments()).at(-1).split('.')[1]);
    process.kill(victim, signal);
    await until('another encoder runs', () => server.encoders().some((pid) => pid !== victim), LONG);
    await until('the rung has new segments', async () => {
      const names = await segments();
      return names.length > 0 && Number(names.at(-1).split('.')[1]) > last + 1;
    }, LONG);
    assert.equal((await rung()).state, 'running');
    assert.ok(!server.encoders().includes(victim), 'what hung is gone');
  });
}

test('an encoder that dies three times takes its rung along; source goes on', { timeout: 120_000 }, async () => {
  await until('the rung is given up', async () => {
    for (const pid of server.encoders()) process.kill(pid, 'SIGKILL');
    await get('/live/x/240p/index.m3u8');
    return (await rung()).state === 'lost';
  }, LONG);
  assert.equal((await rung()).cause, 'exited');
  assert.doesNotMatch(await text('/live/x/index.m3u8'), /240p/);
  assert.equal((await get('/live/x/240p/index.m3u8')).status, 404);
  assert.ok((await metric('nearcast_transcode_lost_rungs_total')) >= 1);
  assert.equal((await get('/live/x/source/index.m3u8')).status, 200);
});

test('pictures of a broadcast are made for whoever asks', { timeout: 120_000 }, async () => {
  const { thumbnail_url: thumbnail, preview_url: preview, advice } = await server.broadcast('x');
  assert.deepEqual([thumbnail, preview, advice], ['/live/x/thumb.jpg', '/live/x/preview.webp', []]);
  for (const [url, type, magic] of [[thumbnail, 'image/jpeg', 'ffd8ff'], [preview, 'image/webp', '52494646']]) {
    const answer = await get(url);
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.deepEqual([answer.status, answer.headers.get('content-type'), answer.headers.get('cache-control')], [200, type, 'public, max-age=5']);
    assert.ok(bytes.toString('hex').startsWith(magic) && bytes.length > 1000 && bytes.length < 1 << 20, `${url}: ${bytes.length} bytes`);
  }
  assert.equal((await get('/live/nobody/thumb.jpg')).status, 404);
});

test('a server without ffmpeg says so and has source only', { timeout: 60_000 }, async () => {
  const bare = await Nearcast.start({ env: { PATH: '/nowhere' } });
  const other = ffmpeg(bare.rtmp('y'));
  try {
    const { renditions, thumbnail_url: thumbnail } = await bare.live('y', LONG);
    assert.deepEqual(renditions.map(({ name, state }) => [name, state]), [['source', 'running'], ['audio', 'running']]);
    assert.equal(thumbnail, null);
    assert.match(bare.child.tail(), /install ffmpeg 5\.1 or later/);
  } finally {
    await other.stop();
    await bare.stop();
  }
});
