// Encoders as people have them, each watched in a browser: B-frames, GStreamer, odd frame rates, long GOPs, one track only.
// In → Out: a source → our watch page shows its painted clock in order; the API tells what it is.
// Spec: issue "RTMP in"; cases ING-16.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { launch, open } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { quantile } from '../harness/probe.mjs';
import { Child, delay, until } from '../harness/processes.mjs';
import { ffmpeg, gstreamer } from '../harness/publishers.mjs';
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

async function plays(t, name, start, { fps = 30, sound = true, settle = 3000, most = 1500 } = {}) {
  const publisher = start(server.rtmp(name));
  const { page, problems, close } = await open(browser);
  try {
    const broadcast = await server.live(name, 30_000);
    await page.goto(server.url(`/b/${name}`));
    await playing(page, { pictures: 30, ms: 20_000 });
    await delay(settle);
    const sample = await watch(page, 6000);
    flows(sample, { fps, longest: 700 });
    const p50 = quantile(sample.pictures.map((picture) => picture.delay), 0.5);
    t.diagnostic(`${name}: p50 ${p50.toFixed(0)} ms, waits ${sample.waits}, unreadable ${sample.unreadable}`);
    assert.ok(p50 < most, `p50 ${p50} ms`);
    if (sound) assert.ok(sample.audioBytes > 0, 'sound is decoded');
    assert.deepEqual([...problems, ...sample.errors], []);
    return broadcast;
  } finally {
    await close();
    await publisher.stop();
  }
}

test('ffmpeg with B-frames plays in order', async (t) => {
  await plays(t, 'bframes', (to) => ffmpeg(to, { bframes: 2, fps: 25 }), { fps: 25, most: 2500 });
});

test('GStreamer with rtmp2sink plays', async (t) => {
  const broadcast = await plays(t, 'gst', (to) => gstreamer(to));
  assert.match(broadcast.renditions[0].codecs, /^avc1\.[0-9a-f]{6},mp4a\.40\.2$/i);
});

test('ing_16_video_alone_plays', async (t) => {
  const broadcast = await plays(t, 'video', (to) => ffmpeg(to, { sound: false }), { sound: false });
  assert.match(broadcast.renditions[0].codecs, /^avc1\.[0-9a-f]{6}$/i);
});

test('half a second and ten seconds between key frames, 24 and 60 frames a second', async (t) => {
  await plays(t, 'short', (to) => ffmpeg(to, { gop: 0.5, fps: 24 }), { fps: 24 });
  await plays(t, 'long', (to) => ffmpeg(to, { gop: 10, fps: 60 }), { fps: 60 });
});

test('ing_16_sound_alone_plays', async () => {
  const publisher = new Child('ffmpeg', [
    '-hide_banner', '-nostdin', '-loglevel', 'warning', '-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000',
    '-c:a', 'aac', '-f', 'flv', server.rtmp('audio'),
  ]);
  const { page, close } = await open(browser);
  try {
    await until('sound is live', async () => (await server.broadcast('audio'))?.state === 'live', 15_000);
    await page.goto(server.url('/b/audio'));
    await until('time runs', () => page.evaluate(() => {
      const { video } = window.__probe;
      return video && video.currentTime > 0 && !video.paused && video.webkitAudioDecodedByteCount > 20_000;
    }), 15_000);
  } finally {
    await close();
    await publisher.stop();
  }
});

test('a codec that is not taken is refused with a reason in the encoder’s log', async () => {
  const publisher = new Child('ffmpeg', [
    '-hide_banner', '-nostdin', '-loglevel', 'verbose', '-re', '-f', 'lavfi', '-i', 'testsrc=size=320x180:rate=15',
    '-c:v', 'flv1', '-f', 'flv', server.rtmp('sorenson'),
  ]);
  const status = await publisher.ended;
  assert.notEqual(status, 0);
  assert.match(publisher.tail(200), /H\.?264|codec/i);
});
