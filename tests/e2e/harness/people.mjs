// People in a room: a viewer's page and a broadcaster's page, and what each of them sees and does.
// In → Out: a server and a browser → pages with the room open; comments, hearts and totals read back from them.
// Spec: docs/ix.md; issue "The room".

import { open } from './browser.mjs';
import { until } from './processes.mjs';

/** Generous: a busy machine of two cores decodes, encodes and serves at once. */
const PATIENCE_MS = 45_000;

/** A viewer on the watch page, with the room open and known to the server. */
export async function viewer(browser, server, name, options = {}) {
  const opened = await open(browser, options);
  const { page } = opened;
  const requests = [];
  page.on('request', (request) => requests.push({ url: new URL(request.url()).pathname, method: request.method(), at: performance.now() }));
  await page.goto(server.url(`/b/${name}`));
  await page.locator('.say').waitFor({ timeout: PATIENCE_MS });
  await until('the server knows this viewer', () => page.evaluate(() => window.nearcast.room.me.known), PATIENCE_MS);
  return {
    ...opened, requests,
    /** Comments on this screen, oldest first. */
    comments: () => page.locator('.comments .comment .text').allTextContents(),
    /** Hearts that have floated here. */
    floated: () => page.evaluate(() => window.nearcast.heartsLaunched()),
    /** Hearts of the whole broadcast, as this page knows. */
    total: () => page.evaluate(() => window.nearcast.room.state.total),
    heart: () => page.mouse.click(500, 190),
    async speak(text) {
      await page.locator('.say input').fill(text);
      await page.locator('.say input').press('Enter');
    },
    /** Own comments that the server has not answered for. */
    waiting: () => page.evaluate(() => window.nearcast.room.waiting),
  };
}

/** The broadcaster in the studio, with the line open. */
export async function broadcaster(browser, server, name, { key = name, ...options } = {}) {
  const opened = await open(browser, { viewport: { width: 1280, height: 800 }, ...options });
  const { page } = opened;
  await page.goto(server.url(`/studio/${name}`));
  await page.locator('.key input').fill(key);
  await page.locator('.key input').press('Enter');
  await page.locator('.line[data-status=open]').waitFor({ timeout: PATIENCE_MS });
  return {
    ...opened,
    comments: () => page.locator('.stream .row .text').allTextContents(),
    floated: () => page.evaluate(() => window.studio.heartsLaunched()),
    /** Presses one of the tools beside a comment. */
    async tool(text, tool) {
      const row = page.locator('.row', { hasText: text });
      await row.hover();
      await row.locator(`.do-${tool}`).click();
    },
  };
}

/** Until `ask` says yes; gives the milliseconds that it took. */
export async function soon(what, ask, ms = PATIENCE_MS) {
  const began = performance.now();
  await until(what, ask, ms, 15);
  return performance.now() - began;
}
