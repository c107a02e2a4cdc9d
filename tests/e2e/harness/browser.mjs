// Debian's Chromium without a screen, and a small web server for pages of stock players.
// In → Out: a page address → a Playwright page with the probe armed; files of this folder and of node_modules over HTTP.
// Spec: none.

import { createReadStream } from 'node:fs';
import { mkdir, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { chromium } from 'playwright-core';
import { root } from './nearcast.mjs';
import { arm } from './probe.mjs';

const folder = join(root, 'tests/e2e');
const FLAGS = [
  '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];
const KINDS = { html: 'text/html; charset=utf-8', js: 'text/javascript', mjs: 'text/javascript', css: 'text/css' };

export async function launch({ args = [] } = {}) {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: [...FLAGS, ...args] });
}

/**
 * A page in a context of its own, with console errors and failed scripts collected in `problems`. Small by default: without a
 * GPU each shown pixel is the processor's work, and a machine of two cores has the encoder and the server to run as well.
 */
export async function open(browser, { viewport = { width: 640, height: 360 }, ...options } = {}) {
  const context = await browser.newContext({ viewport, ...options });
  await arm(context);
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (error) => problems.push(`page: ${error.message}`));
  page.on('console', (message) => {
    // A page whose first picture takes its time asks for a poster; there may be none.
    if (message.location().url.endsWith('/thumb.jpg')) return;
    if (message.type() === 'error') problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('crash', () => problems.push('the page crashed'));
  return { page, problems, close: () => context.close() };
}

/** A picture of the page for people to look at; not committed. */
export async function screenshot(page, name) {
  const artifacts = join(folder, 'artifacts');
  await mkdir(artifacts, { recursive: true });
  const path = join(artifacts, `${name}.png`);
  await page.screenshot({ path });
  return path;
}

/** Serves `harness/pages` and `node_modules` on a free port. */
export async function servePages() {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, 'http://x').pathname);
    const file = path.startsWith('/node_modules/') ? join(folder, path) : join(folder, 'harness/pages', path);
    const found = await stat(file).catch(() => null);
    if (!found?.isFile()) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': KINDS[file.split('.').pop()] ?? 'application/octet-stream', 'cache-control': 'no-store' });
    return createReadStream(file).pipe(response);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const url = (path) => `http://127.0.0.1:${server.address().port}${path}`;
  return {
    url,
    /** The page of a stock player (`hls`, `shaka`) with a playlist and the player's own configuration. */
    player: (name, source, config) => url(`/${name}.html?${new URLSearchParams({ src: source, config: JSON.stringify(config) })}`),
    close: () => new Promise((done) => {
      server.closeAllConnections?.();
      server.close(done);
    }),
  };
}
