// `cargo xtask demo` as a newcomer runs it: one command, a printed address, a picture there; Ctrl-C leaves nothing behind.
// In → Out: the command on free ports → its output, the watch page in Chromium, the processes afterwards.
// Spec: README.md, "Five minutes".
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import test from '../harness/steady.mjs';
import { launch, open } from '../harness/browser.mjs';
import { freePort, root } from '../harness/nearcast.mjs';
import { Child, run } from '../harness/processes.mjs';
import { collect } from '../harness/probe.mjs';
import { playing, watch } from '../harness/watching.mjs';

const demo = (...args) => new Child('cargo', ['xtask', 'demo', ...args], { cwd: root });

test('the demo shows a moving picture with sound at the address that it prints, and Ctrl-C stops all of it', { timeout: 240_000 }, async (t) => {
  const [http, rtmp] = [await freePort(), await freePort()];
  const child = demo('--http-port', String(http), '--rtmp-port', String(rtmp));
  const browser = await launch();
  try {
    const [, url] = await child.line(/watch\s+(http:\/\/\S+)/, 200_000);
    assert.equal(url, `http://127.0.0.1:${http}/b/demo`);
    await child.line(new RegExp(`rtmp://127\\.0\\.0\\.1:${rtmp}/live/`), 1000);
    const { page, problems } = await open(browser);
    await page.goto(url);
    await playing(page);
    t.diagnostic(`page open → first picture ${(await collect(page)).first.at.toFixed(0)} ms`);
    assert.ok((await watch(page, 1500)).audioBytes > 0);
    const qualities = await page.evaluate(() => window.nearcast.element.player.renditions.map(({ name }) => name));
    assert.deepEqual(qualities, ['source', '480p', '240p', 'audio']);
    assert.deepEqual(problems, []);
  } finally {
    await browser.close();
    await child.stop('SIGINT');
  }
  assert.equal(child.status, 0, child.tail());
  const left = await run('ps', ['-eo', 'args']);
  assert.deepEqual(left.filter((line) => line.includes(`:${rtmp}`)), [], 'nothing is left behind');
});

test('a port that is taken is named before anything is built, with the way out', async () => {
  const other = createServer().listen(0, '0.0.0.0');
  await new Promise((done) => other.once('listening', done));
  const { port } = other.address();
  const child = demo('--http-port', String(port), '--rtmp-port', String(await freePort()));
  const status = await child.ended;
  other.close();
  assert.notEqual(status, 0);
  assert.match(child.tail(), new RegExp(`port ${port} is taken`));
  assert.match(child.tail(), /--http-port/);
});
