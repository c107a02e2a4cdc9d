// Glass to glass, from a clock painted into the raw picture to the same clock read from the picture that a browser shows.
// In → Out: seconds → for our player, stock hls.js on our LL-HLS and nginx-rtmp's HLS, one after the other on the same machine:
// delay p50/p95/p99/max, stalls, frozen time, age of the picture at each refresh, join times; a table, and JSON in bench/results.
// Use: cargo xtask bench glass-to-glass [--seconds 30] [--joins 5] [--only NAME,…] [--varnish] [--save NAME] [--size WxH]
// [--fps N] [--publisher nearcast|ffmpeg]
// Nothing is subtracted: encoder, RTMP, server, HTTP, player, decoder and buffers are inside; camera and panel are not.
// Spec: bench/README.md, "Glass to glass"; docs/clock-strip.md.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { launch, open, servePages } from '../../tests/e2e/harness/browser.mjs';
import { Nearcast, binary, root } from '../../tests/e2e/harness/nearcast.mjs';
import { NginxRtmp } from '../../tests/e2e/harness/peer.mjs';
import { collect, quantile, summarize } from '../../tests/e2e/harness/probe.mjs';
import { delay, run } from '../../tests/e2e/harness/processes.mjs';
import { ffmpeg, pattern } from '../../tests/e2e/harness/publishers.mjs';
import { Varnish } from '../../tests/e2e/harness/varnish.mjs';
import { playing, watch } from '../../tests/e2e/harness/watching.mjs';

const options = { seconds: 30, joins: 5, settle: 6, fps: 30, size: '640x360', publisher: 'nearcast', only: null, save: null, varnish: false };
for (let args = process.argv.slice(2); args.length > 0; ) {
  const name = args.shift().replace(/^--/, '');
  if (!(name in options)) throw new Error(`no option --${name}; there are: ${Object.keys(options).map((key) => `--${key}`).join(' ')}`);
  options[name] = typeof options[name] === 'boolean' ? true : typeof options[name] === 'number' ? Number(args.shift()) : args.shift();
}

/** Each system: how to bring it up, and the page that plays it. `gop` is the best that the system's users can choose. */
const SYSTEMS = {
  'nearcast, own player': { gop: 2, up: ours, page: (up) => up.server.url('/b/bench') },
  'nearcast, hls.js': {
    gop: 2, up: ours, page: (up, pages) => pages.player('hls', up.server.url('/live/bench/index.m3u8'), { lowLatencyMode: true }),
  },
  'nearcast, own player, Varnish': { gop: 2, up: oursThroughVarnish, page: (up) => up.cache.url('/b/bench'), when: () => options.varnish },
  'nginx-rtmp HLS, hls.js': {
    gop: 1, up: peer, page: (up, pages) => pages.player('hls', up.peer.playlist('bench'), {}),
  },
  'nginx-rtmp HLS, hls.js tuned': {
    gop: 1, up: peer, page: (up, pages) => pages.player('hls', up.peer.playlist('bench'), { liveSyncDurationCount: 1, liveMaxLatencyDurationCount: 3 }),
  },
};

/** The same encoder with the same flags for every system. */
function publish(to, gop) {
  const start = { nearcast: pattern, ffmpeg }[options.publisher];
  return start(to, { gop, fps: options.fps, size: options.size });
}

async function ours(gop) {
  const server = await Nearcast.start();
  const publisher = publish(server.rtmp('bench'), gop);
  const down = async () => {
    await publisher.stop();
    await server.stop();
  };
  await server.live('bench').catch(async (error) => {
    await down();
    throw error;
  });
  return { server, down };
}

async function oursThroughVarnish(gop) {
  const up = await ours(gop);
  const cache = await Varnish.start(up.server.httpPort);
  return {
    ...up,
    cache,
    down: async () => {
      await cache.stop();
      await up.down();
    },
  };
}

async function peer(gop) {
  const nginx = await NginxRtmp.start({ fragment: '1s' });
  const publisher = publish(nginx.rtmp('bench'), gop);
  await nginx.live('bench');
  return {
    peer: nginx,
    down: async () => {
      await publisher.stop();
      await nginx.stop();
    },
  };
}

