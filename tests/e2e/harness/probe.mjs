// What a browser shows, read from its pixels: the painted clock of every picture, and how old the picture is at each refresh.
// In → Out: a Playwright page → a probe inside it, from before its first script → samples.
// Delay of a picture = its expectedDisplayTime − the time painted into it, both on this host's clock. Nothing is subtracted.
// Stalls and frozen time are counted beside it: a delay without them says nothing, for only shown pictures have one.
// Spec: docs/clock-strip.md; WICG "HTMLVideoElement.requestVideoFrameCallback()".

import { inPage } from './strip.mjs';

/** Runs in the page. `window.__probe` collects; times in ms, `at` counted from the page's timeOrigin. */
function install() {
  const probe = {
    pictures: [], ages: [], unreadable: 0, waits: 0, seeks: 0, errors: [], rates: [], sizes: [], first: null, video: null, playing: null,
  };
  window.__probe = probe;
  const shadows = [];
  const attachShadow = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function patched(init) {
    const shadow = attachShadow.call(this, init);
    shadows.push(shadow);
    return shadow;
  };
  const canvas = document.createElement('canvas');
  canvas.width = 40;
  canvas.height = 2;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.imageSmoothingEnabled = false;

  const read = (video) => {
    const cell = video.videoWidth / 40;
    context.drawImage(video, 0, 0, video.videoWidth, 2 * cell, 0, 0, 40, 2);
    const { data } = context.getImageData(0, 0, 40, 2);
    // The strip is grey: one channel is as good as a sum.
    // eslint-disable-next-line no-undef
    return decodeCells((row, i) => data[(row * 40 + i) * 4 + 1], performance.timeOrigin + performance.now());
  };

  const follow = (video) => {
    probe.video = video;
    for (const [event, count] of [['waiting', 'waits'], ['seeking', 'seeks']]) {
      video.addEventListener(event, () => {
        probe[count] += 1;
      });
    }
    video.addEventListener('error', () => probe.errors.push(`video: ${video.error?.code} ${video.error?.message}`));
    const shown = (now, meta) => {
      video.requestVideoFrameCallback(shown);
      const stamp = read(video);
      probe.first ??= { at: meta.expectedDisplayTime, now: performance.now() };
      if (stamp === null) probe.unreadable += 1;
      else {
        probe.pictures.push({
          at: meta.expectedDisplayTime, stamp, delay: performance.timeOrigin + meta.expectedDisplayTime - stamp,
          mediaTime: meta.mediaTime, presented: meta.presentedFrames,
        });
        probe.shown = stamp;
      }
      const size = `${meta.width}x${meta.height}`;
      if (probe.sizes.at(-1) !== size) probe.sizes.push(size);
      probe.rates.push(video.playbackRate);
    };
    video.requestVideoFrameCallback(shown);
  };

  const refresh = () => {
    requestAnimationFrame(refresh);
    if (probe.shown !== undefined) probe.ages.push(performance.timeOrigin + performance.now() - probe.shown);
  };
  requestAnimationFrame(refresh);

  const search = () => {
    const video = [document, ...shadows].map((at) => at.querySelector('video')).find(Boolean);
    if (video) follow(video);
    else setTimeout(search, 4);
  };
  search();
  addEventListener('error', (event) => probe.errors.push(`script: ${event.message}`));
  addEventListener('unhandledrejection', (event) => probe.errors.push(`promise: ${event.reason}`));
  document.addEventListener('securitypolicyviolation', (event) => probe.errors.push(`csp: ${event.violatedDirective} ${event.blockedURI}`));
}

/** Puts the probe into every page of this context. */
export async function arm(context) {
  await context.addInitScript(`${inPage}\n(${install})();`);
}

/** Forgets the samples so far, so that start-up and steady state can be told apart. */
export const reset = (page) => page.evaluate(() => {
  const decodedBefore = window.__probe.video?.getVideoPlaybackQuality().totalVideoFrames ?? 0;
  Object.assign(window.__probe, { pictures: [], ages: [], unreadable: 0, waits: 0, seeks: 0, rates: [], decodedBefore });
});

/** The samples since the last reset, and what the element says about itself. */
export const collect = (page) => page.evaluate(() => {
  const { video, ...probe } = window.__probe;
  const quality = video?.getVideoPlaybackQuality();
  const playlist = performance.getEntriesByType('resource').find((entry) => entry.name.includes('.m3u8'));
  return {
    ...probe,
    url: location.href,
    playerStart: window.__playerStart ?? playlist?.startTime ?? null,
    dropped: quality?.droppedVideoFrames ?? null,
    decoded: quality ? quality.totalVideoFrames - (window.__probe.decodedBefore ?? 0) : null,
    audioBytes: video?.webkitAudioDecodedByteCount ?? null,
    currentTime: video?.currentTime ?? null,
    buffered: video?.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : null,
    paused: video?.paused ?? null,
    muted: video?.muted ?? null,
  };
});

/** Sorted copy → the value below which `share` of them lie. */
export function quantile(values, share) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
}

/** Times between pictures that were longer than three frames: how many, and how much time beyond one frame. */
export function stalls(pictures, frameMs) {
  let count = 0;
  let frozen = 0;
  for (let i = 1; i < pictures.length; i += 1) {
    const gap = pictures[i].at - pictures[i - 1].at;
    if (gap > 3 * frameMs + 1) {
      count += 1;
      frozen += gap - frameMs;
    }
  }
  return { count, frozen };
}

/** The figures of one run. Milliseconds. */
export function summarize(sample, fps) {
  const delays = sample.pictures.map((picture) => picture.delay);
  const { count, frozen } = stalls(sample.pictures, 1000 / fps);
  const round = (value) => (value === null ? null : Math.round(value * 10) / 10);
  return {
    pictures: delays.length,
    unreadable: sample.unreadable,
    p50: round(quantile(delays, 0.5)),
    p95: round(quantile(delays, 0.95)),
    p99: round(quantile(delays, 0.99)),
    max: round(quantile(delays, 1)),
    age_p50: round(quantile(sample.ages, 0.5)),
    age_p95: round(quantile(sample.ages, 0.95)),
    age_p99: round(quantile(sample.ages, 0.99)),
    stalls: count,
    frozen: round(frozen),
    waits: sample.waits,
    seeks: sample.seeks,
    dropped: sample.dropped,
    join_page: round(sample.first?.at ?? null),
    join_player: sample.first && sample.playerStart !== null ? round(sample.first.at - sample.playerStart) : null,
  };
}
