// The player: one broadcast in one media element.
//
// In → Out: an element and the address of a multivariant playlist → picture and sound, typed events, figures.
// It owns the loader and the playback, decides what the viewer is told, and follows the page (sleep, wake, autoplay).
// Spec: HTML, "Media elements" (autoplay, play()); Page Visibility; Page Lifecycle (freeze, resume).

import { Adaptation, type Rendition } from './adaptation.ts';
import { type ClockEstimate, localNow, ServerClock } from './clock.ts';
import type { Shortfall } from './edge.ts';
import { PlayerError } from './errors.ts';
import { Emitter } from './events.ts';
import { LATENCY_POLICY, type LatencyPolicy } from './latency.ts';
import type { Chunk } from './boxes.ts';
import { type ChunkPlace, Loader, type LoaderState } from './loader.ts';
import { Playback } from './playback.ts';
import { NativeRenderer, playsHlsNatively } from './renderer/native.ts';
import { mediaSourceClass } from './renderer/mse.ts';
import type { RendererKind } from './renderer/renderer.ts';
import type { LoaderEnvironment } from './segment_request.ts';

/** How it stands, in the words a page would branch on. */
export type Status =
  /** Asking the server, or waiting for the first picture. */
  | 'connecting'
  | 'playing'
  /** The picture stands still, and media should be coming. */
  | 'buffering'
  /** Paused by the viewer. */
  | 'paused'
  /** The browser wants a gesture before it plays anything at all. */
  | 'blocked'
  /** The publisher is away; the picture comes back by itself. */
  | 'away'
  /** There is no such broadcast now; it is looked for again and again. */
  | 'offline'
  | 'ended'
  /** The server cannot be reached; it is tried again and again. */
  | 'unreachable'
  /** The player has given up; see the `error` event. */
  | 'failed';

/** Events of a player and what they carry. */
export interface PlayerEvents {
  status: Status;
  /** The first picture is on screen, so many milliseconds after construction. */
  firstframe: { sinceStartMs: number };
  /** The picture stood still for so long and moves again. */
  stall: { durationMs: number };
  /** The browser allowed playback only without sound: offer a way to turn it on. */
  muted: { reason: 'autoplay' };
  /** The qualities to choose from are others now, best first. */
  renditions: readonly Rendition[];
  /** Another rendition plays, or was chosen. `choice` is `auto` or a name. */
  rendition: { name: string | null; choice: string };
  error: PlayerError;
}

/** Options of a player; all have defaults. */
export interface PlayerOptions {
  /** Start without sound. Default: with sound where the browser allows it, else without. */
  muted?: boolean;
  /** Start playing by itself. Default true. */
  autoplay?: boolean;
  /** Where the server tells its time; null turns the latency display off. Default `/api/v1/time` of the playlist's host. */
  timeUrl?: string | null;
  /** Changes to the latency policy. */
  latency?: Partial<LatencyPolicy>;
  /** A rendition's name, or `auto`, which is the default. */
  rendition?: string;
  /** Spare the viewer's data: nothing above 480 lines. Default: what the browser says the viewer wants. */
  dataSaver?: boolean;
}

/** Figures of a player at one moment. Times in milliseconds. */
export interface Stats {
  status: Status;
  renderer: RendererKind | null;
  /** Server's time now minus the time at which the shown moment was produced; null while unknown. */
  latencyMs: number | null;
  /** Media after the playhead. */
  bufferMs: number;
  /** Distance to the live edge that the controller wants, and has. */
  targetMs: number;
  distanceMs: number | null;
  rate: number;
  /** How far arrivals fell short of the live edge in the last 20 s: what the buffer has to cover. */
  shortfall: Shortfall;
  /** Times and milliseconds the picture stood still for lack of media that was due. */
  stalls: number;
  stalledMs: number;
  /** Milliseconds for which sound went on and no new picture was shown, beyond half a second each time. */
  frozenMs: number;
  /** Seeks of the player's own. */
  jumps: number;
  /** Times the playlist was read again after a surprise. */
  resyncs: number;
  frames: number;
  droppedFrames: number;
  bytes: number;
  epoch: number | null;
  msn: number | null;
  /** What plays, and what was chosen: a name, or `auto`. */
  rendition: string | null;
  choice: string;
  /** Times another rendition came on. */
  switches: number;
  /** What the path was last seen to carry; null while unknown. */
  provenBps: number | null;
  clock: ClockEstimate | null;
  /** Milliseconds from construction to each step of the join; null before it. */
  join: { initMs: number | null; firstChunkMs: number | null; placedMs: number | null; firstFrameMs: number | null };
}

