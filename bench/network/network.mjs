// The player on bad networks, beside stock hls.js on the same broadcast and the same trace.
// In → Out: traces of rate, delay, jitter and loss → for each player: latency, stalls, frozen time, mean bitrate, moves, and how
// soon the best picture and the latency are back; a table, and JSON in bench/results.
// Server and publisher run in one network namespace, Chromium in another, `impair` carries the packets between them. Needs root.
// Use: cargo xtask bench network [--only NAME,…] [--traces NAME,…] [--runs N] [--mode always|on-demand] [--save NAME] [--add yes]
// [--record DIR] [--seed N] [--dist web/dist, to show pages newer than those in the binary]
// A row is the median of its runs; `--add yes` puts the rows to those already saved under the name, so that a long bench is made in pieces.
// Spec: bench/README.md, "Network"; docs/clock-strip.md.

import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { launch, open } from '../../tests/e2e/harness/browser.mjs';
import { binary, freePort, root } from '../../tests/e2e/harness/nearcast.mjs';
import { collect, quantile, reset } from '../../tests/e2e/harness/probe.mjs';
import { Child, delay, until } from '../../tests/e2e/harness/processes.mjs';
import { ffmpegArguments } from '../../tests/e2e/harness/publishers.mjs';

const options = { only: null, traces: null, runs: '1', mode: 'always', save: null, add: null, record: null, seed: 1, dist: null };
for (let args = process.argv.slice(2); args.length > 0; ) {
  const name = args.shift().replace(/^--/, '');
  if (!(name in options)) throw new Error(`no option --${name}; there are: ${Object.keys(options).map((key) => `--${key}`).join(' ')}`);
  options[name] = args.shift();
}

/** The first step is long enough to bring everything up; figures count from its last `SETTLED_S` seconds on. */
const SETTLED_S = 8;
/** The link goes on for so long after the trace. */
const AFTER_S = 20;
const TRACES = {
  steps: { about: '10 → 1 → 10 Mb/s, RTT 40', trace: '26:rate=10M,delay=20ms,queue=200ms 25:rate=1M 30:rate=10M' },
  '4g': {
    about: '4G-like: 0.8–8 Mb/s, RTT 60, jitter 15, loss 0.3 % in bursts',
    trace: '24:rate=8M,delay=30ms,jitter=15ms,queue=300ms,loss=0.3%,burst=3 6:rate=3M 4:rate=1500k 5:rate=5M 3:rate=800k 6:rate=2M 5:rate=6M 4:rate=1200k 5:rate=4M 8:rate=8M',
  },
  rtt100: { about: '8 Mb/s, RTT 100, loss 0.1 %', trace: '24:rate=8M,delay=50ms,jitter=5ms,queue=200ms,loss=0.1% 40:rate=8M' },
};
const PLAYERS = {
  'nearcast, own player': (server) => `${server}/b/bench`,
  'nearcast, hls.js': (server) => stock(server, { lowLatencyMode: true }),
};

function stock(server, config) {
  const query = new URLSearchParams({ src: `${server}/live/bench/index.m3u8`, config: JSON.stringify(config) });
  return `http://pages.test/hls.html?${query}`;
}

/** A script that runs its arguments inside a namespace; file descriptors stay open, so Playwright's pipe works. */
async function wrapper(folder, namespace, command) {
  const path = join(folder, `in-${namespace}`);
  await writeFile(path, `#!/bin/sh\nexec ip netns exec ${namespace} ${command} "$@"\n`);
  await chmod(path, 0o755);
  return path;
}

class Network {
  static async start(trace, seed) {
    const tag = process.pid.toString(36);
    // What is collected at the end still comes over the link.
    const longer = trace.replace(/(\d+)(:\S+)$/, (_, seconds, rest) => `${Number(seconds) + AFTER_S}${rest}`);
    const network = Object.assign(new Network(), { near: `near${tag}`, far: `far${tag}`, steps: [] });
    network.child = new Child(join(dirname(binary), 'impair'), [
      '--near', network.near, '--far', network.far, '--trace', longer, '--seed', String(seed),
    ], { stdio: ['pipe', 'pipe', 'pipe'] });
    await network.child.line(/^ready/);
    // The clock of the trace starts with its first line; the others follow by their stated lengths.
    let at = Date.now();
    for (const step of trace.split(' ')) {
      network.steps.push(at);
      at += Number(step.split(':')[0]) * 1000;
    }
    network.end = at;
    return network;
  }

