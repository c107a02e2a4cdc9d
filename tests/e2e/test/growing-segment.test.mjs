// The wire as `curl -N` sees it: a segment grows frame by frame, the next ones are held open, further ones are not there.
// In → Out: a live broadcast published over RTMP → raw HTTP/1.1 answers with the arrival time of each chunk.
// Spec: design "Segments", "Playlists"; RFC 9112, "Chunked Transfer Coding".
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { further, read } from '../harness/playlist.mjs';
import { delay, until } from '../harness/processes.mjs';
import { quantile } from '../harness/probe.mjs';
import { pattern } from '../harness/publishers.mjs';
import { boxes, now, RawGet } from '../harness/raw.mjs';

let server;
let publisher;

before(async () => {
  server = await Nearcast.start();
  // At low bitrates two frames share a chunk, to keep the container's share under 5 %.
  publisher = pattern(server.rtmp('wire'), { args: ['--bitrate', '4M'] });
  await server.live('wire');
});
after(async () => {
  await publisher?.stop();
  await server?.stop();
});

const media = () => read(server.url('/live/wire/source/index.m3u8'));
const address = (playlist, uri) => new URL(uri, playlist.url).href;

/** The current segment just after it has begun, so that all of it is still to come. */
async function fresh() {
  const before = (await media()).prefetch[0];
  return until('the next segment begins', async () => {
    const playlist = await media();
    return playlist.prefetch[0] !== before && playlist;
  }, 8000, 15);
}

test('the current segment comes chunk by chunk, one for each frame, and ends cleanly at the last', async () => {
  const playlist = await fresh();
  const get = new RawGet(address(playlist, playlist.prefetch[0]));
  await get.head();
  assert.equal(get.status, 200);
  assert.equal(get.headers['content-length'], undefined);
  assert.match(get.headers['cache-control'], /immutable/);
  assert.equal(get.headers['access-control-allow-origin'], '*');
  assert.equal(await get.finish(), 'clean');
  const live = get.chunks.filter((chunk) => chunk.at > get.headedAt + 60);
  const frames = 2 * 30;
  assert.ok(live.length >= frames * 0.75, `${live.length} chunks arrived one by one`);
  for (const { data } of live) {
    const types = boxes(data).map((box) => box.type).filter((type) => type !== 'prft' && type !== 'styp');
    assert.deepEqual(types, ['moof', 'mdat']);
  }
  const gaps = live.slice(1).map((chunk, i) => chunk.at - live[i].at);
  assert.ok(quantile(gaps, 0.5) > 20 && quantile(gaps, 0.5) < 45, `median gap ${quantile(gaps, 0.5)} ms`);
  // The same URL now has a length and the same bytes.
  const whole = await fetch(get.url);
  assert.deepEqual(Buffer.from(await whole.arrayBuffer()), get.body);
});

test('the next two segments answer at once and are held; the third ahead is 404 for at most a second', async () => {
  const playlist = await fresh();
  const current = playlist.prefetch[0];
  const held = [1, 2].map((ahead) => new RawGet(address(playlist, further(current, ahead))));
  for (const get of held) {
    await get.head(500);
    assert.equal(get.status, 200);
    assert.ok(get.headedAt - get.asked < 100, `head after ${get.headedAt - get.asked} ms`);
    assert.equal(get.chunks.length, 0);
  }
  const third = new RawGet(address(playlist, further(current, 3)));
  await third.head();
  assert.equal(third.status, 404);
  const life = Number(third.headers['cache-control'].match(/max-age=(\d+)/)?.[1] ?? 0);
  assert.ok(life <= 1, third.headers['cache-control']);
  // The first held one begins when the current one has ended.
  const before = now();
  await held[0].count(5, 8000);
  assert.ok(held[0].chunks[0].at - before < 2500);
  assert.deepEqual(boxes(held[0].body).map((box) => box.type).filter((type) => type === 'moof').length >= 5, true);
  held.forEach((get) => get.close());
});

test('http_08_ahead_behind_and_wrong_epoch_are_answered_as_promised', async () => {
  const playlist = await media();
  const current = playlist.prefetch[0];
  const [, epoch, msn] = current.match(/(\d+)\.(\d+)\.m4s/);
  const status = async (uri) => (await fetch(address(playlist, uri))).status;
  assert.equal(await status(further(current, 1000)), 404);
  assert.equal(await status(`${Number(epoch) + 1}.${msn}.m4s`), 404);
  if (Number(msn) > 2000) assert.ok([404, 410].includes(await status(further(current, -1000))));
});

test('a part is whole, with a length; the hinted one is held and then whole', async () => {
  const playlist = await media();
  const part = await fetch(address(playlist, playlist.parts.at(-1).uri));
  assert.equal(part.status, 200);
  assert.ok(Number(part.headers.get('content-length')) > 0);
  await part.arrayBuffer();
  const hint = (await media()).text.match(/EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/)[1];
  const get = new RawGet(address(playlist, hint));
  assert.equal(await get.finish(3000), 'clean');
  assert.equal(get.status, 200);
  assert.ok(get.length > 0, 'a part is never trickled');
  for (const { duration } of playlist.parts) assert.ok(duration <= playlist.partTarget + 1e-6, `${duration} > ${playlist.partTarget}`);
});

test('a blocked playlist comes with the part it waited for', async () => {
  const playlist = await media();
  const hint = playlist.text.match(/EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/)[1];
  const [, msn, part] = hint.match(/\d+\.(\d+)\.(\d+)\.m4s/);
  const started = now();
  const answer = await read(server.url(`/live/wire/source/index.m3u8?_HLS_msn=${msn}&_HLS_part=${part}`));
  assert.ok(now() - started < 1500);
  assert.ok(answer.parts.some((found) => found.uri.includes(`.${msn}.${part}.m4s`)), answer.text);
  const far = await fetch(server.url(`/live/wire/source/index.m3u8?_HLS_msn=${Number(msn) + 50}`));
  assert.equal(far.status, 400);
});

test('the end of a broadcast closes the growing segment cleanly and aborts what will never come', async () => {
  const own = pattern(server.rtmp('ends'));
  await server.live('ends');
  const playlist = await read(server.url('/live/ends/source/index.m3u8'));
  const current = new RawGet(address(playlist, playlist.prefetch[0]));
  const next = new RawGet(address(playlist, further(playlist.prefetch[0], 1)));
  await Promise.all([current.head(), next.head()]);
  await delay(300);
  await own.stop('SIGINT');
  assert.equal(await current.finish(6000), 'clean');
  // Held for the reconnect window at most, then aborted: never a clean, empty object that a cache would keep.
  if (next.chunks.length === 0) assert.equal(await next.finish(40_000), 'aborted');
  else assert.equal(await next.finish(40_000), 'clean');
});