/** Plays one broadcast in one element until `destroy`. */
export class Player extends Emitter<PlayerEvents> {
  private readonly policy: LatencyPolicy;
  private readonly clock: ServerClock;
  private loader: Loader | null = null;
  private loaderState: LoaderState = 'connecting';
  private playback: Playback | null = null;
  private native: NativeRenderer | null = null;
  private status_: Status = 'connecting';
  private wantPlay: boolean;
  private blocked = false;
  private failure: PlayerError | null = null;
  private rebuilds: number[] = [];
  private at: { epoch: number; msn: number; rendition: string } | null = null;
  private switches = 0;
  private readonly adaptation: Adaptation;
  private bytesBefore = 0;
  private resyncsBefore = 0;
  private pauseTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly tickTimer: ReturnType<typeof setInterval>;
  private readonly startedMs = performance.now();
  private readonly join: Stats['join'] = { initMs: null, firstChunkMs: null, placedMs: null, firstFrameMs: null };
  private readonly ac = new AbortController();
  private readonly url: string;

  constructor(
    readonly video: HTMLVideoElement,
    url: string,
    options: PlayerOptions = {},
  ) {
    super();
    this.url = new URL(url, document.baseURI).href;
    this.policy = { ...LATENCY_POLICY, ...options.latency };
    this.wantPlay = options.autoplay ?? true;
    const timeUrl = options.timeUrl === undefined ? new URL('/api/v1/time', this.url).href : options.timeUrl;
    this.clock = new ServerClock(timeUrl);
    this.adaptation = new Adaptation(ENVIRONMENT, options.dataSaver ?? savesData());
    if (options.rendition) this.adaptation.choose(options.rendition, null);
    if (options.muted) video.muted = true;
    video.playsInline = true;
    this.listen();
    this.tickTimer = setInterval(() => this.tick(), TICK_MS);
    performance.mark('nearcast:start');
    this.begin();
  }

  get status(): Status {
    return this.status_;
  }

  /** The qualities there are, best first; empty before the first playlist, and where the browser plays by itself. */
  get renditions(): readonly Rendition[] {
    return this.adaptation.renditions;
  }

  /** The rendition that is on screen; null before the first picture. */
  get rendition(): string | null {
    return this.at?.rendition ?? null;
  }

  /** What was chosen: a rendition's name, or `auto`. */
  get choice(): string {
    return this.adaptation.choice;
  }

  /** Chooses a rendition by its name, or leaves it to the player with `auto`. */
  setRendition(choice: string): void {
    if (choice === this.choice) return;
    this.adaptation.choose(choice, this.loader);
    this.emit('rendition', { name: this.rendition, choice });
  }

  /** Whether `auto` spares the viewer's data. */
  get dataSaver(): boolean {
    return this.adaptation.saveData;
  }

  set dataSaver(on: boolean) {
    this.adaptation.saveData = on;
    this.emit('rendition', { name: this.rendition, choice: this.choice });
  }

  /** Plays from the live edge. Resolves once the browser has agreed or refused. */
  async play(): Promise<void> {
    this.wantPlay = true;
    this.blocked = false;
    clearTimeout(this.pauseTimer);
    if (!this.loader && !this.native && !this.failure) this.begin();
    await this.requestPlay();
    this.refresh();
  }

  /** Stands still; after ten seconds the connection is given up too. */
  pause(): void {
    this.wantPlay = false;
    this.video.pause();
    this.sleepSoon();
    this.refresh();
  }

  /** Moves to the live edge now. */
  goLive(): void {
    this.playback?.jumpToEdge();
  }

  /** Frees the element and every connection. The player is of no more use afterwards. */
  destroy(): void {
    this.ac.abort();
    clearInterval(this.tickTimer);
    clearTimeout(this.pauseTimer);
    this.clock.stop();
    this.stopLoading();
    this.playback?.destroy();
    this.playback = null;
    this.native?.destroy();
    this.native = null;
  }

  /** Figures of this moment. */
  stats(): Stats {
    const playback = this.playback;
    const quality = this.video.getVideoPlaybackQuality?.();
    const distanceS = playback?.distanceS ?? null;
    return {
      status: this.status_,
      renderer: playback ? 'mse' : (this.native?.kind ?? null),
      latencyMs: this.latencyMs(),
      bufferMs: (playback?.bufferS ?? 0) * 1000,
      targetMs: (playback?.targetS ?? 0) * 1000,
      distanceMs: distanceS === null ? null : distanceS * 1000,
      rate: this.video.playbackRate,
      shortfall: playback?.edge.shortfall(performance.now()) ?? { p50Ms: 0, p99Ms: 0 },
      stalls: playback?.stalls ?? 0,
      stalledMs: playback?.stalledMs ?? 0,
      frozenMs: playback?.frozenMs ?? 0,
      jumps: playback?.jumps ?? 0,
      resyncs: this.resyncsBefore + (this.loader?.resyncs ?? 0),
      frames: quality?.totalVideoFrames ?? 0,
      droppedFrames: quality?.droppedVideoFrames ?? 0,
      bytes: this.bytesBefore + (this.loader?.bytes ?? 0),
      epoch: this.at?.epoch ?? null,
      msn: this.at?.msn ?? null,
      rendition: this.rendition,
      choice: this.choice,
      switches: this.switches,
      provenBps: this.adaptation.provenBps,
      clock: this.clock.known,
      join: { ...this.join },
    };
  }

