// A world for the loader: a clock that moves only when everybody waits, and a server made of growing bodies.
//
// In → Out: playlists, segments and their chunks by name → responses as the design contract has them; a request log.
// Nothing here waits for real time: `advance` fires timers in order and lets every promise settle in between.
// Spec: design contract "Segments"; Fetch, "Body".

import { LOADER_TIMES, type LoaderOutput, type LoaderState } from '../src/loader.ts';
import type { LoaderEnvironment } from '../src/segment_request.ts';
import type { PlayerError } from '../src/errors.ts';
import { chunkBytes, initBytes } from './fmp4_bytes.ts';

interface Timer {
  atMs: number;
  fire: () => void;
}

/** Time that stands still until told otherwise. */
export class VirtualClock {
  nowMs = 1_000;
  private timers: Timer[] = [];

  sleep = (ms: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      if (signal.aborted) {
        resolve();
        return;
      }
      const timer = { atMs: this.nowMs + ms, fire: resolve };
      this.timers.push(timer);
      signal.addEventListener('abort', () => {
        this.timers = this.timers.filter((one) => one !== timer);
        resolve();
      });
    });

  /** Lets `ms` pass. */
  async advance(ms: number): Promise<void> {
    const until = this.nowMs + ms;
    await settle();
    for (;;) {
      const due = this.timers.filter((timer) => timer.atMs <= until).sort((a, b) => a.atMs - b.atMs)[0];
      if (!due) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.nowMs = Math.max(this.nowMs, due.atMs);
      due.fire();
      await settle();
    }
    this.nowMs = until;
  }
}

/** Lets every promise that can settle do so; streams need a turn of the event loop for each hop. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 8; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A body that grows. */
export class GrowingBody {
  readonly stream: ReadableStream<Uint8Array>;
  cancelled = false;
  private controller!: ReadableStreamDefaultController<Uint8Array>;

  constructor(private readonly onCancel: () => void) {
    this.stream = new ReadableStream({
      start: (controller) => {
        this.controller = controller;
      },
      cancel: () => this.cut(),
    });
  }

  send(bytes: Uint8Array): void {
    if (!this.cancelled) this.controller.enqueue(bytes);
  }

  end(): void {
    if (!this.cancelled) this.controller.close();
    this.cancelled = true;
  }

  /** As a reset connection. */
  abort(): void {
    if (!this.cancelled) this.controller.error(new TypeError('network error'));
    this.cancelled = true;
  }

  private cut(): void {
    this.cancelled = true;
    this.onCancel();
  }
}

/** One broadcast at `http://test/live/x/`. */
export class FakeServer {
  /** Every address asked for, without the host and the query. */
  readonly requests: string[] = [];
  /** The queries of those that had one, with their paths. */
  readonly queries: string[] = [];
  /** Bodies by `epoch.msn`; every request for a segment gets one of its own, the newest is last. */
  readonly bodies = new Map<string, GrowingBody[]>();
  /** Requests for segments that are open now. */
  open = 0;
  openMost = 0;
  /** Statuses other than 200, by path. */
  readonly refusals = new Map<string, number>();
  unreachable = false;
  /** What the server says of the connection. */
  hint: string | null = null;
  mediaPlaylist = '';
  /** The one rendition of the multivariant playlist. */
  variant = 'source/index.m3u8';
  /** Lines of further renditions. */
  rungs = '';

  fetch = async (url: string, init: RequestInit): Promise<Response> => {
    const { pathname: path, search } = new URL(url);
    this.requests.push(path);
    if (search) this.queries.push(path + search);
    await Promise.resolve();
    if (this.unreachable) throw new TypeError('fetch failed');
    const refusal = this.refusals.get(path);
    if (refusal !== undefined) return new Response('', { status: refusal });
    if (path === '/live/x/index.m3u8') return new Response(`#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.42c01e",RESOLUTION=1280x720\n${this.variant}\n${this.rungs}`);
    if (path.endsWith('/index.m3u8')) {
      await this.heldPlaylists.get(path)?.released;
      return new Response(this.playlists.get(path) ?? this.mediaPlaylist);
    }
    if (path.endsWith('.init.mp4')) {
      await this.heldInits.get(path)?.released;
      return new Response(initBytes());
    }
    return this.segment(path, init.signal ?? null);
  };

