// ING-18 in a browser: the publisher dies and comes back, and the page goes on without a reload.
// In → Out: publishers killed with SIGKILL and started again (same, other size, without sound) → pictures on the same page.
// Spec: issue cases ING-17, ING-18, PKG-10; design "Segments".
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { launch, open } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { read } from '../harness/playlist.mjs';
import { collect } from '../harness/probe.mjs';
import { delay, until } from '../harness/processes.mjs';
import { ffmpeg, pattern } from '../harness/publishers.mjs';
import { flows, playing, watch } from '../harness/watching.mjs';

let server;
let browser;

before(async () => {
  server = await Nearcast.start();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function comesBack(t, name, first, second, check = () => {}) {
  let publisher = first(server.rtmp(name));
  const { page, problems, close } = await open(browser);
  try {
    await server.live(name);
    await page.goto(server.url(`/b/${name}`));
    await playing(page, { pictures: 60 });
    await page.evaluate(() => {
      window.__sameDocument = true;
      // The shape of the source is what is looked at: a busy machine must not move this page to a smaller rendition.
      window.nearcast.element.player.setRendition('source');
    });
    const before = await read(server.url(`/live/${name}/source/index.m3u8`));
    await publisher.kill('SIGKILL');
    await delay(1500);
    const back = Date.now();
    publisher = second(server.rtmp(name));
    await until('a picture painted after the return is shown', () => page.evaluate((since) => (window.__probe.shown ?? 0) > since, back), 15_000, 20);
    const seen = Date.now();
    // Encoders need a moment to connect and to make the first picture; that belongs to the gap.
    const shown = await collect(page);
    const firstBack = shown.pictures.find((picture) => picture.stamp > back);
    t.diagnostic(`back on screen ${seen - back} ms after the publisher was started, ${(firstBack.delay).toFixed(0)} ms after its first shown picture was painted`);
    await delay(2500);
    const after = await watch(page, 5000);
    flows(after, { longest: 700 });
    assert.equal(await page.evaluate(() => window.__sameDocument), true, 'without a reload');
    const playlist = await read(server.url(`/live/${name}/source/index.m3u8`));
    assert.ok(playlist.msn + playlist.segments.length > before.msn + before.segments.length, 'numbers go on');
    assert.match(playlist.text, /#EXT-X-DISCONTINUITY/);
    assert.equal((await server.broadcast(name)).state, 'live');
    assert.deepEqual(problems.filter((problem) => !/Failed to load resource|net::ERR/.test(problem)), []);
    await check(after, page);
  } finally {
    await close();
    await publisher.stop();
  }
}

test('ing_18_same_encoder_returns', (t) => comesBack(t, 'same', pattern, pattern));

test('ing_18_returns_with_another_resolution', (t) =>
  comesBack(t, 'size', pattern, (to) => pattern(to, { size: '480x270' }), (after) => {
    assert.equal(after.sizes.at(-1), '480x270');
  }));

test('ing_18_turned_to_portrait', (t) =>
  comesBack(t, 'portrait', pattern, (to) => ffmpeg(to, { size: '360x640' }), (after) => {
    assert.equal(after.sizes.at(-1), '360x640');
  }));

test('ing_18_returns_without_sound', (t) => comesBack(t, 'silent', pattern, (to) => ffmpeg(to, { sound: false })));

test('ing_19_a_newer_publisher_takes_over_and_the_old_one_is_told', async () => {
  const old = ffmpeg(server.rtmp('takeover'));
  const { page, close } = await open(browser);
  let newer;
  try {
    await server.live('takeover');
    await page.goto(server.url('/b/takeover'));
    await playing(page, { pictures: 60 });
    newer = pattern(server.rtmp('takeover'));
    await old.ended;
    await delay(3000);
    flows(await watch(page, 4000), { longest: 700 });
    assert.equal(newer.status, undefined, 'the newer one goes on');
  } finally {
    await close();
    await Promise.all([old.stop(), newer?.stop()]);
  }
});

test('a broadcaster who is away is said to be away', async () => {
  const publisher = pattern(server.rtmp('away'));
  const { page, close } = await open(browser);
  try {
    await server.live('away');
    await page.goto(server.url('/b/away'));
    await playing(page, { pictures: 60 });
    await publisher.kill('SIGKILL');
    await until('the API says reconnecting', async () => (await server.broadcast('away'))?.state === 'reconnecting', 8000);
    await page.getByText(/away/i).first().waitFor({ state: 'visible', timeout: 8000 });
  } finally {
    await close();
    await publisher.stop();
  }
});