  private latencyMs(): number | null {
    const now = this.clock.now();
    const position = this.video.currentTime;
    const wall = this.playback
      ? this.playback.begun ? this.playback.timeline.wallAt(position) : null
      : (this.native?.wallAt(position) ?? null);
    return now === null || wall === null ? null : now - wall;
  }

  private begin(): void {
    if (mediaSourceClass()) {
      this.playback ??= this.newPlayback();
      this.playback.begun = false;
      this.playback.expectBurst();
      this.load();
    } else if (playsHlsNatively(this.video)) {
      this.native = new NativeRenderer(this.video, this.url);
      this.loaderState = 'live';
    } else {
      this.fail(new PlayerError('unsupported', 'this browser plays neither Media Source Extensions nor HLS', true));
      return;
    }
    this.watchFirstFrame();
    if (this.wantPlay) void this.requestPlay();
  }

  private newPlayback(): Playback {
    return new Playback(this.video, this.policy, () => performance.now(), {
      ready: () => {
        this.join.placedMs ??= this.sinceStart();
        if (this.wantPlay && this.video.paused) void this.requestPlay();
        this.refresh();
      },
      stalled: (durationMs) => this.emit('stall', { durationMs }),
      failed: (error) => this.rebuild(error),
    });
  }

  private load(): void {
    this.loaderState = 'connecting';
    this.loader = new Loader(this.url, ENVIRONMENT, {
      init: (init, mime, epoch) => {
        this.join.initMs ??= this.sinceStart();
        this.playback?.setInit(init, mime, epoch);
      },
      chunk: (chunk, at) => this.take(chunk, at),
      variants: (variants) => {
        this.adaptation.setVariants(variants);
        this.emit('renditions', this.renditions);
      },
      splice: () => this.playback?.splice(),
      lost: (name) => this.adaptation.noteLost(name),
      state: (state) => {
        if (state !== 'live') this.playback?.expectBurst();
        this.loaderState = state;
        this.refresh();
      },
      surprise: (error) => this.emit('error', error),
    });
    void this.loader.run();
  }

  private take(chunk: Chunk, at: ChunkPlace): void {
    if (this.join.firstChunkMs === null) {
      this.join.firstChunkMs = this.sinceStart();
      performance.mark('nearcast:first-chunk');
    }
    const before = this.at?.rendition;
    // Every segment begins with a random access point.
    const keyframe = this.at?.msn !== at.msn;
    this.at = at;
    this.playback?.append(chunk, at.arrivalMs, this.adaptation.disturbs);
    const endS = this.playback?.endS ?? null;
    if (endS !== null) {
      this.adaptation.noteChunk({ arrivalMs: at.arrivalMs, endMs: endS * 1000, bytes: chunk.bytes.byteLength, keyframe }, at.rendition);
    }
    if (before === at.rendition) return;
    if (before !== undefined) this.switches += 1;
    this.emit('rendition', { name: at.rendition, choice: this.choice });
  }

  private stopLoading(): void {
    this.adaptation.stop();
    if (!this.loader) return;
    this.bytesBefore += this.loader.bytes;
    this.resyncsBefore += this.loader.resyncs;
    this.loader.stop();
    this.loader = null;
  }

  /** The renderer is broken: begin again from a random access point, but not for ever. */
  private rebuild(error: PlayerError): void {
    const now = performance.now();
    this.rebuilds = [...this.rebuilds.filter((at) => now - at < REBUILD_WINDOW_MS), now];
    this.stopLoading();
    this.playback?.destroy();
    this.playback = null;
    if (error.fatal || this.rebuilds.length > REBUILDS_MAX) {
      this.fail(error.fatal ? error : new PlayerError('media', error.message, true, error));
      return;
    }
    this.emit('error', error);
    this.begin();
  }

  private fail(error: PlayerError): void {
    this.failure = error;
    // Listeners of a failure at construction subscribe right after it.
    queueMicrotask(() => {
      this.emit('error', error);
      this.refresh();
    });
  }

