// Watches a watch page in headless Chromium and reads the painted clock from the shown picture.
//
// In → Out: URL, seconds → one JSON line: glass-to-glass percentiles, age at each refresh, stalls, the player's own figures.
// Run by `node build.mjs run player/test/dev_watch.ts`; needs playwright-core where Node finds it and Debian's Chromium.
// Spec: docs/clock-strip.md; HTMLVideoElement.requestVideoFrameCallback.

import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { loadavg } from 'node:os';

const url = process.env['URL_'] ?? 'http://127.0.0.1:8090/b/x';
const seconds = Number(process.env['SECONDS_'] ?? 20);
const playwright = createRequire(`${process.env['PLAYWRIGHT_FROM'] ?? process.cwd()}/`)('playwright-core');

const ARGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required', '--mute-audio',
];

/** Runs in the page. Samples every second frame; 1200 samples a minute are plenty. */
function measure(): void {
  const element = document.querySelector('nearcast-player') as HTMLElement & { video: HTMLVideoElement };
  const video = element.video;
  const found = { shown: [] as number[], error: [] as number[], unreadable: 0, ages: [] as number[], frozenMs: 0, trace: [] as unknown[] };
  (window as unknown as { found: typeof found }).found = found;
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d', { willReadFrequently: true, alpha: false }) as CanvasRenderingContext2D;
  let lastStamp = 0;
  let lastChange = performance.now();
  const crc8 = (value: number): number => {
    let crc = 0xff;
    for (let shift = 24; shift >= 0; shift -= 8) {
      crc ^= (value >>> shift) & 0xff;
      for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : (crc << 1) & 0xff;
    }
    return crc;
  };
  const read = (): number | null => {
    const width = video.videoWidth;
    const rows = Math.round((width / 40) * 2);
    canvas.width = 80;
    canvas.height = 4;
    context.drawImage(video, 0, 0, width, rows, 0, 0, 80, 4);
    const { data } = context.getImageData(0, 0, 80, 4);
    const luma = (x: number, y: number): number => data[(y * 80 + x) * 4 + 1] ?? 0;
    let value = 0;
    let check = 0;
    for (let i = 0; i < 40; i += 1) {
      const a = luma(i * 2, 0) + luma(i * 2 + 1, 1);
      const b = luma(i * 2, 2) + luma(i * 2 + 1, 3);
      if (Math.abs(a - b) < 60) return null;
      if (i < 32) value = value * 2 + (a > b ? 1 : 0);
      else check = check * 2 + (a > b ? 1 : 0);
    }
    return crc8(value >>> 0) === check ? value >>> 0 : null;
  };
  const frame = (_now: number, meta: VideoFrameCallbackMetadata): void => {
    const stamp = read();
    if (stamp === null) found.unreadable += 1;
    else {
      lastStamp = stamp;
      lastChange = performance.now();
      const shownAt = performance.timeOrigin + meta.expectedDisplayTime;
      const delay = (shownAt % 2 ** 32) - stamp;
      found.shown.push(delay);
      const claimed = window.nearcast?.stats()?.latencyMs;
      if (claimed !== null && claimed !== undefined) found.error.push(claimed - ((performance.timeOrigin + performance.now()) % 2 ** 32 - stamp));
    }
    video.requestVideoFrameCallback(frame);
  };
  video.requestVideoFrameCallback(frame);
  const refresh = (): void => {
    if (lastStamp > 0) {
      const now = performance.now();
      found.ages.push((performance.timeOrigin + now) % 2 ** 32 - lastStamp);
      if (now - lastChange > 150) found.frozenMs += 16.7;
    }
    requestAnimationFrame(refresh);
  };
  requestAnimationFrame(refresh);
}

/** Runs in the page. Keeps what the live edge is told: a trace for the tests of the latency policy. */
function record(): void {
  const arrivals: number[][] = [];
  (window as unknown as { arrivals: number[][] }).arrivals = arrivals;
  type Inside = { playback: { edge: { observe(arrivalMs: number, endS: number): void } } };
  const { edge } = (window.nearcast?.element.player as unknown as Inside).playback;
  const observe = edge.observe.bind(edge);
  let first: [number, number] | null = null;
  edge.observe = (arrivalMs, endS): void => {
    first ??= [arrivalMs, endS];
    arrivals.push([Math.round((arrivalMs - first[0]) * 10) / 10, Math.round((endS - first[1]) * 10_000) / 10]);
    observe(arrivalMs, endS);
  };
}

