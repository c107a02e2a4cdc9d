// The LHLS loader: reads a playlist once, then counts; opens the next segment while this one runs.
//
// In → Out: the address of a multivariant playlist → init sections and chunks in playing order, and how it stands.
// A move to another rendition happens where the next segment begins: all renditions have the same picture under the same
// number. An urgent move begins the current segment again, and says so. `source` is always there: after any surprise on
// another rendition it goes on there, and comes back when that one is ready.
// After any surprise (404, an aborted body, a new epoch, silence) it reads the playlist again, with bounded backoff.
// Spec: design contract "Paths", "Segments"; RFC 8216bis, "Client responsibilities"; community LHLS, "EXT-X-PREFETCH".

import { asPlayerError, PlayerError } from './errors.ts';
import type { Chunk } from './boxes.ts';
import { chunkSeconds, type InitSection, mimeType, parseInit } from './init.ts';
import { bestFirst, initUrl, type ListedSegment, parseMedia, parseMultivariant, segmentUrl, startUrl, type MediaPlaylist, type Variant } from './playlist.ts';
import { type ArrivedChunk, type LoaderEnvironment, SegmentRequest } from './segment_request.ts';
import type { ServerHint } from './server_hint.ts';
import { fetchWhole, StatusError, within } from './whole_answer.ts';

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

/** Where a chunk belongs. */
export interface ChunkPlace {
  rendition: string;
  epoch: number;
  msn: number;
  arrivalMs: number;
}

/** Who receives what the loader yields. */
export interface LoaderOutput {
  init(init: InitSection, mime: string, epoch: number): void;
  chunk(chunk: Chunk, at: ChunkPlace): void;
  /** The renditions there are, best first. */
  variants(variants: readonly Variant[]): void;
  /** What follows begins again in the middle of what was delivered, in another rendition. */
  splice(): void;
  /** A rendition that was wanted does not come. */
  lost(rendition: string): void;
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
  /** A rendition other than `source` that is silent this long is compared with `source`. */
  rungSilentMs: 600,
  /** How long a rendition that was silent while `source` went on is left alone. */
  avoidMs: 4_000,
  /** How long a rendition's playlist is waited for while nothing plays. */
  rungPatienceMs: 250,
  /** Between giving up what fills the path and asking for something smaller. */
  yieldMs: 60,
  playlistTimeoutMs: 5_000,
  /** A rendition that is made on demand takes a moment, and a GOP. */
  rungStartMs: 15_000,
  backoffFirstMs: 150,
  backoffMaxMs: 2_000,
} as const;

interface Point {
  epoch: number;
  msn: number;
}

interface Start extends Point {
  variant: Variant;
}

/** Loads one broadcast until `stop`. */
export class Loader {
  /** Times that the playlist had to be read again after a surprise. */
  resyncs = 0;
  /** Bytes of media delivered. */
  bytes = 0;
  /** Bytes of media that have come, those of unfinished chunks included. */
  received = 0;
  /** What the server said last of the connection; whoever has read it sets it to null. */
  hint: ServerHint | null = null;
  private readonly abort = new AbortController();
  private state: LoaderState | null = null;
  /** Best first; the first, `source`, is always there. */
  private variants: Variant[] = [];
  /** The epoch for which the list of variants was read; null when it has to be read again. */
  private variantsEpoch: number | null = null;
  private playing: Variant | null = null;
  private goal: { name: string; urgent: boolean; started: boolean } | null = null;
  /** Where the goal can be had from the next boundary on. */
  private ready: Start | null = null;
  /** An urgent move: it replaces the current segment. */
  private cut: SegmentRequest | null = null;
  private splicing = false;
  /** The current segment was given up for a move that begins in a moment. */
  private yielding = false;
  private moving = new AbortController();
  private avoid: { name: string; untilMs: number } | null = null;
  private current: SegmentRequest | null = null;
  private currentS = 0;
  private currentSinceMs = 0;
  private targetDurationS = 2;
  private inits = new Map<string, Promise<InitSection>>();
  private initInUse = '';
  /** The segment being read, and how many of its bytes were delivered: a repeated request goes on from there. */
  private resume: (Point & { rendition: string; bytes: number }) | null = null;
  private failures = 0;
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
        const start = await this.locate();
        if (start) {
          await this.follow(start);
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
    this.moving.abort();
  }

