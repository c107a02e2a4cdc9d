// What every browser test wants to know about a page that should be playing.
// In → Out: a page with the probe → "it plays", "it goes on", "the delay it shows is the delay there is", or an error with the evidence.
// Spec: design "The player"; issue cases ING-18.

import assert from 'node:assert/strict';
import { collect, quantile, reset, stalls } from './probe.mjs';
import { delay, until } from './processes.mjs';

/** Until so many pictures have been shown since the page was opened. */
export async function playing(page, { pictures = 10, ms = 10_000 } = {}) {
  await until(`${pictures} pictures are shown`, async () => {
    const shown = await page.evaluate(() => window.__probe.pictures.length);
    return shown >= pictures;
  }, ms, 30).catch(async (error) => {
    const state = await collect(page).catch(() => null);
    throw new Error(`${error.message}\n${JSON.stringify({ ...state, pictures: state?.pictures.length, ages: undefined, rates: undefined })}`);
  });
}

/**
 * What `once` gives, the first time that it succeeds. A machine that is busy with something else starves browser and encoder
 * alike, and players report that as errors and stalls. An attempt that `excuse` has nothing to say about is the last.
 */
export async function attempts(t, most, once, excuse = () => 'busy') {
  for (let attempt = 1; ; attempt += 1) {
    const begun = performance.now();
    try {
      return await once();
    } catch (error) {
      const why = excuse(begun);
      if (attempt === most || !why) throw error;
      t.diagnostic(`attempt ${attempt} (${why}): ${String(error.message).slice(0, 300)}`);
    }
  }
}

/** Watches for `ms` and gives the samples of just that time. */
export async function watch(page, ms) {
  await reset(page);
  await delay(ms);
  return collect(page);
}

/**
 * Pictures, in painted order, without a longer stand-still than `longest` ms. A busy machine paints fewer than `fps` pictures
 * and tells a page of fewer than it shows; half of the one and of the other is still a moving picture.
 */
export function flows(sample, { fps = 30, longest = 500, share = 0.5 } = {}) {
  assert.ok(sample.pictures.length > 0, 'no picture was shown');
  const times = sample.pictures.map((picture) => picture.stamp);
  for (let i = 1; i < times.length; i += 1) assert.ok(times[i] >= times[i - 1], `the picture went back by ${times[i - 1] - times[i]} ms`);
  const seconds = (sample.pictures.at(-1).at - sample.pictures[0].at) / 1000;
  const shown = sample.pictures.length;
  assert.ok(shown >= share * Math.min(seconds * fps, sample.decoded), `${shown} pictures in ${seconds.toFixed(1)} s, ${sample.decoded} decoded`);
  const gaps = sample.pictures.slice(1).map((picture, i) => picture.at - sample.pictures[i].at);
  assert.ok(Math.max(...gaps) <= longest, `stood still for ${Math.max(...gaps).toFixed(0)} ms (${stalls(sample.pictures, 1000 / fps).count} stalls)`);
}

/** Delay that the page shows against the age of the picture, sampled together. */
export async function shownAgainstPainted(page, ms = 4000) {
  const samples = await page.evaluate(async (length) => {
    const player = document.querySelector('nearcast-player');
    const found = [];
    const end = performance.now() + length;
    while (performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const told = player.stats()?.latencyMs;
      if (told !== null && told !== undefined) found.push([told, performance.timeOrigin + performance.now() - window.__probe.shown]);
    }
    return found;
  }, ms);
  assert.ok(samples.length > 20, `the page knew its delay ${samples.length} times`);
  return { told: quantile(samples.map(([told]) => told), 0.5), painted: quantile(samples.map(([, painted]) => painted), 0.5) };
}
