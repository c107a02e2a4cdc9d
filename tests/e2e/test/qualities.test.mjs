// Every viewer's own quality: the menu, moves between renditions, a phone that turns, encoders that die or hang.
// In → Out: publishers over RTMP, rungs on demand → what the menu offers, which size is shown, how long the picture stands still.
// A busy machine starves encoders and browsers alike: what must hold on it is that the picture goes on, not how smoothly.
// Spec: issue "Every viewer's own quality"; cases PKG-10.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { launch, open } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { collect, reset } from '../harness/probe.mjs';
import { delay, until } from '../harness/processes.mjs';
import { ffmpeg, pattern } from '../harness/publishers.mjs';
import { playing } from '../harness/watching.mjs';

const PATIENCE_MS = 60_000;
let server;
let browser;

before(async () => {
  server = await Nearcast.start({ env: { NEARCAST_TRANSCODE_MODE: 'on-demand' } });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A page that plays `name`, with sound off so that nothing covers its controls. */
async function watching(name, viewport = { width: 1280, height: 720 }) {
  const opened = await open(browser, { viewport });
  await opened.page.goto(server.url(`/b/${name}`));
  await playing(opened.page, { ms: PATIENCE_MS });
  return opened;
}

const stats = (page) => page.evaluate(() => window.nearcast.stats());
const choose = (page, choice) => page.evaluate((to) => window.nearcast.element.player.setRendition(to), choice);
const shows = (page, what, check, ms = PATIENCE_MS) =>
  until(what, () => page.evaluate(() => [window.__probe.video.videoWidth, window.__probe.video.videoHeight]).then(([w, h]) => check(w, h)), ms, 30);

/** The longest time between two pictures that were shown, milliseconds. */
const longest = (sample) => Math.max(...sample.pictures.slice(1).map((picture, i) => picture.at - sample.pictures[i].at));

/** Pictures go on: some that were painted after this moment are shown. */
async function goesOn(page) {
  const now = Date.now();
  await until('newer pictures are shown', () => page.evaluate((since) => (window.__probe.shown ?? 0) > since, now), PATIENCE_MS, 30);
}

test('the menu offers auto, every quality and sound alone; what is chosen is shown, in one go, and auto says what runs', { timeout: 240_000 }, async (t) => {
  const publisher = pattern(server.rtmp('menu'), { size: '1280x720' });
  await server.live('menu');
  const { page, problems, close } = await watching('menu');
  try {
    await page.mouse.move(200, 200);
    const button = page.getByRole('button', { name: /^Quality: auto, now 720p$/ });
    await button.focus();
    await page.keyboard.press('Enter');
    const items = page.getByRole('menu', { name: 'Quality' }).getByRole('menuitemradio');
    assert.deepEqual((await items.allTextContents()).map((text) => text.replace(/(now )?[\d.]+ ?(p|[Mk]b\/s)$/, '')), ['Auto', '720p original', '480p', '240p', 'Sound only']);
    assert.equal(await items.nth(0).getAttribute('aria-checked'), 'true');
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown']) await page.keyboard.press(key);
    const gaps = [];
    // Nobody watches either: its encoder starts while the picture goes on. That takes a second and a GOP, which nobody waits for.
    for (const [choice, height] of [['240p', 240], ['480p', 480]]) {
      await reset(page);
      const [from, asked] = [await stats(page), Date.now()];
      if (choice === '240p') await page.keyboard.press('Enter');
      else await choose(page, choice);
      await shows(page, `${choice} is shown`, (w, h) => h === height);
      const tookMs = Date.now() - asked;
      assert.equal(await page.evaluate(() => window.nearcast.element.player.choice), choice);
      await goesOn(page);
      await delay(500);
      gaps.push(longest(await collect(page)));
      t.diagnostic(`${choice} was started and shown after ${tookMs} ms, longest gap ${gaps.at(-1).toFixed(0)} ms`);
      assert.equal((await stats(page)).jumps, from.jumps, 'without a seek');
    }
    assert.ok(Math.min(...gaps) <= 1000, `the picture stood still for ${gaps.map((ms) => ms.toFixed(0)).join(' and ')} ms`);
    // Both run now: a move takes at the most what is left of this segment, and the next.
    for (const [choice, height] of [['source', 720], ['240p', 240], ['source', 720]]) {
      await reset(page);
      const from = await stats(page);
      await choose(page, choice);
      await shows(page, `${choice} is shown`, (w, h) => h === height);
      await delay(1000);
      const sample = await collect(page);
      const now = await stats(page);
      t.diagnostic(`${choice}: longest gap ${longest(sample).toFixed(0)} ms, waits ${sample.waits}, seeks ${sample.seeks}, segments ${from.msn}…${now.msn}`);
      assert.equal(now.jumps, from.jumps, 'without a seek');
    }
    assert.equal((await stats(page)).resyncs, 0);
    assert.deepEqual(problems, []);
  } finally {
    await close();
    await publisher.stop();
  }
});

test('a phone that turns while a rung is watched is followed, in its new shape', { timeout: 240_000 }, async (t) => {
  let publisher = ffmpeg(server.rtmp('turn'), { size: '640x360' });
  await server.live('turn');
  const { page, close } = await watching('turn');
  try {
    await choose(page, '240p');
    await shows(page, '240p is shown', (w, h) => h === 240 && w > h);
    await goesOn(page);
    await publisher.kill('SIGKILL');
    publisher = ffmpeg(server.rtmp('turn'), { size: '360x640' });
    await shows(page, 'a picture in portrait is shown', (w, h) => h > w);
    await goesOn(page);
    await shows(page, '240p is shown again', (w, h) => w === 240 && h > w);
    const renditions = await page.evaluate(() => window.nearcast.element.player.renditions);
    assert.ok(renditions.filter((one) => one.width > 0).every((one) => one.height > one.width), JSON.stringify(renditions));
    t.diagnostic(`stalls ${(await stats(page)).stalls}, ${(await stats(page)).stalledMs.toFixed(0)} ms`);
  } finally {
    await close();
    await publisher.stop();
  }
});

for (const [signal, what] of [['SIGKILL', 'dies'], ['SIGSTOP', 'hangs']]) {
  test(`an encoder that ${what} does not stop the picture, and its rung comes back`, { timeout: 240_000 }, async (t) => {
    const name = `encoder-${what}`;
    const publisher = pattern(server.rtmp(name), { size: '854x480' });
    await server.live(name);
    const { page, close } = await watching(name);
    try {
      await choose(page, '240p');
      await shows(page, '240p is shown', (w, h) => h === 240);
      await goesOn(page);
      const before = server.encoders();
      assert.ok(before.length > 0, 'an encoder runs');
      await reset(page);
      for (const pid of before) process.kill(pid, signal);
      await shows(page, 'source is shown meanwhile', (w, h) => h === 480);
      await goesOn(page);
      await shows(page, '240p is shown again', (w, h) => h === 240);
      await goesOn(page);
      const sample = await collect(page);
      t.diagnostic(`longest gap ${longest(sample).toFixed(0)} ms; ${JSON.stringify({ ...(await stats(page)), join: undefined, clock: undefined })}`);
      assert.ok(!server.encoders().some((pid) => before.includes(pid)), 'it was replaced');
    } finally {
      await close();
      await publisher.stop();
    }
  });
}