  /**
   * Goes over to another rendition at the next boundary, or, if `urgent`, at once: then nothing of the old one is waited
   * for any more. It stays wanted until another one is, or until `lost` says that it does not come.
   */
  moveTo(name: string, urgent = false): void {
    this.cancelMove();
    this.goal = { name, urgent, started: false };
    this.beginMove();
    this.current?.poke();
  }

  /** The rendition that chunks come from; null before the first. */
  get rendition(): string | null {
    return this.playing?.name ?? null;
  }

  /** Seconds of media that have come of the current segment, and how long it should become. */
  get segment(): { phaseS: number; targetS: number } {
    return { phaseS: this.currentS, targetS: this.targetDurationS };
  }

  /** The address of the newest complete segment of `source`; null while there may be none. */
  get sealedUrl(): string | null {
    const [anchor] = this.variants;
    return anchor && this.current && this.current.msn > 0 ? segmentUrl(anchor.url, this.current.epoch, this.current.msn - 1) : null;
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
  private async locate(): Promise<Start | null> {
    const rung = this.playing && this.playing.name !== this.variants[0]?.name && !this.isAvoided(this.playing) ? this.playing : null;
    const isFirst = this.variants.length === 0;
    const rungMedia = rung && this.media(rung).catch(() => null);
    const media = await this.readMedia();
    const anchor = this.variants[0];
    if (!media || !anchor) return null;
    this.targetDurationS = media.targetDurationS;
    const edge = media.prefetch[0];
    if (media.ended) {
      this.setState('ended');
      this.variants = [];
      return null;
    }
    if (!edge) {
      this.setState('away');
      return null;
    }
    if (isFirst) this.variantsEpoch = edge.epoch;
    const start = { variant: anchor, epoch: edge.epoch, msn: edge.msn };
    const own = rungMedia && (await within(this.env, rungMedia, LOADER_TIMES.rungPatienceMs, () => null))?.prefetch[0];
    if (rung && own && own.epoch === edge.epoch && own.msn >= edge.msn - 1) Object.assign(start, { variant: rung, msn: own.msn });
    const resume = this.resume;
    // A path that is too narrow for source does not get all of its segment once more.
    if (this.goal?.urgent && start.variant === anchor && resume?.msn === start.msn && resume.epoch === start.epoch && resume.bytes > 0) start.msn += 1;
    // A playlist from a cache may be older than what was already delivered.
    if (resume && resume.epoch === start.epoch && resume.msn > start.msn) start.msn = resume.msn;
    return start;
  }

  private media(variant: Variant): Promise<MediaPlaylist> {
    return this.text(variant.url, this.abort.signal).then((text) => parseMedia(text, variant.url));
  }

  /** The media playlist of `source`, whatever plays. */
  private async readMedia(): Promise<MediaPlaylist | null> {
    try {
      let early: Promise<string> | null = null;
      if (this.variants.length === 0) {
        // Both playlists are asked for at once: one round trip less until the first picture.
        const guess = new URL(LIKELY_MEDIA_PLAYLIST, this.url).href;
        if (this.failures === 0) {
          early = this.text(guess, this.abort.signal);
          early.catch(() => undefined);
        }
        await this.readVariants();
        if (this.variants[0]?.url !== guess) early = null;
      }
      const [anchor] = this.variants;
      if (!anchor) return null;
      return early ? parseMedia(await early, anchor.url) : await this.media(anchor);
    } catch (error) {
      const known = asPlayerError(error, 'network');
      if (known instanceof StatusError && known.isMissing) {
        this.variants = [];
        this.setState('offline');
      } else {
        // One lost connection is no news for the viewer.
        if (this.silent) this.setState('unreachable');
        this.report(known);
      }
      return null;
    }
  }

  private async readVariants(): Promise<void> {
    this.variants = bestFirst(parseMultivariant(await this.text(this.url, this.abort.signal), this.url));
    this.output.variants(this.variants);
  }

  private async text(url: string, signal: AbortSignal, timeoutMs: number = LOADER_TIMES.playlistTimeoutMs): Promise<string> {
    return (await fetchWhole(this.env, url, signal, timeoutMs)).text();
  }

  private open(variant: Variant, { epoch, msn }: Point): SegmentRequest {
    const target = { rendition: variant.name, epoch, msn, url: segmentUrl(variant.url, epoch, msn) };
    return new SegmentRequest(this.env, target, this.abort.signal, {
      bytes: (count) => {
        this.received += count;
      },
      hint: (hint) => {
        this.hint = hint;
      },
    });
  }

  /** Plays on from `start` until a surprise. */
  private async follow(start: Start): Promise<void> {
    const scope = new AbortController();
    let current = this.adopt(this.open(start.variant, start), start.variant);
    let next: SegmentRequest | null = null;
    const init = this.init(start.variant, start.epoch, scope.signal);
    // Held open like the segment while the publisher of a new epoch is awaited, so nothing waits for it before a chunk does.
    init.then((section) => {
      if (this.current?.target.rendition === start.variant.name) this.useInit(start, section);
    }).catch(() => undefined);
    this.beginMove();
    try {
      for (;;) {
        if (this.yielding) await this.env.sleep(LOADER_TIMES.yieldMs / 4, this.abort.signal);
        else await current.ready(QUIET_STEP_MS);
        if (this.stopped) return;
        if (this.yielding && !this.cut) continue;
        if (this.cut) {
          next?.cancel();
          next = null;
          current = this.adopt(this.cut, this.named(this.cut) ?? start.variant);
          this.splicing = true;
        }
        const arrived = current.take();
        if (arrived.length > 0) {
          const variant = this.playing ?? start.variant;
          const section = await this.soon(this.init(variant, current.epoch, scope.signal));
          this.useInit({ ...after(current), variant }, section);
          this.deliver(current, arrived, section);
          next = this.lookAhead(current, next);
        } else if (current.phase === 'ended' || (next?.hasChunks && this.quietMs(current) >= LOADER_TIMES.abandonMs)) {
          current.cancel();
          const following: SegmentRequest = next ?? this.open(this.variantAfter(current), after(current));
          current = this.adopt(following, this.named(following) ?? start.variant);
          this.resume = { rendition: current.target.rendition, epoch: current.epoch, msn: current.msn, bytes: 0 };
          next = null;
          this.refreshVariants(current.epoch);
        } else if (current.phase === 'failed') {
          const isMissing = current.status === 404 || current.status === 410;
          if (isMissing && !this.onRung) this.resume = null;
          // It has to be started first.
          if (isMissing && this.goal?.name === current.target.rendition) Object.assign(this.goal, { started: true, urgent: this.splicing });
          this.splicing = false;
          if (current.error) this.report(current.error);
          return;
        } else {
          next = this.lookAhead(current, next);
          if (!(await this.stillThere(current))) return;
        }
      }
    } finally {
      scope.abort();
      this.cancelMove();
      this.current = null;
      current.cancel();
      next?.cancel();
    }
  }

  private adopt(request: SegmentRequest, variant: Variant): SegmentRequest {
    this.current = request;
    this.currentS = 0;
    this.currentSinceMs = this.env.nowMs();
    this.playing = variant;
    this.cut = null;
    if (this.ready?.variant.name === variant.name) this.ready = null;
    if (this.goal?.name === variant.name) this.goal.urgent = false;
    return request;
  }

  private named(request: SegmentRequest): Variant | undefined {
    return this.variants.find((variant) => variant.name === request.target.rendition);
  }

  private get onRung(): boolean {
    return this.playing !== null && this.playing.name !== this.variants[0]?.name;
  }

  private isAvoided(variant: Variant): boolean {
    return this.avoid?.name === variant.name && this.env.nowMs() < this.avoid.untilMs;
  }

  /** The rendition of the segment after `current`. */
  private variantAfter(current: SegmentRequest): Variant {
    const { ready, playing } = this;
    if (ready && ready.epoch === current.epoch && ready.msn <= current.msn + 1) return ready.variant;
    if (!playing) throw new PlayerError('network', 'no rendition is known');
    return playing;
  }

  /** The request for the next segment: opened half-way, and in the rendition that is wanted by then. */
  private lookAhead(current: SegmentRequest, next: SegmentRequest | null): SegmentRequest | null {
    if (next?.phase === 'failed' && next.target.rendition !== this.playing?.name) {
      this.giveUp(next.target.rendition, next.error);
      next = null;
    }
    const variant = this.variantAfter(current);
    // So near to the boundary a new request would come late: it is the one after that, then.
    const early = this.currentS < this.targetDurationS - TOO_NEAR_S;
    if (next && next.target.rendition !== variant.name && next.lastArrivalMs === null && early) {
      next.cancel();
      next = null;
    }
    if (!next && this.currentS >= this.targetDurationS / 2) return this.open(variant, after(current));
    return next;
  }

  /** Prepares the rendition that is wanted, if another one plays. */
  private beginMove(): void {
    const variant = this.variants.find((one) => one.name === this.goal?.name);
    if (!this.goal || !variant || !this.current || variant.name === this.playing?.name) return;
    this.moving = new AbortController();
    void this.move(variant, this.goal, this.current, this.moving.signal);
  }

  private cancelMove(): void {
    this.moving.abort();
    this.ready = null;
    this.cut?.cancel();
    this.cut = null;
    this.yielding = false;
  }

  private async move(variant: Variant, { urgent, started }: { urgent: boolean; started: boolean }, from: Point, signal: AbortSignal): Promise<void> {
    try {
      const wait = this.isAvoided(variant) ? (this.avoid?.untilMs ?? 0) - this.env.nowMs() : 0;
      if (wait > 0) await this.env.sleep(wait, signal);
      else if (urgent && !started) return await this.cutOver(variant, this.nearest(from), signal);
      let point: Point = from;
      if (variant.name !== this.variants[0]?.name) {
        // Asking for its playlist is what starts a rendition that is made on demand; the answer comes with its first part.
        const text = await this.text(startUrl(variant.url), signal, LOADER_TIMES.rungStartMs);
        const edge: ListedSegment | undefined = parseMedia(text, variant.url).prefetch[0];
        if (!edge) throw new PlayerError('network', `${variant.name} has no growing segment`);
        point = edge;
      }
      await this.init(variant, point.epoch, signal);
      if (signal.aborted) return;
      if (urgent) return await this.cutOver(variant, this.nearest(point), signal);
      this.ready = { variant, epoch: point.epoch, msn: point.msn };
      this.current?.poke();
    } catch (error) {
      if (!signal.aborted) this.giveUp(variant.name, asPlayerError(error, 'network'));
    }
  }

  /** Gives up what comes now, and begins the segment `at` in another rendition. */
  private async cutOver(variant: Variant, at: Point, signal: AbortSignal): Promise<void> {
    // A full queue drops what a new connection begins with: what fills it goes first.
    this.current?.cancel();
    this.yielding = true;
    await this.env.sleep(LOADER_TIMES.yieldMs, signal);
    this.yielding = false;
    if (signal.aborted) return;
    this.init(variant, at.epoch, this.abort.signal).catch(() => undefined);
    this.cut = this.open(variant, at);
    this.current?.poke();
  }

  /** Where an urgent move begins: near its end, a segment is not worth beginning again. */
  private nearest(point: Point): Point {
    const isCurrent = this.current?.msn === point.msn;
    return isCurrent && this.currentS > NEARLY_OVER * this.targetDurationS ? after(point) : point;
  }

  private giveUp(rendition: string, error: PlayerError | null): void {
    this.cancelMove();
    this.goal = null;
    if (this.stopped) return;
    if (error) this.report(error);
    this.variantsEpoch = null;
    this.output.lost(rendition);
  }

  /** A publisher that comes back may have another size, and a rendition may have gone: the list is read again, in the background. */
  private refreshVariants(epoch: number): void {
    if (this.variantsEpoch === epoch) return;
    this.variantsEpoch = epoch;
    this.readVariants().then(() => this.beginMove()).catch(() => undefined);
  }

  private init(variant: Variant, epoch: number, signal: AbortSignal): Promise<InitSection> {
    const key = `${variant.name}/${epoch}`;
    let found = this.inits.get(key);
    if (!found) {
      for (const old of this.inits.keys()) if (!old.endsWith(`/${epoch}`)) this.inits.delete(old);
      found = this.fetchInit(initUrl(variant.url, epoch), signal);
      this.inits.set(key, found);
      const forget = (): unknown => this.inits.get(key) === found && this.inits.delete(key);
      signal.addEventListener('abort', forget);
      found.then(() => signal.removeEventListener('abort', forget), forget);
    }
    return found;
  }

  private async fetchInit(url: string, signal: AbortSignal): Promise<InitSection> {
    const response = await this.env.fetch(url, { signal, cache: 'no-store', credentials: 'omit', priority: 'high' });
    if (!response.ok) throw new StatusError(response.status, url);
    return parseInit(new Uint8Array(await response.arrayBuffer()));
  }

  /** Announces the init section of what is delivered next, once. */
  private useInit({ variant, epoch }: Start, section: InitSection): void {
    const key = `${variant.name}/${epoch}`;
    if (key === this.initInUse || this.stopped) return;
    this.initInUse = key;
    this.output.init(section, mimeType(section, variant.codecs), epoch);
  }

  /** What `promise` gives, or a time-out: chunks are here already. */
  private soon<T>(promise: Promise<T>): Promise<T> {
    return within(this.env, promise, LOADER_TIMES.playlistTimeoutMs, (): never => {
      throw new PlayerError('network', 'the init section does not come');
    });
  }

  /** Hands on what has not been handed on before. */
  private deliver({ target }: SegmentRequest, arrived: ArrivedChunk[], init: InitSection): void {
    const { rendition, epoch, msn } = target;
    for (const { chunk, arrivalMs, offset } of arrived) {
      this.currentS += chunkSeconds(chunk, init);
      const same = this.resume?.epoch === epoch && this.resume.msn === msn ? this.resume : null;
      const again = same !== null && same.rendition !== rendition && same.bytes > 0;
      if (again || this.splicing) this.output.splice();
      this.splicing = false;
      if (again) this.resume = null;
      else if (same && same.rendition === rendition && offset < same.bytes) continue;
      this.resume = { rendition, epoch, msn, bytes: offset + chunk.bytes.byteLength };
      this.failures = 0;
      this.lastChunkMs = arrivalMs;
      this.bytes += chunk.bytes.byteLength;
      this.output.chunk(chunk, { rendition, epoch, msn, arrivalMs });
      this.setState('live');
    }
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
    const due = (everyMs: number): boolean => this.env.nowMs() - this.lastCheckMs >= everyMs * (0.75 + this.env.random() / 2);
    if (this.onRung && quietMs >= LOADER_TIMES.rungSilentMs && due(LOADER_TIMES.rungSilentMs)) {
      this.lastCheckMs = this.env.nowMs();
      if (await this.isLeftBehind(current)) return false;
    }
    if (quietMs < LOADER_TIMES.awayMs) return true;
    this.setState('away');
    if (current.lastArrivalMs !== null && quietMs >= LOADER_TIMES.reopenMs) return false;
    if (!due(LOADER_TIMES.recheckMs)) return true;
    this.lastCheckMs = this.env.nowMs();
    const media = await this.readMedia();
    const edge = media?.prefetch[0];
    if (!media || media.ended) return false;
    // An older number is an older playlist, from a cache.
    return !edge || (edge.epoch === current.epoch && edge.msn <= current.msn);
  }

  /** Has `source` gone on while the rendition that plays stands still, on a network that answers? */
  private async isLeftBehind(current: SegmentRequest): Promise<boolean> {
    const [anchor] = this.variants;
    const media = anchor && (await this.media(anchor).catch(() => null));
    const edge = media?.prefetch[0];
    if (!edge || current.hasChunks || current.over) return false;
    const ahead = edge.epoch !== current.epoch || edge.msn > current.msn || (edge.msn === current.msn && media.partsS - this.currentS >= BEHIND_S);
    if (ahead) this.avoid = { name: current.target.rendition, untilMs: this.env.nowMs() + LOADER_TIMES.avoidMs };
    return ahead;
  }
}

const QUIET_STEP_MS = 250;
const BEHIND_S = 0.5;
const TOO_NEAR_S = 0.25;
const NEARLY_OVER = 0.7;
/** Every broadcast has the rendition `source`. */
const LIKELY_MEDIA_PLAYLIST = 'source/index.m3u8';

function after(request: Point): Point {
  return { epoch: request.epoch, msn: request.msn + 1 };
}
