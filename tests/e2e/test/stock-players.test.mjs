// hls.js and Shaka as npm has them: a minute of our LL-HLS each, without one error event.
// In → Out: `/live/x/index.m3u8` in both players → their error events, the painted clock of what they show.
// Spec: RFC 8216bis; hls.js "lowLatencyMode"; Shaka "streaming.lowLatencyMode".
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { launch, open, servePages } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { quantile } from '../harness/probe.mjs';
import { delay } from '../harness/processes.mjs';
import { pattern } from '../harness/publishers.mjs';
import { flows, playing, watch } from '../harness/watching.mjs';

const SECONDS = 60;
let server;
let publisher;
let browser;
let pages;

before(async () => {
  server = await Nearcast.start();
  publisher = pattern(server.rtmp('x'));
  [browser, pages] = await Promise.all([launch(), servePages(), server.live('x')]);
  // A player that holds back three parts or segments needs some to be there.
  await delay(4000);
});
after(async () => {
  await browser?.close();
  await pages?.close();
  await publisher?.stop();
  await server?.stop();
});

async function aMinute(t, name, config, most) {
  const source = server.url('/live/x/index.m3u8');
  const { page, problems, close } = await open(browser);
  await page.goto(pages.url(`/${name}.html?src=${encodeURIComponent(source)}&config=${encodeURIComponent(JSON.stringify(config))}`));
  await playing(page, { pictures: 30, ms: 20_000 });
  await delay(4000);
  const sample = await watch(page, SECONDS * 1000);
  const events = await page.evaluate(() => window.__events);
  const p50 = quantile(sample.pictures.map((picture) => picture.delay), 0.5);
  t.diagnostic(`${name}: p50 ${p50.toFixed(0)} ms, waits ${sample.waits}, seeks ${sample.seeks}, pictures ${sample.pictures.length}`);
  assert.deepEqual(events, [], `${name} reported errors`);
  assert.deepEqual([...problems, ...sample.errors], []);
  flows(sample, { longest: 1000 });
  assert.ok(sample.audioBytes > 0, 'sound is decoded');
  assert.ok(p50 < most, `p50 ${p50} ms`);
  await close();
}

test('hls.js with lowLatencyMode plays for a minute without an error event', { timeout: 180_000 }, (t) =>
  aMinute(t, 'hls', { lowLatencyMode: true }, 2500));

test('Shaka with lowLatencyMode plays for a minute without an error event', { timeout: 180_000 }, (t) =>
  aMinute(t, 'shaka', { streaming: { lowLatencyMode: true } }, 8000));
