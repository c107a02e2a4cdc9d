// The room, played through by several people in Chromium: hearts, comments, a lost network, a late joiner, hostile text, a jury.
// In → Out: one broadcast, viewers' pages and the studio → what each screen shows, and when; screenshots for people in artifacts/.
// Times are told, and asserted with wide bounds only: this machine encodes and decodes everybody's picture as well.
// Spec: issue "The room", "Accepted when"; docs/ix.md; cases IX-07, IX-14, IX-15, IX-16.
import assert from 'node:assert/strict';
import { after, before } from 'node:test';
import test from '../harness/steady.mjs';
import { launch, screenshot } from '../harness/browser.mjs';
import { Nearcast } from '../harness/nearcast.mjs';
import { broadcaster, soon, viewer } from '../harness/people.mjs';
import { pattern } from '../harness/publishers.mjs';

const HOSTILE = [
  '<img src=x onerror="window.__owned=1">', '<script>window.__owned=1</script>', '"><svg onload=window.__owned=1>',
  'javascript:window.__owned=1', '<a href="javascript:window.__owned=1">x</a>', '&lt;b&gt;&#60;script&#62;', '\'-window.__owned-\'', '{{constructor}}', '<iframe srcdoc="<b>x">',
];

let server;
let publisher;
let browser;

before(async () => {
  server = await Nearcast.start();
  // A small picture: five people watch it on this machine.
  publisher = pattern(server.rtmp('demo'), { size: '320x180', fps: 15 });
  [browser] = await Promise.all([launch(), server.live('demo', 45_000)]);
});
after(async () => {
  await browser?.close();
  await publisher?.stop();
  await server?.stop();
});

test('a tap in one browser floats in the other and in the studio, a comment is read in all three, and nothing is wrong in their consoles', async (t) => {
  const [ann, bea, host] = [await viewer(browser, server, 'demo'), await viewer(browser, server, 'demo'), await broadcaster(browser, server, 'demo')];
  const before = [await bea.floated(), await host.floated(), await ann.floated()];
  await ann.heart();
  assert.equal(await ann.floated(), before[2] + 1, 'at once on the tapper\'s own screen');
  const [toBea, toHost] = await Promise.all([
    soon('the heart floats at Bea\'s', async () => (await bea.floated()) > before[0]),
    soon('the heart floats in the studio', async () => (await host.floated()) > before[1]),
  ]);
  await ann.speak('hello from Ann');
  assert.ok((await ann.comments()).includes('hello from Ann'), 'own words at once');
  const [readByBea, readByHost] = await Promise.all([bea, host].map((one) => soon('the comment is read', async () => (await one.comments()).includes('hello from Ann'))));
  t.diagnostic(`tap → viewer ${toBea.toFixed(0)} ms, → studio ${toHost.toFixed(0)} ms; comment → viewer ${readByBea.toFixed(0)} ms, → studio ${readByHost.toFixed(0)} ms`);
  assert.ok(Math.max(toBea, toHost, readByBea, readByHost) < 15_000);
  await soon('the server has answered', async () => (await ann.waiting()) === 0);
  assert.equal((await ann.comments()).filter((text) => text === 'hello from Ann').length, 1, 'and never twice');
  assert.equal(await ann.floated(), before[2] + 1, 'the own heart does not come back');
  await host.page.locator('.say input').fill('welcome');
  await host.page.locator('.say input').press('Enter');
  await soon('the broadcaster is read', async () => (await ann.comments()).includes('welcome'));
  assert.match(await host.page.locator('.figure.reacts b').textContent(), /ago|right now/);
  for (const one of [ann, bea, host]) {
    assert.deepEqual(one.problems, []);
    assert.deepEqual(await one.page.evaluate(() => window.__probe.errors), []);
    await one.close();
  }
});