  private readonly heldInits = new Map<string, { released: Promise<void>; release: () => void }>();
  private readonly heldPlaylists = new Map<string, { released: Promise<void>; release: () => void }>();
  /** Playlists other than that of `source`, by path. */
  readonly playlists = new Map<string, string>();

  /** The playlist of a rung that does not run yet; gives what lets it be answered. */
  holdPlaylist(rendition: string): () => void {
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.heldPlaylists.set(`/live/x/${rendition}/index.m3u8`, { released, release });
    return release;
  }

  /** Requests for the init section of `epoch` are not answered until it is released. */
  holdInit(epoch: number): void {
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.heldInits.set(`/live/x/source/${epoch}.init.mp4`, { released, release });
  }

  releaseInit(epoch: number): void {
    this.heldInits.get(`/live/x/source/${epoch}.init.mp4`)?.release();
  }

  /** The body of the last request for a segment. */
  body(name: string): GrowingBody {
    const body = this.bodies.get(name)?.at(-1);
    if (!body) throw new Error(`nobody asked for ${name}; asked for: ${this.requests.join(' ')}`);
    return body;
  }

  count(part: string): number {
    return this.requests.filter((path) => path.includes(part)).length;
  }

  /** The playlist while `msn` grows. */
  live(epoch: number, msn: number, parts = 0): void {
    this.mediaPlaylist = [
      '#EXTM3U', '#EXT-X-TARGETDURATION:2', `#EXT-X-MEDIA-SEQUENCE:${msn - 1}`, `#EXT-X-MAP:URI="${epoch}.init.mp4"`,
      '#EXTINF:2,', `${epoch}.${msn - 1}.m4s`,
      ...new Array<string>(parts).fill('#EXT-X-PART:DURATION=0.2,URI="p"'), `#EXT-X-PREFETCH:${epoch}.${msn}.m4s`, `#EXT-X-PREFETCH:${epoch}.${msn + 1}.m4s`, '',
    ].join('\n');
  }

  private segment(path: string, signal: AbortSignal | null): Response {
    const name = path.replace(/^\/live\/x\/((source|1080p)\/)?/, '').replace('.m4s', '');
    let counted = true;
    const release = (): void => {
      if (counted) this.open -= 1;
      counted = false;
    };
    const body = new GrowingBody(release);
    this.bodies.set(name, [...(this.bodies.get(name) ?? []), body]);
    this.open += 1;
    this.openMost = Math.max(this.openMost, this.open);
    signal?.addEventListener('abort', () => {
      body.abort();
      release();
    });
    const end = body.end.bind(body);
    body.end = (): void => {
      end();
      release();
    };
    return new Response(body.stream, { headers: this.hint === null ? {} : { 'CMSD-Dynamic': this.hint } });
  }
}

/** What a loader yielded. */
export class Recorder implements LoaderOutput {
  readonly chunks: string[] = [];
  readonly states: LoaderState[] = [];
  readonly errors: PlayerError[] = [];
  readonly inits: number[] = [];
  readonly lost_: string[] = [];
  splices = 0;
  names: string[] = [];

  init(_init: unknown, _mime: string, epoch: number): void {
    this.inits.push(epoch);
  }

  chunk(chunk: { runs: { decodeTime: number }[] }, at: { rendition: string; epoch: number; msn: number }): void {
    const where = at.rendition === 'source' || at.rendition === '1080p' ? '' : `${at.rendition}/`;
    this.chunks.push(`${where}${at.epoch}.${at.msn}@${chunk.runs[0]?.decodeTime}`);
  }

  variants(variants: readonly { name: string }[]): void {
    this.names = variants.map((variant) => variant.name);
  }

  splice(): void {
    this.splices += 1;
  }

  lost(rendition: string): void {
    this.lost_.push(rendition);
  }

  state(state: LoaderState): void {
    this.states.push(state);
  }

  surprise(error: PlayerError): void {
    this.errors.push(error);
  }
}

/** Clock and server as a loader wants them; chance always says a half. */
export function environment(clock: VirtualClock, server: FakeServer): LoaderEnvironment {
  return { fetch: server.fetch, nowMs: () => clock.nowMs, sleep: clock.sleep, random: () => 0.5 };
}

/** Chunks of 0.5 s each, numbered by decode time. */
export function halfSecond(index: number): Uint8Array {
  return chunkBytes({ decodeTime: index * 45_000, duration: 45_000, keyframe: index % 4 === 0 });
}

export { LOADER_TIMES };
