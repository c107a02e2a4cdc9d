// hls.js and Shaka as npm has them: a minute of our LL-HLS each, without one error event.
// In → Out: `/live/x/index.m3u8` in both players → their error events, the painted clock of what they show.
// Spec: RFC 8216bis; hls.js "lowLatencyMode"; Shaka "streaming.lowLatencyMode".
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { launch, open, servePages } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { quantile } from '../harness/probe.mjs';
import { delay } from '../harness/processes.mjs';
import { ffmpeg } from '../harness/publishers.mjs';
import { attempts, flows, playing, watch } from '../harness/watching.mjs';

const SECONDS = 60;
let server;
let publisher;
let browser;
let pages;

before(async () => {
  server = await Nearcast.start();
  publisher = ffmpeg(server.rtmp('x'));
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

/** A whole minute without an error event; one that had any is watched again, at most three times. */
const aMinute = (t, ...rest) => attempts(t, 4, () => oneMinute(t, ...rest));

async function oneMinute(t, name, config, { most, longest }) {
  const { page, problems, close } = await open(browser);
  try {
    await page.goto(pages.player(name, server.url('/live/x/index.m3u8'), config));
    await playing(page, { pictures: 30, ms: 20_000 });
    await delay(4000);
    const sample = await watch(page, SECONDS * 1000);
    const events = await page.evaluate(() => window.__events);
    const p50 = quantile(sample.pictures.map((picture) => picture.delay), 0.5);
    t.diagnostic(`${name}: p50 ${p50.toFixed(0)} ms, waits ${sample.waits}, seeks ${sample.seeks}, pictures ${sample.pictures.length}`);
    assert.deepEqual(events, [], `${name} reported errors`);
    assert.deepEqual([...problems, ...sample.errors], []);
    flows(sample, { longest });
    assert.ok(sample.audioBytes > 0, 'sound is decoded');
    assert.ok(p50 < most, `p50 ${p50} ms`);
  } finally {
    await close();
  }
}

test('hls.js with lowLatencyMode plays for a minute without an error event', { timeout: 480_000 }, (t) =>
  aMinute(t, 'hls', { lowLatencyMode: true }, { most: 2500, longest: 1000 }));

test('Shaka with lowLatencyMode plays for a minute without an error event', { timeout: 480_000 }, (t) =>
  // Shaka leaps over what it missed while it joined, now and then only after the start.
  aMinute(t, 'shaka', { streaming: { lowLatencyMode: true } }, { most: 8000, longest: 2500 }));

test('hls.js goes on at pictures that an encoder left out up to its next key frame', { timeout: 300_000 }, async (t) => {
  // As OBS does on a bad uplink: ten of each sixty.
  const holed = ffmpeg(server.rtmp('holed'), { video: ['-bsf:v', "noise=drop='gte(mod(n\\,60)\\,50)'"] });
  const { page, problems, close } = await open(browser);
  try {
    await server.live('holed');
    await delay(3000);
    await page.goto(pages.player('hls', server.url('/live/holed/index.m3u8'), { lowLatencyMode: true }));
    await playing(page, { pictures: 60, ms: 30_000 });
    const sample = await watch(page, 15_000);
    const times = sample.pictures.map((picture) => picture.at);
    const still = Math.max(...times.slice(1).map((at, i) => at - times[i]));
    t.diagnostic(`waits ${sample.waits}, seeks ${sample.seeks}, pictures ${sample.pictures.length}, longest stand ${still.toFixed(0)} ms`);
    assert.deepEqual([...problems, ...sample.errors], []);
    // 375 are sent. A player that stands still at each hole until it leaps over it shows a quarter of them.
    assert.ok(sample.pictures.length > 190, `${sample.pictures.length} pictures shown`);
  } finally {
    await close();
    await holed.stop();
  }
});