test('ix_14 a network that goes and comes loses no comment and brings no burst of old hearts', async (t) => {
  const [ann, bea] = [await viewer(browser, server, 'demo'), await viewer(browser, server, 'demo')];
  await ann.page.context().setOffline(true);
  await ann.speak('written without a network');
  await ann.speak('and another one');
  for (let i = 0; i < 12; i += 1) await ann.page.evaluate(() => window.nearcast.room.tap());
  assert.equal(await ann.waiting(), 2);
  // What was being read goes on to its end; then the page notices.
  await ann.page.locator('.room.apart').waitFor({ state: 'attached', timeout: 45_000 });
  const before = await ann.floated();
  const counted = await bea.total();
  for (let i = 0; i < 10; i += 1) await bea.page.evaluate(() => window.nearcast.room.tap());
  await soon('the others go on', async () => (await bea.total()) >= counted + 10);
  // Longer than taps live.
  await new Promise((done) => setTimeout(done, 11_000));
  await ann.page.context().setOffline(false);
  const back = await soon('both comments are said', async () => (await ann.waiting()) === 0);
  // One may have faded before the other is shown.
  const read = new Set();
  await soon('both are read by others', async () => {
    for (const text of await bea.comments()) read.add(text);
    return ['written without a network', 'and another one'].every((text) => read.has(text));
  });
  await soon('the page is up to date', async () => (await ann.total()) === (await bea.total()));
  t.diagnostic(`back ${back.toFixed(0)} ms after the network`);
  assert.equal(await bea.total(), counted + 10, 'hearts of long ago are not sent');
  assert.equal(await ann.floated(), before, 'nor shown');
  for (const text of ['written without a network', 'and another one']) {
    assert.ok((await ann.comments()).filter((one) => one === text).length <= 1, text);
  }
  await ann.close();
  await bea.close();
});

test('ix_17 a server that stood still for a moment closes no room', async () => {
  const [ann, bea] = [await viewer(browser, server, 'demo'), await viewer(browser, server, 'demo')];
  const tap = () => ann.page.evaluate(() => window.nearcast.room.tap());
  // It happens while the room has something to do: what is late is measured then.
  const earlier = await bea.total();
  await tap();
  await soon('a heart is counted', async () => (await bea.total()) > earlier);
  process.kill(server.child.pid, 'SIGSTOP');
  await new Promise((done) => setTimeout(done, 2_200));
  process.kill(server.child.pid, 'SIGCONT');
  await ann.speak('was that you?');
  await soon('it is read', async () => (await bea.comments()).includes('was that you?'));
  assert.deepEqual(await bea.page.evaluate(() => [window.nearcast.room.state.rules.gate, window.nearcast.room.state.rules.tapIn]), ['all', 1]);
  const counted = await bea.total();
  await tap();
  await soon('hearts go on', async () => (await bea.total()) > counted);
  await ann.close();
  await bea.close();
});

test('a late joiner knows totals, the pinned comment and the last comments from the first line that it reads', async () => {
  const [ann, host] = [await viewer(browser, server, 'demo'), await broadcaster(browser, server, 'demo')];
  await ann.speak('pin me, please');
  await soon('it is in the studio', async () => (await host.comments()).includes('pin me, please'));
  await host.tool('pin me, please', 'pin');
  await ann.page.locator('.pin:not([hidden]) .text', { hasText: 'pin me' }).waitFor({ state: 'attached', timeout: 45_000 });
  const late = await viewer(browser, server, 'demo');
  await soon('it shows what was', async () => (await late.comments()).includes('pin me, please'));
  assert.equal(await late.page.locator('.pin:not([hidden]) .text').textContent(), 'pin me, please');
  assert.ok((await late.total()) > 0 && (await late.total()) === (await ann.total()));
  const asked = late.requests.filter(({ url }) => url.includes('/ix'));
  assert.equal(asked[0].url, '/live/demo/ix/index.json');
  assert.match(asked[1].url, /^\/live\/demo\/ix\/\d+\.\d+\.jsonl$/);
  // Whatever else was asked for is not about the room's past.
  assert.deepEqual(asked.slice(2).filter(({ url, method }) => !url.endsWith('.jsonl') && method !== 'POST'), []);
  await host.page.getByRole('button', { name: 'Take it down' }).click();
  await late.page.locator('.pin[hidden]').waitFor({ state: 'attached', timeout: 45_000 });
  for (const one of [ann, host, late]) await one.close();
});

test('ix_07 hostile names and texts are text on every screen, and no policy had to stop them', async () => {
  const [eve, bea, host] = [await viewer(browser, server, 'demo'), await viewer(browser, server, 'demo'), await broadcaster(browser, server, 'demo')];
  await eve.page.locator('.who').click();
  await eve.page.locator('.sheet input').fill('<img src=x onerror=1>');
  await eve.page.locator('.sheet .main').click();
  await eve.page.locator('.sheet').waitFor({ state: 'detached', timeout: 45_000 });
  for (const text of HOSTILE) {
    await eve.speak(text);
    await soon('it is said', async () => (await eve.waiting()) === 0);
  }
  for (const one of [bea, host]) {
    await soon('all of it is read', async () => {
      const read = await one.comments();
      return HOSTILE.every((text) => read.includes(text));
    });
  }
  assert.equal(await bea.page.locator('.comment .name', { hasText: '<img src=x onerror=1>' }).count() > 0, true);
  const late = await viewer(browser, server, 'demo');
  for (const one of [eve, bea, host, late]) {
    const found = await one.page.evaluate(() => ({
      owned: window.__owned, strange: document.querySelectorAll('main :is(img, script, iframe, a[href^="javascript"]), .comments :is(svg, a, b)').length, errors: window.__probe.errors,
    }));
    assert.deepEqual(found, { owned: undefined, strange: 0, errors: [] });
    assert.deepEqual(one.problems, []);
    await one.close();
  }
});