  async stop() {
    this.child.child.stdin.end();
    await this.child.ended;
  }
}

async function serve(network, folder) {
  const [http, rtmp] = [await freePort(), await freePort()];
  const env = { ...process.env, NEARCAST_TRANSCODE_MODE: options.mode };
  const inside = (args) => ['netns', 'exec', network.near, ...args];
  const server = new Child('ip', inside([binary, 'serve', '--dev', '--http', `0.0.0.0:${http}`, '--rtmp', `127.0.0.1:${rtmp}`, '--data', folder]), { env, cwd: folder });
  await server.line(/rtmp:\/\//);
  // Noise makes the encoder use the bitrate that it may have.
  const video = ['-vf', 'noise=alls=14:allf=t', '-b:v', '2500k', '-maxrate', '2500k', '-bufsize', '1250k'];
  const publisher = new Child('ip', inside(ffmpegArguments(`rtmp://127.0.0.1:${rtmp}/live/bench`, { size: '1280x720', video })));
  return { url: `http://10.77.0.1:${http}`, server, stop: async () => {
    await publisher.stop();
    await server.stop();
  } };
}

/** Pages of stock players come from this process, past the network: it is not theirs that is measured. */
async function givePages(page) {
  const folder = join(root, 'tests/e2e');
  await page.route('http://pages.test/**', async (route) => {
    const { pathname } = new URL(route.request().url());
    const path = pathname.startsWith('/node_modules/') ? join(folder, pathname) : join(folder, 'harness/pages', pathname);
    await route.fulfill({ body: await readFile(path), contentType: path.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8' });
  });
}

/** Our own pages from a folder instead of the binary. */
async function givePage(page, folder) {
  await page.route(/10\.77\.0\.1:\d+\/(assets\/|b\/)/, async (route) => {
    const { pathname } = new URL(route.request().url());
    const path = join(root, folder, pathname.startsWith('/assets/') ? pathname : 'watch.html');
    const type = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }[path.split('.').pop()] ?? 'text/html; charset=utf-8';
    await route.fulfill({ body: await readFile(path), contentType: type });
  });
}

/** Samples that the probe does not take: which size is shown when; what the player's policy saw, for recordings. */
function observe() {
  window.__shown = [];
  window.__seen = [];
  setInterval(() => {
    const video = window.__probe?.video;
    if (video?.videoHeight) window.__shown.push([Date.now(), Math.min(video.videoWidth, video.videoHeight), video.currentTime]);
  }, 100);
  const search = setInterval(() => {
    const adaptation = window.nearcast?.element.player?.adaptation;
    if (!adaptation) return;
    clearInterval(search);
    const tick = adaptation.tick.bind(adaptation);
    adaptation.tick = (...facts) => {
      tick(...facts);
      if (adaptation.seen) window.__seen.push(adaptation.seen);
    };
  }, 10);
}

async function measure(name, url, traceName, run) {
  const { trace } = TRACES[traceName];
  const folder = await mkdtemp(join(tmpdir(), 'nearcast-network-'));
  const network = await Network.start(trace, Number(options.seed) + run);
  let up;
  let browser;
  try {
    up = await serve(network, folder);
    process.env.CHROMIUM = await wrapper(folder, network.far, '/usr/bin/chromium');
    browser = await launch({ args: [
      '--autoplay-policy=no-user-gesture-required',
      // Pages given by this process count as another network's.
      '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests',
    ] });
    const { page, problems } = await open(browser, { viewport: { width: 1280, height: 720 } });
    await givePages(page);
    if (options.dist) await givePage(page, options.dist);
    await page.addInitScript(observe);
    await delay(3000);
    await page.goto(url(up.url));
    await until('a picture is shown', () => page.evaluate(() => window.__probe.pictures.length > 5), 20_000);
    const begin = network.steps[1] - SETTLED_S * 1000;
    if (Date.now() > begin) throw new Error('it took too long to come up for this trace');
    await delay(begin - Date.now());
    await reset(page);
    await page.evaluate(() => { window.__shown.length = 0; });
    await delay(network.end - 5000 - Date.now());
    const rates = await bitrates(network, up.url);
    await delay(network.end - Date.now());
    const sample = await collect(page);
    const { shown, seen, stats, origin, events } = await page.evaluate(() => ({
      shown: window.__shown, seen: window.__seen, stats: window.nearcast?.stats() ?? null, origin: performance.timeOrigin, events: window.__events ?? [],
    }));
    if (options.record && seen.length > 0) await record(traceName, seen, network.steps.map((at) => at - origin));
    // Told of every page that comes over plain HTTP from another host.
    const wrong = problems.filter((problem) => !problem.includes('Cross-Origin-Opener-Policy'));
    return { player: name, trace: traceName, ...figures(sample, shown, network, origin, rates), jumps: stats?.jumps, resyncs: stats?.resyncs, errors: wrong.length + events.filter((event) => event.fatal).length, problems: wrong.slice(0, 5) };
  } finally {
    await browser?.close();
    await up?.stop();
    await network.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Average bits per second by the shorter side, from the multivariant playlist. */
async function bitrates(network, url) {
  const fetching = new Child('ip', ['netns', 'exec', network.near, process.execPath, '-e', `fetch('${url}/live/bench/index.m3u8').then((a) => a.text()).then(console.log)`]);
    await fetching.ended;
  // The last lines may still be in the pipe.
  await delay(200);
  const rates = new Map();
  for (const line of fetching.lines) {
    const size = /RESOLUTION=(\d+)x(\d+)/.exec(line);
    if (size) rates.set(Math.min(Number(size[1]), Number(size[2])), Number(/AVERAGE-BANDWIDTH=(\d+)/.exec(line)[1]));
  }
  return rates;
}

/** A gap between pictures that people see as a stop. */
const STALL_MS = 200;

function figures(sample, shown, network, origin, rates) {
  const pictures = sample.pictures;
  const delays = pictures.map((picture) => picture.delay);
  const gaps = pictures.slice(1).map((picture, i) => ({ at: origin + pictures[i].at, ms: picture.at - pictures[i].at })).filter((gap) => gap.ms > STALL_MS);
  const heights = shown.map(([, height]) => height);
  const top = Math.max(...rates.keys());
  const back = network.steps.at(-1);
  const worst = network.steps.length > 2;
  // Back for good: from here to the end of the trace nothing else is shown.
  const lastLower = shown.filter(([at, height]) => at > back && height < top).at(-1)?.[0] ?? back;
  const calm = quantile(pictures.filter((picture) => origin + picture.at < network.steps[1]).map((picture) => picture.delay), 0.5);
  const recovered = (from, until_) => {
    const late = pictures.filter((picture) => origin + picture.at > from && origin + picture.at < until_ && picture.delay > calm + 200);
    const end = Math.min(until_, network.end);
    if (late.length > 0 && origin + late.at(-1).at > end - 1500) return Infinity;
    return late.length === 0 ? 0 : (origin + late.at(-1).at - from) / 1000;
  };
  return {
    p50: quantile(delays, 0.5), p95: quantile(delays, 0.95), p99: quantile(delays, 0.99), calm,
    stalls: gaps.length, longest: Math.max(0, ...gaps.map((gap) => gap.ms)), frozen: gaps.reduce((sum, gap) => sum + gap.ms, 0),
    stallsAt: gaps.map((gap) => `${((gap.at - network.steps[1]) / 1000).toFixed(1)}:${gap.ms.toFixed(0)}`),
    waits: sample.waits, mean: heights.reduce((sum, height) => sum + (rates.get(height) ?? 0), 0) / Math.max(1, heights.length) / 1000,
    switches: heights.filter((height, i) => i > 0 && height !== heights[i - 1]).length,
    course: shown.filter(([, height], i) => i > 0 && height !== heights[i - 1]).map(([at, height]) => `${((at - network.steps[1]) / 1000).toFixed(1)}:${height}`),
    // Without a way down there is no way back.
    ...(worst && {
      top_s: heights.at(-1) === top ? (lastLower - back) / 1000 : Infinity,
      down_s: recovered(network.steps[1], network.steps[2]),
      back_s: recovered(back, Infinity),
    }),
  };
}

/** Observations of the policy, for `web/player/test/traces`. */
async function record(traceName, seen, changes) {
  const start = seen[0].nowMs;
  const round = (value) => Math.round(value * 10) / 10;
  const lines = seen.map((one) => JSON.stringify([
    round(one.nowMs - start), one.playing, one.receivedBytes - seen[0].receivedBytes, round(one.bufferS * 1000), round(one.targetS * 1000),
    one.standing ? 1 : 0, round(one.segment.phaseS * 1000), one.chunks.map((chunk) => [round(chunk.arrivalMs - start), round(chunk.endMs), chunk.bytes, chunk.keyframe ? 1 : 0]),
    one.probe && [one.probe.state, Math.round(one.probe.bps)], one.hint && [one.hint.deliveryBps, one.hint.limited ? 1 : 0, one.hint.unsentBytes],
  ]));
  await mkdir(options.record, { recursive: true });
  const head = { about: `${TRACES[traceName].about}; cargo xtask bench network --record`, rungs: seen.at(-1).rungs, changesMs: changes.map((at) => Math.round(at - start)) };
  await writeFile(join(options.record, `network_${traceName}.json`), `{"head":${JSON.stringify(head)},"seen":[\n${lines.join(',\n')}\n]}\n`);
}

const COLUMNS = [
  ['trace', 'trace'], ['player', 'player'], ['runs', 'runs'], ['p50', 'p50'], ['p95', 'p95'], ['p99', 'p99'], ['stallsOf', 'stalls'], ['longest', 'longest'], ['frozen', 'frozen'], ['waits', 'waits'],
  ['mean', 'kb/s'], ['switches', 'switches'], ['top_s', 'best again, s'], ['down_s', 'latency after ↓, s'], ['back_s', 'after ↑, s'], ['errors', 'errors'],
];

function table(results) {
  const cell = (key, value) => (value === null || value === undefined ? '–' : typeof value !== 'number' ? value : value === Infinity ? 'never' : key.endsWith('_s') ? value.toFixed(1) : String(Math.round(value)));
  const rows = [COLUMNS.map(([, title]) => title), COLUMNS.map(() => '---'), ...results.map((result) => COLUMNS.map(([key]) => cell(key, result[key])))];
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Medians of several runs; stalls of each, and the longest of all. */
function summary(runs) {
  const row = { player: runs[0].player, trace: runs[0].trace, runs: runs.length };
  for (const key of ['p50', 'p95', 'p99', 'frozen', 'waits', 'mean', 'switches', 'top_s', 'down_s', 'back_s']) {
    const values = runs.map((run) => run[key]);
    // A trace without a way back has no such figure.
    row[key] = values.includes(undefined) ? null : quantile(values.map((value) => value ?? Infinity), 0.5);
  }
  row.stallsOf = runs.map((run) => run.stalls).join(' ');
  row.longest = Math.max(...runs.map((run) => run.longest));
  row.errors = runs.reduce((sum, run) => sum + run.errors, 0);
  return { ...row, each: runs };
}

const folder = join(root, 'bench/results');
await mkdir(folder, { recursive: true });
const file = join(folder, `${options.save ?? 'network-latest'}.json`);
const before = options.add === 'yes' ? JSON.parse(await readFile(file, 'utf8').catch(() => '{"results":[]}')).results : [];
const results = [];
for (const traceName of options.traces?.split(',') ?? Object.keys(TRACES)) {
  if (!TRACES[traceName]) throw new Error(`no trace ${traceName}; there are: ${Object.keys(TRACES).join(' ')}`);
  for (const [name, url] of Object.entries(PLAYERS)) {
    if (options.only && !options.only.split(',').some((part) => name.includes(part))) continue;
    const runs = [];
    for (let run = 0; run < Number(options.runs); run += 1) {
      console.log(`… ${TRACES[traceName].about}: ${name}`);
      try {
        const result = await measure(name, url, traceName, run);
        runs.push(result);
        console.log(`  ${JSON.stringify({ course: result.course, stallsAt: result.stallsAt, calm: Math.round(result.calm), jumps: result.jumps, resyncs: result.resyncs, problems: result.problems })}`);
      } catch (error) {
        console.error(`${name}: ${error.stack}`);
        process.exitCode = 1;
      }
    }
    // Rows that were made again, in pieces, count with what there was.
    const old = before.find((row) => row.player === name && row.trace === traceName)?.each ?? [];
    if (old.length + runs.length > 0) results.push(summary([...old, ...runs]));
  }
}
const others = before.filter((row) => !results.some((one) => one.player === row.player && one.trace === row.trace));
const rows = [...others.map((row) => summary(row.each)), ...results];
console.log(`\nThe player on bad networks. 1280x720 at 30/s, ${options.mode === 'always' ? 'all renditions running' : 'renditions on demand'}; ms unless said otherwise; ${cpus().length} × ${cpus()[0].model}, load ${loadavg()[0].toFixed(1)}.\n`);
console.log(table(rows));
await writeFile(file, `${JSON.stringify({ date: new Date().toISOString(), options, results: rows }, null, 1)}\n`);
console.log(`\nsaved ${file.slice(root.length + 1)}`);
process.exit();
