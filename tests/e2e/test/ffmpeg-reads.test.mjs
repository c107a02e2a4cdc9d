// ffmpeg and ffprobe as players: the multivariant, the plain and the MPEG-TS playlists, with sound and picture together.
// In → Out: the pattern's flash and beep, which begin at the same instant of media time → their distance after decoding.
// Spec: docs/clock-strip.md, "Flash and beep"; RFC 8216, "Media Segments".
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { delay, run } from '../harness/processes.mjs';
import { quantile } from '../harness/probe.mjs';
import { ffmpeg, pattern } from '../harness/publishers.mjs';

let server;
let publishers;
let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nearcast-av-'));
  server = await Nearcast.start();
  publishers = [pattern(server.rtmp('av')), ffmpeg(server.rtmp('bframes'), { bframes: 2, fps: 25 })];
  await Promise.all([server.live('av'), server.live('bframes', 25_000)]);
  // Some complete segments for players that start behind.
  await delay(5000);
});
after(async () => {
  await Promise.all((publishers ?? []).map((publisher) => publisher.stop()));
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

async function probe(url) {
  const lines = await run('ffprobe', ['-v', 'error', '-of', 'json', '-show_streams', '-show_format', url]);
  return JSON.parse(lines.join('\n'));
}

/** Begins of the flashes and of the beeps, in seconds on the player's clock. */
async function flashesAndBeeps(url, name) {
  const [video, audio] = [join(folder, `${name}.v`), join(folder, `${name}.a`)];
  await run('ffmpeg', [
    '-hide_banner', '-nostdin', '-loglevel', 'error', '-t', '7', '-i', url, '-filter_complex',
    `[0:v]crop=iw/8:ih/8:iw*13/16:ih*13/16,signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=${video}[v];`
    + `[0:a]asetnsamples=n=240,astats=metadata=1:reset=1,ametadata=print:key=lavfi.astats.Overall.RMS_level:file=${audio}[a]`,
    '-map', '[v]', '-f', 'null', '-', '-map', '[a]', '-f', 'null', '-',
  ], { ms: 45_000 });
  const rises = (text, threshold) => {
    const values = [...text.matchAll(/pts_time:([-\d.]+)\s+\S+?=([-\w.]+)/g)].map((match) => [Number(match[1]), match[2] === '-inf' ? -200 : Number(match[2])]);
    return values.filter(([, value], i) => i > 0 && value > threshold && values[i - 1][1] <= threshold).map(([time]) => time);
  };
  return { flashes: rises(await readFile(video, 'utf8'), 120), beeps: rises(await readFile(audio, 'utf8'), -30) };
}

async function inSync(path, name) {
  const { flashes, beeps } = await flashesAndBeeps(server.url(path), name);
  const offsets = flashes.map((flash) => beeps.map((beep) => beep - flash).sort((a, b) => Math.abs(a) - Math.abs(b))[0]).filter((offset) => Math.abs(offset) < 0.5);
  assert.ok(offsets.length >= 3, `${flashes.length} flashes, ${beeps.length} beeps`);
  const middle = quantile(offsets, 0.5) * 1000;
  // On a machine that is too busy the painter leaves pictures out; if that hits the first of a flash, it seems late.
  const most = quantile(offsets.map(Math.abs), 0.7) * 1000;
  assert.ok(most <= 40, `sound is ${middle.toFixed(1)} ms after the picture; ${offsets.map((offset) => (offset * 1000).toFixed(0))}`);
  return middle;
}

const playlists = [['multivariant', 'index.m3u8'], ['plain', 'source/index.m3u8?announce=plain'], ['TS', 'ts.m3u8']];

for (const [name, path] of playlists) {
  test(`ffprobe reads the ${name} playlist: one H.264 and one AAC track`, async () => {
    const { streams } = await probe(server.url(`/live/av/${path}`));
    // The multivariant playlists have the sound twice: with the picture, and as a rendition of its own.
    const codecs = [...new Set(streams.map((stream) => stream.codec_name))].filter((codec) => ['h264', 'aac'].includes(codec)).sort();
    assert.deepEqual(codecs, ['aac', 'h264']);
    const video = streams.find((stream) => stream.codec_name === 'h264');
    assert.deepEqual([video.width, video.height], [640, 360]);
  });

  test(`ffmpeg plays the ${name} playlist with sound and picture within 40 ms`, async (t) => {
    t.diagnostic(`sound − picture: ${(await inSync(`/live/av/${path}`, name)).toFixed(1)} ms`);
  });

  test(`ffmpeg plays a source with B-frames from the ${name} playlist within 40 ms`, async (t) => {
    t.diagnostic(`sound − picture: ${(await inSync(`/live/bframes/${path}`, `b-${name}`)).toFixed(1)} ms`);
  });
}
