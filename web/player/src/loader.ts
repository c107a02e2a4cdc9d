// The LHLS loader: reads a playlist once, then counts; opens the next segment while this one runs.
//
// In → Out: the address of a multivariant playlist → init sections and chunks in playing order, and how it stands.
// After any surprise (404, an aborted body, a new epoch, silence) it reads the playlist again, with bounded backoff.
// While all is well it never asks for a playlist, and never holds more than two requests.
// Spec: design contract "Paths", "Segments"; RFC 8216bis, "Client responsibilities"; community LHLS, "EXT-X-PREFETCH".

import { asPlayerError, PlayerError } from './errors.ts';
import type { Chunk } from './boxes.ts';
import { type InitSection, mimeType, parseInit } from './init.ts';
import { initUrl, parseMedia, parseMultivariant, segmentUrl, type MediaPlaylist, type Variant } from './playlist.ts';
import { type ArrivedChunk, type LoaderEnvironment, SegmentRequest } from './segment_request.ts';

/** How the broadcast stands, as far as the network shows it. */
export type LoaderState =
  /** Asking for playlists or for the first bytes. */
  | 'connecting'
  /** Chunks are coming. */
  | 'live'
  /** The broadcast goes on, but nothing new has come for a while: its publisher is away. */
  | 'away'
  /** There is no such broadcast now. */
  | 'offline'
  /** The broadcast is over. */
  | 'ended'
  /** The server cannot be reached, or answers nonsense. */
  | 'unreachable';

/** Who receives what the loader yields. */
export interface LoaderOutput {
  init(init: InitSection, mime: string, epoch: number): void;
  chunk(chunk: Chunk, at: { epoch: number; msn: number; arrivalMs: number }): void;
  state(state: LoaderState): void;
  /** Something went wrong; the loader is already repairing it. */
  surprise(error: PlayerError): void;
}

/** Times after which silence means something, milliseconds. */
export const LOADER_TIMES = {
  /** Without a chunk for this long, the publisher counts as away. */
  awayMs: 1_500,
  /** How often the playlist is read while nothing comes. */
  recheckMs: 2_000,
  /** A begun segment that stays silent this long is opened again: its connection may be dead. */
  reopenMs: 4_000,
  /** A silent segment is given up for the next one when that one is already running. */
  abandonMs: 700,
  playlistTimeoutMs: 5_000,
  backoffFirstMs: 150,
  backoffMaxMs: 2_000,
} as const;

interface Point {
  epoch: number;
  msn: number;
}

/** Loads one broadcast until `stop`. */
export class Loader {
  /** Times that the playlist had to be read again after a surprise. */
  resyncs = 0;
  /** Bytes of media delivered. */
  bytes = 0;
  private readonly abort = new AbortController();
  private state: LoaderState | null = null;
  private variant: Variant | null = null;
  private targetDurationS = 2;
  private init: { epoch: number; section: InitSection } | null = null;
  /** The segment being read, and how many of its bytes were delivered: a repeated request goes on from there. */
  private resume: (Point & { bytes: number }) | null = null;
  private failures = 0;
  private currentSinceMs = 0;
  private lastChunkMs: number;
  private lastCheckMs = 0;

  constructor(
    private readonly url: string,
    private readonly env: LoaderEnvironment,
    private readonly output: LoaderOutput,
  ) {
    this.lastChunkMs = env.nowMs();
  }

  /** Runs until `stop`; never rejects. */
  async run(): Promise<void> {
    while (!this.stopped) {
      this.setState(this.state === null || this.state === 'live' ? 'connecting' : this.state);
      try {
        const point = await this.locate();
        if (point) {
          await this.follow(point);
          this.resyncs += 1;
          // The server answers and lists the broadcast, and still nothing comes.
          if (this.silent) this.setState('away');
        }
      } catch (error) {
        this.report(asPlayerError(error, 'network'));
      }
      if (this.stopped) return;
      await this.backOff();
    }
  }

  stop(): void {
    this.abort.abort();
  }

  private get stopped(): boolean {
    return this.abort.signal.aborted;
  }

  private setState(state: LoaderState): void {
    if (state === this.state || this.stopped) return;
    this.state = state;
    this.output.state(state);
  }

  private report(error: PlayerError): void {
    if (!this.stopped) this.output.surprise(error);
  }

