// Debian's Varnish 7.1, as we ship its configuration, between the real server and two hundred viewers, and a browser.
// In → Out: viewers on one address → requests that reach the origin; delay that the cache adds to a chunk.
// Spec: design "Numbers to reach"; issue "A real cache in front"; case HTTP-08.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { launch, open } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { further, read } from '../harness/playlist.mjs';
import { quantile } from '../harness/probe.mjs';
import { delay, until } from '../harness/processes.mjs';
import { pattern } from '../harness/publishers.mjs';
import { RawGet } from '../harness/raw.mjs';
import { Varnish } from '../harness/varnish.mjs';
import { flows, playing, shownAgainstPainted, watch } from '../harness/watching.mjs';

const VIEWERS = 200;
let server;
let cache;
let publisher;

before(async () => {
  server = await Nearcast.start();
  // A chunk for each frame: at low bitrates two share one.
  publisher = pattern(server.rtmp('live'), { args: ['--bitrate', '3M'] });
  await server.live('live');
  cache = await Varnish.start(server.httpPort);
});
after(async () => {
  await publisher?.stop();
  await cache?.stop();
  await server?.stop();
});

const path = '/live/live/source/';
const media = () => read(server.url(`${path}index.m3u8`));
const once = async (what, uri, ms = 6000) => {
  await until(`${what} is logged`, () => cache.originRequests(uri).length > 0, ms);
  assert.equal(cache.originRequests(uri).length, 1, `requests to the origin for ${uri}`);
};

test('two hundred viewers of one growing segment are one request to the origin, and chunks come as they are made', async (t) => {
  const { prefetch } = await media();
  // From before it begins, so that every chunk is live; the direct reader is the yardstick on the same clock.
  const uri = path + further(prefetch[0], 1);
  const direct = new RawGet(server.url(uri));
  const viewers = Array.from({ length: VIEWERS }, () => new RawGet(cache.url(uri)));
  await Promise.all(viewers.map((viewer) => viewer.head(8000)));
  assert.ok(viewers.every((viewer) => viewer.status === 200));
  assert.equal(await direct.finish(), 'clean');
  const ends = await Promise.all(viewers.map((viewer) => viewer.finish()));
  assert.ok(ends.every((end) => end === 'clean'));
  for (const viewer of viewers) assert.ok(viewer.body.equals(direct.body), 'the same bytes for everybody');
  await once('the segment', uri);

  // A chunk's arrival is when its last byte is there; Varnish may join or split the origin's chunks.
  const arrivals = (get) => {
    let size = 0;
    return get.chunks.map(({ at, data }) => ({ at, size: (size += data.length) }));
  };
  const added = [];
  const reference = arrivals(direct);
  for (const viewer of viewers) {
    const times = arrivals(viewer);
    let i = 0;
    for (const chunk of reference) {
      while (times[i].size < chunk.size) i += 1;
      added.push(times[i].at - chunk.at);
    }
  }
  // Two seconds of thirty pictures; at a low bitrate two or three of them share a chunk.
  assert.ok(reference.length >= 20, `${reference.length} chunks`);
  t.diagnostic(`Varnish adds p50 ${quantile(added, 0.5).toFixed(1)} p99 ${quantile(added, 0.99).toFixed(1)} max ${quantile(added, 1).toFixed(1)} ms to a chunk, ${VIEWERS} viewers`);
  // Two hundred readers in one JavaScript thread beside the servers: their own time is inside.
  assert.ok(quantile(added, 0.5) <= 40, 'p50');
  assert.ok(quantile(added, 0.99) <= 250, 'p99');
});

test('a request for the next segment is held by the cache, once, with its head sent', async () => {
  const { prefetch } = await media();
  const uri = path + further(prefetch[0], 2);
  const viewers = Array.from({ length: 20 }, () => new RawGet(cache.url(uri)));
  await Promise.all(viewers.map((viewer) => viewer.head(1500)));
  assert.ok(viewers.every((viewer) => viewer.status === 200 && viewer.chunks.length === 0));
  await Promise.all(viewers.map((viewer) => viewer.finish(12_000)));
  assert.ok(viewers.every((viewer) => viewer.end === 'clean' && viewer.body.length > 10_000));
  await once('the held segment', uri);
});

