// Media Source Extensions: one muxed SourceBuffer, fed as chunks arrive.
//
// In → Out: init sections and chunks → appends in order, one at a time, joined while the buffer is busy.
// Media time on the wire goes on across epochs, so timestampOffset stays 0. ManagedMediaSource is used where it is
// all there is (iPhone). The queue is bounded; a full buffer is emptied behind the playhead, then the renderer gives up.
// Spec: Media Source Extensions, "appendBuffer", "changeType", "Coded Frame Eviction".

import { type Bytes, join } from '../bytes.ts';
import { asPlayerError, PlayerError } from '../errors.ts';
import { type InitSection } from '../init.ts';
import type { BufferedRange } from '../recovery.ts';
import type { Renderer, RendererOutput } from './renderer.ts';

type MediaSourceClass = typeof MediaSource;

/** The browser's MediaSource, or its managed form, or null. */
export function mediaSourceClass(): MediaSourceClass | null {
  const scope = globalThis as { MediaSource?: MediaSourceClass; ManagedMediaSource?: MediaSourceClass };
  return scope.MediaSource ?? scope.ManagedMediaSource ?? null;
}

const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** Seconds kept behind the playhead, and how much more may gather before a removal is worth its cost. */
const KEEP_S = 8;
const SLACK_S = 12;

interface InitOperation {
  init: InitSection;
  mime: string;
}

/** Feeds one media element through a MediaSource. */
export class MseRenderer implements Renderer {
  readonly kind = 'mse';
  private readonly source: MediaSource;
  private readonly address: string;
  private buffer: SourceBuffer | null = null;
  private mime = '';
  private shape = '';
  private queue: (Bytes | InitOperation)[] = [];
  private queueBytes = 0;
  private evictTo = 0;
  private dead = false;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly output: RendererOutput,
    private readonly sourceClass: MediaSourceClass,
  ) {
    this.source = new sourceClass();
    this.source.addEventListener('sourceopen', () => this.pump(), { once: true });
    this.address = URL.createObjectURL(this.source);
    // ManagedMediaSource opens only for elements that cannot be sent to another screen.
    if (!('MediaSource' in globalThis)) video.disableRemotePlayback = true;
    video.src = this.address;
  }

  setInit(init: InitSection, mime: string): boolean {
    const shape = init.tracks.map((track) => `${track.id}${track.kind}`).join();
    // A SourceBuffer keeps the number and kinds of tracks of its first init section.
    if (this.shape !== '' && this.shape !== shape) return false;
    this.shape = shape;
    this.queue.push({ init, mime });
    this.pump();
    return true;
  }

  append(bytes: Bytes): void {
    if (this.dead) return;
    this.queue.push(bytes);
    this.queueBytes += bytes.byteLength;
    if (this.queueBytes > QUEUE_BYTES_MAX) this.fail(new PlayerError('media', 'the browser takes no more media'));
    else this.pump();
  }

  ranges(): BufferedRange[] {
    const found: BufferedRange[] = [];
    if (!this.buffer || this.dead) return found;
    const buffered = this.buffer.buffered;
    for (let i = 0; i < buffered.length; i += 1) found.push({ start: buffered.start(i), end: buffered.end(i) });
    return found;
  }

  evictBefore(positionS: number): void {
    const first = this.ranges()[0];
    if (first && positionS - first.start > KEEP_S + SLACK_S) {
      this.evictTo = positionS - KEEP_S;
      this.pump();
    }
  }

  destroy(): void {
    this.dead = true;
    this.queue = [];
    URL.revokeObjectURL(this.address);
    if (this.video.src === this.address) {
      this.video.removeAttribute('src');
      this.video.load();
    }
  }

  /** Starts the next operation, if the buffer is free. */
  private pump(): void {
    if (this.dead || this.source.readyState !== 'open' || this.buffer?.updating) return;
    const head = this.queue[0];
    try {
      if (this.buffer && this.evictTo > 0) {
        const to = this.evictTo;
        this.evictTo = 0;
        this.buffer.remove(0, to);
      } else if (head && !ArrayBuffer.isView(head)) {
        this.begin(head);
        this.queue.shift();
      } else if (head && this.buffer) {
        this.appendNow(this.buffer);
      }
    } catch (error) {
      this.fail(asPlayerError(error, 'media'));
    }
  }

  private begin({ init, mime }: InitOperation): void {
    if (mime !== this.mime && !this.sourceClass.isTypeSupported(mime)) {
      throw new PlayerError('unsupported', `this browser cannot play ${mime}`, true);
    }
    if (!this.buffer) {
      this.source.duration = Infinity;
      this.buffer = this.source.addSourceBuffer(mime);
      this.buffer.addEventListener('updateend', () => this.pump());
      this.buffer.addEventListener('error', () => this.fail(new PlayerError('media', 'the browser refused a segment')));
    } else if (family(mime) !== family(this.mime)) {
      this.buffer.changeType(mime);
    }
    this.mime = mime;
    this.buffer.appendBuffer(init.bytes);
  }

  private appendNow(buffer: SourceBuffer): void {
    const runs: Bytes[] = [];
    for (const item of this.queue) {
      if (!ArrayBuffer.isView(item)) break;
      runs.push(item);
    }
    const bytes = join(runs);
    try {
      buffer.appendBuffer(bytes);
    } catch (error) {
      if (!(error instanceof DOMException && error.name === 'QuotaExceededError')) throw error;
      const keepFrom = this.video.currentTime - 1;
      const first = this.ranges()[0];
      if (!first || first.start >= keepFrom) throw error;
      buffer.remove(0, keepFrom);
      return;
    }
    this.queue.splice(0, runs.length);
    this.queueBytes -= bytes.byteLength;
  }

  private fail(error: PlayerError): void {
    if (this.dead) return;
    this.dead = true;
    this.output.failed(error);
  }
}

/** Codecs without their profiles and levels, which the init section tells the browser anyway. */
function family(mime: string): string {
  return mime.replace(/\.[^",]*/g, '');
}