  private async backOff(): Promise<void> {
    // The first repair is immediate: most surprises are one connection's.
    const step = this.failures === 0 ? 0 : LOADER_TIMES.backoffFirstMs * 2 ** Math.min(10, this.failures - 1);
    this.failures += 1;
    const ms = Math.min(LOADER_TIMES.backoffMaxMs, step) * (0.75 + this.env.random() / 2);
    if (ms > 0) await this.env.sleep(ms, this.abort.signal);
  }

  /** Where to begin, from the playlists; null when there is nothing to play now. */
  private async locate(): Promise<Point | null> {
    const media = await this.readMedia();
    if (!media) return null;
    this.targetDurationS = media.targetDurationS;
    const edge = media.prefetch[0];
    if (media.ended) {
      this.setState('ended');
      this.variant = null;
      return null;
    }
    if (!edge) {
      this.setState('away');
      return null;
    }
    // A playlist from a cache may be older than what was already delivered.
    const resume = this.resume;
    return resume && resume.epoch === edge.epoch && resume.msn > edge.msn ? resume : edge;
  }

  private async readMedia(): Promise<MediaPlaylist | null> {
    try {
      let early: Promise<string> | null = null;
      if (!this.variant) {
        // Both playlists are asked for at once: one round trip less until the first picture.
        const guess = new URL(LIKELY_MEDIA_PLAYLIST, this.url).href;
        if (this.failures === 0) {
          early = this.text(guess);
          early.catch(() => undefined);
        }
        const variants = parseMultivariant(await this.text(this.url), this.url);
        this.variant = bestVariant(variants);
        if (this.variant.url !== guess) early = null;
      }
      return parseMedia(await (early ?? this.text(this.variant.url)), this.variant.url);
    } catch (error) {
      const known = asPlayerError(error, 'network');
      if (known instanceof StatusError && (known.status === 404 || known.status === 410)) {
        this.variant = null;
        this.setState('offline');
      } else {
        // One lost connection is no news for the viewer.
        if (this.silent) this.setState('unreachable');
        this.report(known);
      }
      return null;
    }
  }

  private async text(url: string): Promise<string> {
    const response = await this.get(url);
    return response.text();
  }

  private async get(url: string): Promise<Response> {
    const timeout = new AbortController();
    const stop = (): void => timeout.abort();
    this.abort.signal.addEventListener('abort', stop);
    const done = new AbortController();
    void this.env.sleep(LOADER_TIMES.playlistTimeoutMs, done.signal).then(stop);
    try {
      const response = await this.env.fetch(url, {
        signal: timeout.signal, cache: 'no-store', credentials: 'omit', priority: 'high',
      });
      if (!response.ok) throw new StatusError(response.status, url);
      // The body is read here so that the time-out covers it.
      return new Response(await response.arrayBuffer(), { status: response.status });
    } finally {
      this.abort.signal.removeEventListener('abort', stop);
      done.abort();
    }
  }

  private open(point: Point): SegmentRequest {
    const base = this.variant?.url ?? this.url;
    const { epoch, msn } = point;
    return new SegmentRequest(this.env, epoch, msn, segmentUrl(base, epoch, msn), this.abort.signal);
  }

  /** Plays on from `point` until a surprise. */
  private async follow(point: Point): Promise<void> {
    let current = this.open(point);
    let next: SegmentRequest | null = null;
    this.currentSinceMs = this.env.nowMs();
    const scope = new AbortController();
    // Held open like the segment while the publisher of a new epoch is awaited, so nothing waits for it before a chunk does.
    const initSection = this.loadInit(point.epoch, scope.signal);
    initSection.catch(() => undefined);
    try {
      let init: InitSection | null = null;
      let mediaS = 0;
      for (;;) {
        await current.ready(QUIET_STEP_MS);
        if (this.stopped) return;
        const arrived = current.take();
        if (arrived.length > 0) {
          init ??= await this.soon(initSection);
          mediaS += this.deliver(current, arrived, init);
          if (!next && mediaS >= this.targetDurationS / 2) next = this.open(after(current));
        } else if (current.phase === 'ended' || (next?.hasChunks && this.quietMs(current) >= LOADER_TIMES.abandonMs)) {
          current.cancel();
          const following = next ?? this.open(after(current));
          this.resume = { ...after(current), bytes: 0 };
          current = following;
          this.currentSinceMs = this.env.nowMs();
          next = null;
          mediaS = 0;
        } else if (current.phase === 'failed') {
          if (current.status === 404 || current.status === 410) this.resume = null;
          if (current.error) this.report(current.error);
          return;
        } else if (!(await this.stillThere(current))) {
          return;
        }
      }
    } finally {
      scope.abort();
      current.cancel();
      next?.cancel();
    }
  }

