// Takes screenshots of every page and state on a phone and on a desktop, against the stand-in server.
//
// In → Out: a running `dev_origin` → PNG files in OUT, and one line for each state that did not come.
// Run by `node build.mjs run player/test/dev_screens.ts`; needs playwright-core and Debian's Chromium.
// Spec: none.

import { mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';

const base = process.env['BASE'] ?? 'http://127.0.0.1:8090';
const out = process.env['OUT'] ?? '/tmp/screens';
const playwright = createRequire(`${process.env['PLAYWRIGHT_FROM'] ?? process.cwd()}/`)('playwright-core');
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 800 } };
mkdirSync(out, { recursive: true });

const browser = await playwright.chromium.launch({
  executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium', headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--mute-audio'],
});

async function visit(name: keyof typeof SIZES, act: (page: any, shot: (label: string) => Promise<void>) => Promise<void>): Promise<void> {
  const context = await browser.newContext({ viewport: SIZES[name], hasTouch: name === 'phone', isMobile: name === 'phone', deviceScaleFactor: 1 });
  const page = await context.newPage();
  page.on('console', (m: any) => ['error', 'warning'].includes(m.type()) && console.error(`${name}:`, m.text()));
  page.on('pageerror', (e: Error) => console.error(`${name} threw:`, e.message));
  await act(page, async (label) => void (await page.screenshot({ path: `${out}/${label}-${name}.png` })));
  await context.close();
}

const status = (page: any, wanted: string, ms = 12_000): Promise<void> =>
  page.waitForFunction((w: string) => document.querySelector('nearcast-player')?.getAttribute('status') === w, wanted, { timeout: ms })
    .catch(() => console.error(`never came: ${wanted}`));
const dev = (what: string): Promise<unknown> => fetch(`${base}/dev/${what}`);

for (const size of ['phone', 'desk'] as const) {
  await dev('start');
  await visit(size, async (page, shot) => {
    await page.goto(`${base}/`);
    await page.waitForSelector('.card');
    await shot('home');
    await page.goto(`${base}/b/x`);
    await status(page, 'playing');
    await page.waitForTimeout(1500);
    await shot('watch-start');
    await page.keyboard.press('l');
    await page.waitForTimeout(600);
    await shot('watch-latency');
    await page.waitForTimeout(4000);
    await shot('watch-idle');
    await page.goto(`${base}/b/x/embed`);
    await status(page, 'playing');
    await page.waitForTimeout(800);
    await shot('embed');
    await page.goto(`${base}/b/nothing-here`);
    await status(page, 'offline');
    await page.waitForTimeout(1200);
    await shot('unknown');
    await page.goto(`${base}/b/x`);
    await status(page, 'playing');
    await page.waitForTimeout(500);
    await dev('stop');
    await status(page, 'away');
    await page.waitForTimeout(2600);
    await shot('away');
    const before = Date.now();
    await dev('start');
    await status(page, 'playing');
    console.log(`${size}: playing again ${Date.now() - before} ms after the publisher came back`);
    await page.waitForTimeout(1000);
    await shot('again');
    console.log(JSON.stringify(await page.evaluate(() => window.nearcast?.stats())));
    await page.keyboard.press(' ');
    await page.waitForTimeout(300);
    await shot('paused');
    await page.keyboard.press(' ');
    await status(page, 'playing');
    await dev('end');
    await status(page, 'ended');
    await page.waitForTimeout(2600);
    await shot('ended');
    await page.goto(`${base}/`);
    await page.waitForTimeout(600);
    await shot('home-empty');
  });
}
await browser.close();