function percentiles(values: number[]): Record<string, number> {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN) * 10) / 10;
  return { n: sorted.length, min: at(0), p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}

const browser = await playwright.chromium.launch({ executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', args: ARGS, headless: true });
try {
  const [width, height] = (process.env['VIEWPORT'] ?? '1280x800').split('x').map(Number);
  const page = await browser.newPage({ viewport: { width, height } });
  page.on('console', (message: { type(): string; text(): string }) => {
    if (message.type() === 'error' || process.env['VERBOSE']) console.error('page:', message.text());
  });
  page.on('pageerror', (error: Error) => console.error('page threw:', error.message));
  await page.goto(url);
  await page.waitForFunction(() => window.nearcast?.stats()?.join.firstFrameMs !== null, null, { timeout: 15_000 });
  const open = await page.evaluate(() => ({ pageOpenToFrameMs: window.nearcast?.pageOpenToFrameMs(), join: window.nearcast?.stats()?.join }));
  console.log(JSON.stringify(open));
  // Tuning: POLICY='{"floorWithAudioS":0.2}' replaces values of the running controller.
  await page.evaluate((policy: object) => {
    Object.assign((window.nearcast?.element.player as unknown as { policy: object }).policy, policy);
  }, JSON.parse(process.env['POLICY'] ?? '{}'));
  await page.waitForTimeout(Number(process.env['WARM_MS'] ?? 3000));
  if (process.env['RECORD']) await page.evaluate(record);
  await page.evaluate(measure);
  const every = Number(process.env['EVERY_'] ?? 0);
  for (let at = 0; at < seconds; at += every || seconds) {
    await page.waitForTimeout((every || seconds) * 1000);
    if (every) {
      const s = await page.evaluate(() => window.nearcast?.stats());
      console.error(at, s.status, `lat ${s.latencyMs?.toFixed(0)} dist ${s.distanceMs?.toFixed(0)} target ${s.targetMs.toFixed(0)} buf ${s.bufferMs.toFixed(0)} rate ${s.rate} late ${s.shortfall.p50Ms.toFixed(0)}/${s.shortfall.p99Ms.toFixed(0)} stalls ${s.stalls} jumps ${s.jumps}`);
    }
  }
  const found = await page.evaluate(() => (window as unknown as { found: { shown: number[]; error: number[]; ages: number[]; unreadable: number; frozenMs: number } }).found);
  const stats = await page.evaluate(() => window.nearcast?.stats());
  if (process.env['RECORD']) {
    const arrivals = await page.evaluate(() => (window as unknown as { arrivals: number[][] }).arrivals);
    const about = { what: process.env['ABOUT'] ?? '', recorded: new Date().toISOString(), load: loadavg()[0], columns: ['arrivalMs', 'mediaEndMs'] };
    writeFileSync(process.env['RECORD'], `${JSON.stringify({ about, arrivals })}\n`);
  }
  if (process.env['BRIEF']) {
    console.log(`shown ${JSON.stringify(percentiles(found.shown))} age95 ${percentiles(found.ages)['p95']} err ${JSON.stringify(percentiles(found.error))} frozen ${Math.round(found.frozenMs)} stalls ${stats?.stalls} jumps ${stats?.jumps} late ${stats?.shortfall.p50Ms.toFixed(0)}/${stats?.shortfall.p99Ms.toFixed(0)} target ${stats?.targetMs.toFixed(0)} dropped ${stats?.droppedFrames}/${stats?.frames}`);
  } else console.log(JSON.stringify({
    shown: percentiles(found.shown), age: percentiles(found.ages), latencyError: percentiles(found.error),
    unreadable: found.unreadable, frozenMs: Math.round(found.frozenMs), stats,
  }, null, 1));
} finally {
  await browser.close();
}
