// The browser's own HLS, for those that have neither MediaSource nor ManagedMediaSource.
//
// In → Out: the address of the multivariant playlist → the element plays it by itself.
// Latency is then the browser's affair; what is shown as latency still comes from the playlist's date-time.
// Spec: RFC 8216bis, "EXT-X-PROGRAM-DATE-TIME"; HTML, "getStartDate()".

import type { BufferedRange } from '../recovery.ts';
import type { Renderer } from './renderer.ts';

/** True where the element plays playlists without help. */
export function playsHlsNatively(video: HTMLVideoElement): boolean {
  return video.canPlayType('application/vnd.apple.mpegurl') !== '';
}

/** Lets the element load a playlist by itself. */
export class NativeRenderer implements Renderer {
  readonly kind = 'native';

  constructor(
    private readonly video: HTMLVideoElement,
    url: string,
  ) {
    video.src = url;
  }

  setInit(): boolean {
    return true;
  }

  append(): void {}

  ranges(): BufferedRange[] {
    const found: BufferedRange[] = [];
    const buffered = this.video.buffered;
    for (let i = 0; i < buffered.length; i += 1) found.push({ start: buffered.start(i), end: buffered.end(i) });
    return found;
  }

  evictBefore(): void {}

  destroy(): void {
    this.video.removeAttribute('src');
    this.video.load();
  }

  /** Unix time in milliseconds of the picture at `positionS`; null where the browser does not tell. */
  wallAt(positionS: number): number | null {
    const video = this.video as HTMLVideoElement & { getStartDate?: () => Date };
    const start = video.getStartDate?.().getTime();
    return start === undefined || Number.isNaN(start) ? null : start + positionS * 1000;
  }
}
