// A phone that turns while it is on air: 640×360 becomes 360×640 within one publisher's session.
// In → Out: one RTMP session of two shapes, from a real ffmpeg → init sections, discontinuity, sizes of source and rung; how long
// the picture on the watch page stands still.
// Spec: issue "Every viewer's own quality", "Turning phones"; cases PKG-10, ING-09.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { promisify } from 'node:util';
import { launch, open } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { Child, until } from '../harness/processes.mjs';

const run = promisify(execFile);
const LONG = 60_000;
const BEFORE_S = 8;
const STILL_MS = 500;
let folder;
let server;
let publisher;
let browser;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-turning-'));
  const [lying, standing] = [await encode('640x360', BEFORE_S), await encode('360x640', 30)];
  await writeFile(join(folder, 'turning.flv'), joined(lying, standing, BEFORE_S * 1000));
  server = await Nearcast.start();
  publisher = publish('turning.flv', 'x');
  await server.live('x', LONG);
});
after(async () => {
  await browser?.close();
  await publisher?.stop();
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Sends a file of the folder as it is, `more` times more if wanted. */
const publish = (file, name, more = '0') =>
  new Child('ffmpeg', [...'-hide_banner -nostdin -loglevel error -re -stream_loop'.split(' '), more, '-i', join(folder, file), '-c', 'copy', '-f', 'flv', server.rtmp(name)]);

async function encode(size, seconds) {
  const to = join(folder, `${size}.flv`);
  await run('ffmpeg', [...'-y -hide_banner -nostdin -loglevel error -f lavfi -i'.split(' '), `testsrc2=size=${size}:rate=30`, '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-t', String(seconds), ...'-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -pix_fmt yuv420p -c:a aac -f flv'.split(' '), to]);
  return readFile(to);
}

/** Two FLV files as one, the second `shift` ms later; its metadata is left out. */
function joined(first, second, shift) {
  const tags = (file, ms) => {
    const found = [];
    for (let at = 13; at + 11 <= file.length;) {
      const tag = Buffer.from(file.subarray(at, at + 15 + file.readUIntBE(at + 1, 3)));
      const stamp = (tag.readUIntBE(4, 3) | (tag[7] << 24)) + ms;
      tag.writeUIntBE(stamp & 0xffffff, 4, 3);
      tag[7] = stamp >>> 24;
      if (tag[0] !== 18 || ms === 0) found.push(tag);
      at += tag.length;
    }
    return found;
  };
  return Buffer.concat([first.subarray(0, 13), ...tags(first, 0), ...tags(second, shift)]);
}

const text = async (path) => (await fetch(server.url(path))).text();
const bytes = async (path) => Buffer.from(await (await fetch(server.url(path))).arrayBuffer());

/** The size and shape of pixels in the last whole segment that a rendition lists. */
async function shown(rendition) {
  const playlist = await text(`/live/x/${rendition}/index.m3u8`);
  const name = [...playlist.matchAll(/^(\d+)\.(\d+)\.m4s$/gm)].at(-1);
  if (!name) return null;
  const file = join(folder, `${rendition}.mp4`);
  await writeFile(file, Buffer.concat([await bytes(`/live/x/${rendition}/${name[1]}.init.mp4`), await bytes(`/live/x/${rendition}/${name[0]}`)]));
  const { stdout } = await run('ffprobe', ['-v', 'error', '-select_streams', 'v', '-show_entries', 'stream=width,height,sample_aspect_ratio', '-count_frames', '-show_entries', 'stream=nb_read_frames', '-of', 'json', file]);
  const [{ width, height, sample_aspect_ratio: pixel, nb_read_frames: frames }] = JSON.parse(stdout).streams;
  return { size: `${width}x${height}`, pixel: pixel ?? '1:1', frames: Number(frames) };
}

const sizes = async () => Object.fromEntries((await server.broadcast('x')).renditions.filter(({ width }) => width).map(({ name, width, height }) => [name, `${width}x${height}`]));

test('a picture that turns gets a new init section at a discontinuity, and its rung the right shape', { timeout: 150_000 }, async () => {
  assert.equal((await shown('240p')).size, '426x240');
  assert.deepEqual(await sizes(), { source: '640x360', '240p': '426x240' });
  const first = Number(/(\d+)\.init\.mp4/.exec(await text('/live/x/source/index.m3u8'))[1]);

  await until('the source has turned', async () => (await sizes()).source === '360x640', LONG);
  const rung = await until('the rung has turned', async () => {
    const now = await shown('240p');
    return now?.size === '240x426' ? now : null;
  }, LONG);
  assert.ok(rung.frames >= 25, `${rung.frames} pictures are decoded`);
  assert.equal(rung.pixel, '1:1', 'not stretched');
  assert.equal((await shown('source')).size, '360x640');
  const playlist = await text('/live/x/source/index.m3u8');
  assert.match(playlist, new RegExp(`#EXT-X-DISCONTINUITY\\n#EXT-X-MAP:URI="${first + 1}\\.init\\.mp4"`));
  assert.match(await text('/live/x/index.m3u8'), /RESOLUTION=360x640[^]*RESOLUTION=240x426/);
});

/** Runs in the page: each change of the picture's shape, and the time between the last picture before it and the first after it. */
function watchTurns() {
  window.__turns = [];
  let last = null;
  const shown = (_now, { expectedDisplayTime: at, width, height }) => {
    const { video } = window.__probe;
    video.requestVideoFrameCallback(shown);
    const shape = width > height ? 'lying' : 'standing';
    if (last !== null && last.shape !== shape) window.__turns.push({ shape, stillMs: at - last.at });
    last = { at, shape };
  };
  const search = setInterval(() => {
    if (!window.__probe?.video) return;
    clearInterval(search);
    window.__probe.video.requestVideoFrameCallback(shown);
  }, 10);
}

test('the picture on the watch page turns along without standing still for half a second', { timeout: 150_000 }, async (t) => {
  const [lying, standing] = await Promise.all(['640x360', '360x640'].map((size) => encode(size, 4)));
  await writeFile(join(folder, 'again.flv'), joined(lying, standing, 4000));
  const again = publish('again.flv', 'again', '-1');
  browser = await launch();
  try {
    await server.live('again', LONG);
    const { page } = await open(browser, { viewport: { width: 800, height: 600 } });
    await page.addInitScript(watchTurns);
    await page.goto(server.url('/b/again'));
    // A busy machine stands still by itself: what the player can do shows in the best of several turns, both ways.
    const turns = () => page.evaluate(() => window.__turns);
    await until('the picture has turned both ways in time', async () => {
      const inTime = (await turns()).filter(({ stillMs }) => stillMs <= STILL_MS);
      return new Set(inTime.map(({ shape }) => shape)).size === 2;
    }, LONG);
    t.diagnostic(`stood still for ${(await turns()).map(({ shape, stillMs }) => `${stillMs.toFixed(0)} ms (${shape})`).join(', ')}`);
    const { jumps, resyncs } = await page.evaluate(() => window.nearcast.stats());
    t.diagnostic(`${jumps} jumps, ${resyncs} resyncs`);
  } finally {
    await again.stop();
  }
});