test('ix_16 what the broadcaster deletes is gone from every screen, and who is blocked is told why nothing goes through', async (t) => {
  const [eve, bea, host] = [await viewer(browser, server, 'demo'), await viewer(browser, server, 'demo'), await broadcaster(browser, server, 'demo')];
  await eve.speak('to be deleted');
  await Promise.all([bea, host].map((one) => soon('it is read', async () => (await one.comments()).includes('to be deleted'))));
  await host.tool('to be deleted', 'delete');
  const gone = await Promise.all([eve, bea, host].map((one) => soon('it is gone', async () => !(await one.comments()).includes('to be deleted'))));
  t.diagnostic(`delete → gone: ${gone.map((ms) => ms.toFixed(0)).join(', ')} ms`);
  const late = await viewer(browser, server, 'demo');
  assert.ok(!(await late.comments()).includes('to be deleted'));
  await eve.speak('the last word');
  await soon('it is read', async () => (await host.comments()).includes('the last word'));
  await host.tool('the last word', 'block');
  await soon('it is gone too', async () => !(await bea.comments()).includes('the last word'));
  await soon('the line says why', () => eve.page.locator('.say input').evaluate((input) => input.disabled && /muted|blocked/.test(input.placeholder)));
  for (const one of [eve, bea, host, late]) await one.close();
});

test('ix_15 a flash jury can be played through: report, five are asked, the majority mutes, and all pages know', async (t) => {
  const other = pattern(server.rtmp('jury-room'), { size: '320x180', fps: 15 });
  await server.live('jury-room', 45_000);
  const [eve, reporter, host] = [await viewer(browser, server, 'jury-room'), await viewer(browser, server, 'jury-room'), await broadcaster(browser, server, 'jury-room')];
  const jurors = [];
  for (let i = 0; i < 3; i += 1) jurors.push(await viewer(browser, server, 'jury-room', { viewport: { width: 390, height: 844 } }));
  await eve.speak('buy my coins');
  await soon('the reporter reads it', async () => (await reporter.comments()).includes('buy my coins'));
  await reporter.page.locator('.comment', { hasText: 'buy my coins' }).locator('.bubble').evaluate((bubble) => bubble.click());
  await reporter.page.locator('.choice', { hasText: 'Report' }).click();
  assert.ok(!(await reporter.comments()).includes('buy my coins'), 'who reports does not want to read it');
  await host.page.locator('.report', { hasText: 'buy my coins' }).waitFor({ timeout: 45_000 });
  for (const juror of jurors) {
    await juror.page.locator('.sheet.jury').waitFor({ timeout: 14_000 });
    if (juror === jurors[0]) await screenshot(juror.page, 'jury-phone');
    await juror.page.locator('.votes .abuse').click();
  }
  const muted = await soon('the author hears of it', () => eve.page.locator('.say input').evaluate((input) => input.disabled && /muted for \d+ s/.test(input.placeholder)));
  t.diagnostic(`last vote → the author's line is closed: ${muted.toFixed(0)} ms`);
  await soon('the studio tells', async () => /A jury muted/.test(await host.page.locator('.log').textContent()));
  assert.equal(await reporter.page.locator('.sheet.jury').count(), 0, 'the reporter is no juror');
  for (const one of [eve, reporter, host, ...jurors]) await one.close();
  await other.stop();
});