  private async loadInit(epoch: number, signal: AbortSignal): Promise<InitSection> {
    if (this.init?.epoch !== epoch) {
      const url = initUrl(this.variant?.url ?? this.url, epoch);
      const response = await this.env.fetch(url, { signal, cache: 'no-store', credentials: 'omit', priority: 'high' });
      if (!response.ok) throw new StatusError(response.status, url);
      const section = parseInit(new Uint8Array(await response.arrayBuffer()));
      if (this.stopped || signal.aborted) return section;
      this.init = { epoch, section };
      this.output.init(section, mimeType(section, this.variant?.codecs ?? null), epoch);
    }
    return this.init.section;
  }

  /** What `promise` gives, or a time-out: chunks are here already. */
  private async soon<T>(promise: Promise<T>): Promise<T> {
    const done = new AbortController();
    const late = this.env.sleep(LOADER_TIMES.playlistTimeoutMs, done.signal).then((): never => {
      throw new PlayerError('network', 'the init section does not come');
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([promise, late]);
    } finally {
      done.abort();
    }
  }

  /** Hands on what has not been handed on before; gives the seconds of media in it. */
  private deliver(request: SegmentRequest, arrived: ArrivedChunk[], init: InitSection): number {
    let mediaS = 0;
    for (const { chunk, arrivalMs, offset } of arrived) {
      mediaS += chunkSeconds(chunk, init);
      const before = this.resume?.epoch === request.epoch && this.resume.msn === request.msn ? this.resume.bytes : 0;
      if (offset < before) continue;
      this.resume = { epoch: request.epoch, msn: request.msn, bytes: offset + chunk.bytes.byteLength };
      this.failures = 0;
      this.lastChunkMs = arrivalMs;
      this.bytes += chunk.bytes.byteLength;
      this.output.chunk(chunk, { epoch: request.epoch, msn: request.msn, arrivalMs });
      this.setState('live');
    }
    return mediaS;
  }

  /** Nothing has come for so long that the viewer should hear why. */
  private get silent(): boolean {
    return this.env.nowMs() - this.lastChunkMs >= LOADER_TIMES.awayMs;
  }

  private quietMs(request: SegmentRequest): number {
    return this.env.nowMs() - Math.max(request.lastArrivalMs ?? 0, this.currentSinceMs);
  }

  /** After a silence: does the playlist still say that `current` is the segment to wait for? */
  private async stillThere(current: SegmentRequest): Promise<boolean> {
    const quietMs = this.quietMs(current);
    if (quietMs < LOADER_TIMES.awayMs) return true;
    this.setState('away');
    if (current.lastArrivalMs !== null && quietMs >= LOADER_TIMES.reopenMs) return false;
    const now = this.env.nowMs();
    if (now - this.lastCheckMs < LOADER_TIMES.recheckMs * (0.75 + this.env.random() / 2)) return true;
    this.lastCheckMs = now;
    const media = await this.readMedia();
    const edge = media?.prefetch[0];
    if (!media || media.ended) return false;
    // An older number is an older playlist, from a cache.
    return !edge || (edge.epoch === current.epoch && edge.msn <= current.msn);
  }
}

const QUIET_STEP_MS = 250;
/** Every broadcast has the rendition `source`. */
const LIKELY_MEDIA_PLAYLIST = 'source/index.m3u8';

class StatusError extends PlayerError {
  constructor(
    readonly status: number,
    url: string,
  ) {
    super('network', `${new URL(url).pathname} was answered with ${status}`);
  }
}

function after(request: Point): Point {
  return { epoch: request.epoch, msn: request.msn + 1 };
}

function chunkSeconds(chunk: Chunk, init: InitSection): number {
  let longest = 0;
  for (const run of chunk.runs) {
    const track = init.tracks.find((one) => one.id === run.trackId);
    if (!track) continue;
    const ticks = run.duration + run.samplesWithoutDuration * track.defaultDuration;
    longest = Math.max(longest, ticks / track.timescale);
  }
  return longest;
}

/** The largest picture; a rung below it may well have the higher bitrate. */
function bestVariant(variants: Variant[]): Variant {
  const better = (one: Variant, best: Variant): boolean =>
    one.height !== best.height ? one.height > best.height : one.bandwidthBps > best.bandwidthBps;
  return variants.reduce((best, one) => (better(one, best) ? one : best));
}