test('a hinted part and a blocked playlist are asked for once, whoever waits, in whatever order the query comes', async () => {
  const { text } = await media();
  const hint = text.match(/EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"/)[1];
  const [, epoch, msn] = hint.match(/(\d+)\.(\d+)\.(\d+)\.m4s/);
  // The first part of the next segment: far enough for everybody to be waiting.
  const part = `${path}${epoch}.${Number(msn) + 1}.0.m4s`;
  const blocked = `${path}index.m3u8?_HLS_msn=${Number(msn) + 1}&_HLS_part=0`;
  const swapped = `${path}index.m3u8?_HLS_part=0&_HLS_msn=${Number(msn) + 1}&viewer=7`;
  const parts = [];
  const hinted = (await fetch(server.url(part), { signal: AbortSignal.timeout(50) }).catch(() => null))?.status !== 404;
  if (hinted) parts.push(...Array.from({ length: 50 }, () => new RawGet(cache.url(part))));
  const lists = Array.from({ length: 50 }, (_, i) => new RawGet(cache.url(i % 2 ? blocked : swapped)));
  for (const get of [...parts, ...lists]) {
    assert.equal(await get.finish(8000), 'clean');
    assert.equal(get.status, 200);
  }
  const added = lists.map((get) => get.endedAt - lists[0].endedAt);
  assert.ok(Math.max(...added) < 500, `the last waited ${Math.max(...added)} ms longer than the first`);
  await until('logged', () => cache.log.lines.some((line) => line.includes(`_HLS_msn=${Number(msn) + 1}`)));
  assert.equal(cache.log.lines.filter((line) => line.includes(`_HLS_msn=${Number(msn) + 1}`)).length, 1);
  if (hinted) await once('the part', part);
});

test('http_08_the_third_ahead_is_404_for_a_second_and_there_when_its_time_has_come', async () => {
  const { prefetch } = await media();
  const uri = path + further(prefetch[0], 3);
  for (let i = 0; i < 20; i += 1) assert.equal((await fetch(cache.url(uri))).status, 404);
  assert.ok(cache.originRequests(uri).length <= 2, 'the refusal is shared');
  await delay(2500);
  const later = new RawGet(cache.url(uri));
  await later.head(4000);
  assert.equal(later.status, 200, 'no refusal is kept for an address that will exist');
  later.close();
});

test('a segment that the origin aborts is aborted for its viewers and not kept', async () => {
  const other = await Nearcast.start();
  const second = pattern(other.rtmp('torn'));
  const edge = await Varnish.start(other.httpPort);
  try {
    await other.live('torn');
    const { prefetch, url } = await read(other.url('/live/torn/source/index.m3u8'));
    const uri = new URL(prefetch[0], url).pathname;
    const viewer = new RawGet(edge.url(uri));
    await viewer.count(3);
    // Not a drain, not an end: the process is gone in mid-segment.
    await other.child.kill('SIGKILL');
    assert.equal(await viewer.finish(5000), 'aborted');
    await delay(300);
    const again = new RawGet(edge.url(uri));
    await again.head(5000);
    assert.equal(again.status, 503, 'asked again, not answered from a torn copy');
    again.close();
  } finally {
    await second.stop();
    await edge.stop();
    await other.stop();
  }
});

test('our player plays through Varnish unchanged, and its delay stays true', async (t) => {
  const browser = await launch();
  try {
    const { page, problems } = await open(browser);
    await page.goto(cache.url('/b/live'));
    await playing(page, { pictures: 60 });
    await delay(3000);
    const sample = await watch(page, 10_000);
    flows(sample, { longest: 500 });
    const delays = sample.pictures.map((picture) => picture.delay);
    t.diagnostic(`through Varnish: p50 ${quantile(delays, 0.5).toFixed(0)} p95 ${quantile(delays, 0.95).toFixed(0)} ms`);
    const { told, painted } = await shownAgainstPainted(page);
    assert.ok(Math.abs(told - painted) <= 50, `the page says ${told.toFixed(0)} ms, the picture is ${painted.toFixed(0)} ms old`);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
  }
});