  /** Plays with sound, else without, else waits for a gesture. */
  private async requestPlay(): Promise<void> {
    try {
      await this.video.play();
      this.blocked = false;
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      if (!this.video.muted) {
        this.video.muted = true;
        this.emit('muted', { reason: 'autoplay' });
        await this.requestPlay();
      } else {
        this.blocked = true;
        this.refresh();
      }
    }
  }

  /** Nobody is looking: after a while the connection is given up. */
  private sleepSoon(): void {
    clearTimeout(this.pauseTimer);
    this.pauseTimer = setTimeout(() => this.stopLoading(), PAUSE_KEEPS_LOADING_MS);
  }

  private listen(): void {
    const { signal } = this.ac;
    this.video.addEventListener('playing', () => this.refresh(), { signal });
    this.video.addEventListener('waiting', () => this.refresh(), { signal });
    this.video.addEventListener(
      'pause',
      () => {
        if (!this.wantPlay || !this.video.paused || !this.playback?.begun) return;
        // Browsers put hidden pictures to sleep; media keys and the browser's own controls pause for the viewer.
        if (document.visibilityState === 'hidden') this.sleepSoon();
        else this.pause();
      },
      { signal },
    );
    this.video.addEventListener(
      'play',
      () => {
        if (!this.wantPlay) void this.play();
      },
      { signal },
    );
    const wake = (): void => {
      if (document.visibilityState !== 'visible') return;
      this.clock.start(2);
      if (this.wantPlay && this.video.paused && this.playback?.begun) void this.play();
      this.tick();
    };
    document.addEventListener('visibilitychange', wake, { signal });
    document.addEventListener('resume', wake, { signal });
  }

  private watchFirstFrame(): void {
    if (this.join.firstFrameMs !== null) return;
    const shown = (): void => {
      if (this.join.firstFrameMs !== null || this.ac.signal.aborted) return;
      this.join.firstFrameMs = this.sinceStart();
      performance.mark('nearcast:first-frame');
      this.emit('firstframe', { sinceStartMs: this.join.firstFrameMs });
      // Asked only now: nothing may compete with the first picture.
      this.clock.start();
      this.refresh();
    };
    if ('requestVideoFrameCallback' in this.video) this.video.requestVideoFrameCallback(shown);
    else (this.video as HTMLVideoElement).addEventListener('loadeddata', shown, { once: true });
  }

  private tick(): void {
    const away = this.loaderState === 'away' || this.loaderState === 'ended' || this.loaderState === 'offline';
    this.playback?.tick(away);
    if (this.loader && this.playback?.begun) this.adapt(this.loader, this.playback);
    this.refresh();
  }

  private adapt(loader: Loader, playback: Playback): void {
    const { clientWidth, clientHeight } = this.video;
    const scale = window.devicePixelRatio || 1;
    this.adaptation.tick(loader, {
      bufferS: playback.bufferS,
      targetS: playback.targetS,
      standing: playback.standing,
      // A floating picture has a size that the page does not know.
      box: clientWidth > 0 && document.pictureInPictureElement !== this.video ? { width: clientWidth * scale, height: clientHeight * scale } : null,
    });
  }

  private refresh(): void {
    const status = this.derive();
    if (status === this.status_ || this.ac.signal.aborted) return;
    this.status_ = status;
    this.emit('status', status);
  }

  private derive(): Status {
    if (this.failure) return 'failed';
    if (this.blocked) return 'blocked';
    if (!this.wantPlay) return 'paused';
    if (this.native) return this.video.readyState >= 3 ? 'playing' : 'connecting';
    const shown = this.join.firstFrameMs !== null && this.playback?.begun === true;
    const moving = shown && !this.playback?.standing;
    const state = this.loaderState;
    // What is buffered plays out before the viewer hears that nothing more comes.
    if (moving && (state === 'live' || state === 'connecting' || (this.playback?.bufferS ?? 0) > 0.05)) return 'playing';
    if (state === 'live') return shown ? 'buffering' : 'connecting';
    if (state === 'connecting') return shown ? 'buffering' : 'connecting';
    return state;
  }

  private sinceStart(): number {
    return performance.now() - this.startedMs;
  }
}

const TICK_MS = 50;
const PAUSE_KEEPS_LOADING_MS = 10_000;
const REBUILDS_MAX = 4;
const REBUILD_WINDOW_MS = 60_000;

const ENVIRONMENT: LoaderEnvironment = {
  fetch: (url: string, init: RequestInit) => fetch(url, init),
  nowMs: () => performance.now(),
  sleep,
  random: Math.random,
};

/** The viewer has asked the browser to spare data. */
function savesData(): boolean {
  return (navigator as { connection?: { saveData?: boolean } }).connection?.saveData === true;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}

/** Local Unix time in milliseconds, for pages that compare it with stamps in the picture. */
export { localNow };
