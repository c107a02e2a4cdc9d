// Sources that players cannot take, and machines that cannot keep up, as a viewer without a browser meets them.
// In → Out: publishers with B-frames or ten bits, an encoder that two rungs are too much for → playlists, metrics, what the API says.
// Spec: issue "Every viewer's own quality", 1 and 2; cases PKG-03, PKG-04, ING-09.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { until } from '../harness/processes.mjs';
import { ffmpeg } from '../harness/publishers.mjs';

const LONG = 60_000;
const SIZE = { size: '640x360' };
let folder;

before(async () => { folder = await mkdtemp(join(tmpdir(), 'nearcast-repair-')); });
after(async () => rm(folder, { recursive: true, force: true }));

/** A server with these lines in its `[transcode]`; stopped, with its publishers, when the test ends. */
async function serve(t, transcode) {
  const config = join(folder, `${t.name.length}.toml`);
  await writeFile(config, `[transcode]\n${transcode}\n`);
  const server = await Nearcast.start({ args: ['--config', config] });
  t.after(() => server.stop());
  const get = (path) => fetch(server.url(path));
  const text = async (path) => (await get(path)).text();
  return {
    server,
    get,
    text,
    publish: (options) => {
      const publisher = ffmpeg(server.rtmp('x'), { ...SIZE, ...options });
      t.after(() => publisher.stop());
      return publisher;
    },
    codes: async () => (await server.broadcast('x')).advice.map(({ code }) => code),
    rendition: async (name) => (await server.broadcast('x'))?.renditions.find((one) => one.name === name),
    variants: async () => [...(await text('/live/x/index.m3u8')).matchAll(/^(\w+)\/index\.m3u8$/gm)].map(([, name]) => name),
  };
}

test('a source in ten bits with B-frames is repaired, and browsers are offered it', { timeout: 120_000 }, async (t) => {
  const { server, publish, codes, rendition, text } = await serve(t, 'source = "repair"\nmode = "never"');
  publish({ bframes: 2, gop: 8, video: ['-pix_fmt', 'yuv420p10le'] });
  await server.live('x', LONG);
  const source = await until('the source is measured', async () => {
    const now = await rendition('source');
    return now?.bitrate_bps > 0 ? now : null;
  }, LONG);
  assert.deepEqual([source.state, source.width, source.height], ['running', 640, 360]);
  assert.match(source.codecs, /^avc1\.6400/);
  assert.match(await text('/live/x/index.m3u8'), /RESOLUTION=640x360.*\nsource\/index\.m3u8/);
  const [, length] = await until('a whole segment', async () => /#EXTINF:([\d.]+)/.exec(await text('/live/x/source/index.m3u8')), LONG);
  assert.ok(Number(length) < 2.5, `segments of ${length} s from key frames eight seconds apart`);
  const said = await codes();
  assert.ok(['b_frames', 'profile_not_for_browsers', 'repaired'].every((code) => said.includes(code)), said.join());

  // Its encoder is all that stands between this source and the viewers.
  const newest = async () => Number([...(await text('/live/x/source/index.m3u8')).matchAll(/^\d+\.(\d+)\.m4s$/gm)].at(-1)?.[1]);
  const [victim] = server.encoders();
  const reached = await newest();
  process.kill(victim, 'SIGKILL');
  await until('another encoder takes over', () => server.encoders().some((pid) => pid !== victim), LONG);
  await until('segments go on', async () => (await newest()) > reached + 2, LONG);
  assert.ok((await codes()).includes('repaired'));
  assert.equal((await server.broadcast('x')).state, 'live');
});

test('ing-09 ten bits without repair: smaller renditions only, and why', { timeout: 120_000 }, async (t) => {
  const { server, publish, codes, rendition, variants } = await serve(t, '');
  publish({ video: ['-pix_fmt', 'yuv420p10le'] });
  await server.live('x', LONG);
  await until('a rung is offered', async () => (await variants()).includes('240p'), LONG);
  assert.deepEqual(await variants(), ['240p', 'audio']);
  const { state, cause } = await rendition('source');
  assert.deepEqual([state, cause], ['withheld', 'profile']);
  assert.ok((await codes()).includes('profile_not_for_browsers'));
});

test('pkg-04 too slow an encoder loses its top rung first, until the publisher comes again', { timeout: 150_000 }, async (t) => {
  // Reads at half the pace while it has two rungs to make: what a machine does that is too small for both.
  const slow = join(folder, 'ffmpeg');
  const real = execFileSync('sh', ['-c', 'command -v ffmpeg'], { encoding: 'utf8' }).trim();
  await writeFile(slow, `#!/bin/sh\ncase "$*" in *pipe:4*) exec ${real} -readrate 0.5 "$@";; *) exec ${real} "$@";; esac\n`, { mode: 0o755 });
  const { server, publish, rendition, variants, text } = await serve(t, `ffmpeg = "${slow}"\nmode = "always"\nsource = "pass"`);
  const first = publish({ size: '854x482' });
  await server.live('x', LONG);
  await until('both rungs are listed', async () => (await variants()).join() === 'source,480p,240p,audio', LONG);
  await until('the top rung leaves', async () => !(await variants()).includes('480p'), LONG);
  assert.deepEqual((await variants()).filter((name) => name !== '240p'), ['source', 'audio']);
  const lost = await rendition('480p');
  assert.deepEqual([lost.state, lost.cause], ['lost', 'slow']);
  await until('the other goes on', async () => (await rendition('240p')).state === 'running', LONG);
  assert.ok((await variants()).includes('240p'));
  assert.match(await text('/metrics'), /^nearcast_transcode_lost_rungs_total\{[^}]*(480p[^}]*slow|slow[^}]*480p)[^}]*\} 1$/m);
  await first.stop();
  publish({ size: '854x482' });
  await until('it is tried again', async () => (await variants()).includes('480p'), LONG);
});