/** Opens the page anew, at no particular phase of the GOP, until the first picture is shown. */
async function joins(browser, url) {
  const found = [];
  for (let i = 0; i < options.joins; i += 1) {
    await delay(500 + 370 * i);
    const { page, close } = await open(browser);
    await page.goto(url);
    await playing(page, { pictures: 3, ms: 30_000 });
    const { first, playerStart } = await collect(page);
    found.push({ page: first.at, player: playerStart === null ? null : first.at - playerStart });
    await close();
  }
  return found;
}

async function measure(name, system, pages) {
  const up = await system.up(system.gop);
  const browser = await launch();
  try {
    const url = system.page(up, pages);
    await delay(4000);
    const joined = await joins(browser, url);
    const { page, problems } = await open(browser);
    await page.goto(url);
    await playing(page, { pictures: 10, ms: 30_000 });
    await delay(options.settle * 1000);
    const sample = await watch(page, options.seconds * 1000);
    const figures = summarize(sample, options.fps);
    const events = await page.evaluate(() => window.__events ?? []);
    return {
      system: name, gop: system.gop, load: loadavg()[0], ...figures, errors: events.length + problems.length + sample.errors.length,
      join_page: round(quantile(joined.map((join) => join.page), 0.5)),
      join_player: round(quantile(joined.map((join) => join.player).filter((value) => value !== null), 0.5)),
      joins: joined, problems: [...problems, ...sample.errors, ...events],
    };
  } finally {
    await browser.close();
    await up.down();
  }
}

const round = (value) => (value === null ? null : Math.round(value));

const COLUMNS = [
  ['system', 'system'], ['p50', 'p50'], ['p95', 'p95'], ['p99', 'p99'], ['max', 'max'], ['age_p50', 'age p50'], ['age_p99', 'age p99'],
  ['stalls', 'stalls'], ['frozen', 'frozen'], ['waits', 'waits'], ['seeks', 'seeks'], ['dropped', 'dropped'], ['pictures', 'pictures'],
  ['join_page', 'page→1st'], ['join_player', 'player→1st'], ['errors', 'errors'],
];

function table(results) {
  const cells = results.map((result) => COLUMNS.map(([key]) => {
    const value = result[key];
    return value === null || value === undefined ? '–' : typeof value === 'number' ? String(Math.round(value)) : value;
  }));
  const rows = [COLUMNS.map(([, title]) => title), COLUMNS.map(() => '---'), ...cells];
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
}

async function machine() {
  const first = async (command, args) => (await run(command, args).catch((error) => [String(error)]))[0]?.trim();
  return {
    date: new Date().toISOString(),
    commit: await first('git', ['-C', root, 'rev-parse', '--short', 'HEAD']),
    cpu: cpus()[0].model,
    cores: cpus().length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: (await readFile('/proc/version', 'utf8')).split(' ')[2],
    chromium: await first('/usr/bin/chromium', ['--version']),
    ffmpeg: await first('ffmpeg', ['-version']),
    node: process.version,
    binary: binary.includes('release') ? 'release' : 'debug',
    options,
  };
}

const pages = await servePages();
const results = [];
const wanted = options.only?.split(',');
for (const [name, system] of Object.entries(SYSTEMS)) {
  if (wanted ? !wanted.some((part) => name.includes(part)) : system.when && !system.when()) continue;
  console.log(`… ${name}: ${options.joins} joins, then ${options.seconds} s`);
  try {
    results.push(await measure(name, system, pages));
  } catch (error) {
    console.error(`${name}: ${error.stack}`);
    results.push({ system: name, failed: error.message.split('\n')[0] });
    process.exitCode = 1;
  }
}
await pages.close();

const about = await machine();
console.log(`\nGlass to glass, ms. ${options.size} at ${options.fps}/s with AAC, headless Chromium, all on this machine (${about.cores} × ${about.cpu}, load ${loadavg()[0].toFixed(1)}).`);
console.log('Painted into the raw picture → expected display of the same picture; nothing subtracted; camera and panel not included.\n');
console.log(table(results));
for (const { system, problems, failed } of results) {
  if (failed) console.log(`\n${system}: failed: ${failed}`);
  else if (problems.length) console.log(`\n${system}: ${JSON.stringify(problems.slice(0, 5))}`);
}
const folder = join(root, 'bench/results');
await mkdir(folder, { recursive: true });
const file = join(folder, `${options.save ?? 'glass-to-glass-latest'}.json`);
await writeFile(file, `${JSON.stringify({ machine: about, results }, null, 1)}\n`);
console.log(`\nsaved ${file.slice(root.length + 1)}`);
process.exit();