test('a word that the broadcaster forbids is refused with the reason until she permits it again, and rules that she sets hold', async () => {
  const [eve, bea, host] = [await viewer(browser, server, 'demo'), await viewer(browser, server, 'demo'), await broadcaster(browser, server, 'demo')];
  const notice = (pattern) => soon(`Eve is told ${pattern}`, async () => pattern.test(await eve.page.locator('.comments').textContent()));
  await host.page.getByLabel('A word to forbid').fill('grudge*');
  await host.page.getByLabel('A word to forbid').press('Enter');
  const chosen = host.page.getByRole('button', { name: 'Permit grudge*' });
  await chosen.waitFor({ timeout: 45_000 });
  // Letters that look alike, and one that is not seen, are the same word.
  await eve.speak('an old Gr\u{200b}udg\u{435}s list');
  await notice(/word that is not wanted here/);
  await host.page.getByRole('group', { name: 'Who may comment' }).getByRole('button', { name: 'Nobody' }).click();
  await soon('the line is closed', () => eve.page.locator('.say input').evaluate((input) => input.disabled));
  await host.page.getByRole('group', { name: 'Who may comment' }).getByRole('button', { name: 'Everybody' }).click();
  await soon('the line is open', () => eve.page.locator('.say input').evaluate((input) => !input.disabled));
  await chosen.click();
  await chosen.waitFor({ state: 'detached', timeout: 45_000 });
  await eve.speak('no grudges');
  await soon('it is read', async () => (await bea.comments()).includes('no grudges'));
  assert.ok(!(await bea.comments()).some((text) => text.includes('list')));
  for (const one of [eve, bea, host]) {
    assert.deepEqual(one.problems, []);
    await one.close();
  }
});

test('room and studio look right on a phone and on a desktop (screenshots for people), and nothing sticks out sideways', async () => {
  const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
  const desktop = { viewport: { width: 1280, height: 800 } };
  for (const [kind, options] of [['phone', phone], ['desktop', desktop]]) {
    const [ann, host] = [await viewer(browser, server, 'demo', options), await broadcaster(browser, server, 'demo', options)];
    await ann.speak('Greetings from the harbour ❤');
    await soon('it is in the studio', async () => (await host.comments()).includes('Greetings from the harbour ❤'));
    await ann.speak('What a light! I could watch this for hours, and the delay is hardly there.');
    await soon('that too', async () => (await host.comments()).some((text) => text.startsWith('What a light')));
    for (let i = 0; i < 12; i += 1) {
      await ann.page.evaluate(() => window.nearcast.room.tap());
      await ann.page.waitForTimeout(90);
    }
    const newest = await ann.page.locator('.comments').evaluate((list) => {
      const [item, window] = [list.querySelector('.comment:last-child').getBoundingClientRect(), list.getBoundingClientRect()];
      return { inside: item.bottom <= window.bottom + 1 && item.top >= window.top, text: list.lastElementChild.textContent };
    });
    assert.ok(newest.inside, `the newest comment is seen on a ${kind}: ${newest.text}`);
    await screenshot(ann.page, `room-${kind}`);
    await screenshot(host.page, `studio-${kind}`);
    // Whether it has faded meanwhile is a matter of how busy the machine is.
    await ann.page.locator('.comment:not(.mine)').last().locator('.bubble').evaluate((bubble) => bubble.click());
    await ann.page.locator('.sheet.menu').waitFor();
    await screenshot(ann.page, `room-menu-${kind}`);
    for (const one of [ann, host]) {
      const wide = await one.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} px too wide on a ${kind}`);
      assert.deepEqual(one.problems, []);
      await one.close();
    }
  }
});

test('the phone\'s keyboard does not bury the comment line, and taps on controls are no hearts', async () => {
  // A room of her own: hearts are counted one by one here, and in the other room those of earlier tests still arrive.
  const other = pattern(server.rtmp('alone'), { size: '320x180', fps: 15 });
  await server.live('alone', 45_000);
  const ann = await viewer(browser, server, 'alone', { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await ann.page.evaluate(() => {
    Object.defineProperty(window.visualViewport, 'height', { configurable: true, value: innerHeight - 320 });
    window.visualViewport.dispatchEvent(new Event('resize'));
  });
  const bottom = await ann.page.locator('.say').evaluate((line) => innerHeight - line.getBoundingClientRect().bottom);
  assert.ok(bottom >= 320, `the line ends ${bottom} px above the lower edge`);
  const before = await ann.floated();
  await ann.page.locator('nearcast-player').evaluate((player) => {
    const mute = player.shadowRoot.querySelector('[data-do=mute]');
    mute.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true, composed: true, isPrimary: true, button: 0 }));
  });
  assert.equal(await ann.floated(), before);
  await ann.page.locator('nearcast-player').evaluate((player) => {
    player.video.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true, composed: true, isPrimary: true, button: 0 }));
  });
  assert.equal(await ann.floated(), before + 1);
  await ann.page.keyboard.press('h');
  assert.equal(await ann.floated(), before + 2, 'a key is a heart too');
  await ann.page.keyboard.press('c');
  assert.equal(await ann.page.locator('.say input').evaluate((input) => input === document.activeElement), true);
  await ann.close();
  await other.stop();
});
