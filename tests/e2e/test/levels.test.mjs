// hls.js and Shaka as npm has them change the rendition by order, there and back, without one error event.
// In → Out: a source and its rung in both players; orders to change → the size of the picture, their error events, the flow.
// Spec: RFC 8216bis 6.2.4; issue "Every viewer's own quality", accepted when 2.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { launch, open, servePages } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { delay, until } from '../harness/processes.mjs';
import { ffmpeg } from '../harness/publishers.mjs';
import { attempts, playing, watch } from '../harness/watching.mjs';

let server;
let publisher;
let browser;
let pages;

before(async () => {
  server = await Nearcast.start();
  publisher = ffmpeg(server.rtmp('x'));
  [browser, pages] = await Promise.all([launch(), servePages(), server.live('x')]);
  // The rung runs before it is asked for: how a cold one starts is told elsewhere.
  await until('the rung has some segments', async () => {
    const list = await (await fetch(server.url('/live/x/240p/index.m3u8'))).text();
    return (list.match(/^\d+\.\d+\.m4s$/gm) ?? []).length >= 3;
  }, 60_000);
});
after(async () => {
  await browser?.close();
  await pages?.close();
  await publisher?.stop();
  await server?.stop();
});

const height = (page) => page.evaluate(() => document.querySelector('video').videoHeight);

/** There and back; a machine that is busy with something else may be tried again, at most twice. */
const thereAndBack = (t, ...rest) => attempts(t, 3, () => once(t, ...rest));

async function once(t, name, config, order) {
  const { page, problems, close } = await open(browser);
  try {
    await page.goto(pages.player(name, server.url('/live/x/index.m3u8'), config));
    await playing(page, { pictures: 30, ms: 30_000 });
    for (const wanted of [360, 240, 360, 240]) {
      await page.evaluate(order, wanted);
      await until(`${name} shows ${wanted} lines`, async () => (await height(page)) === wanted, 30_000);
    }
    const sample = await watch(page, 4_000);
    t.diagnostic(`${name}: pictures ${sample.pictures.length}, waits ${sample.waits}, seeks ${sample.seeks}`);
    assert.deepEqual(await page.evaluate(() => window.__events), [], `${name} reported errors`);
    assert.deepEqual([...problems, ...sample.errors], []);
    assert.ok(sample.pictures.length > 30, `${sample.pictures.length} pictures in four seconds`);
  } finally {
    await close();
    await delay(200);
  }
}

test('hls.js changes the level there and back without an error event', { timeout: 400_000 }, (t) =>
  thereAndBack(t, 'hls', { lowLatencyMode: true }, (wanted) => {
    hls.nextLevel = hls.levels.findIndex((level) => level.height === wanted);
  }));

test('Shaka changes the variant there and back without an error event', { timeout: 400_000 }, (t) =>
  thereAndBack(t, 'shaka', { abr: { enabled: false }, streaming: { lowLatencyMode: true } }, (wanted) => {
    player.selectVariantTrack(player.getVariantTracks().find((track) => track.height === wanted), false);
  }));
