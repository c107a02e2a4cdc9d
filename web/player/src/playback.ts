// The playhead of one element: when to begin, where to be, and what to do when it stands still.
//
// In → Out: init sections, chunks and the time → appends to a renderer, seeks and rates of the element, figures.
// It measures (edge, timeline, stalls) and applies what the pure policies (join, latency, recovery) decide.
// Spec: HTML, "Media elements" (waiting, seeking, playbackRate); the policies name their own.

import type { Chunk } from './boxes.ts';
import { bridge } from './bridge.ts';
import { LiveEdge } from './edge.ts';
import { PlayerError } from './errors.ts';
import type { InitSection } from './init.ts';
import { type Burst, BURST_LOOK_MS, burstGrow, burstLook, burstStart, REPLACE_AFTER_S } from './join.ts';
import { type LatencyPolicy, type LatencyState, latencyStart, latencyStep } from './latency.ts';
import { recover } from './recovery.ts';
import { MseRenderer, mediaSourceClass } from './renderer/mse.ts';
import type { Renderer } from './renderer/renderer.ts';
import { Timeline } from './timeline.ts';

/** Told by a playback. */
export interface PlaybackOutput {
  /** Media is there and the playhead is placed: the element should play. */
  ready(): void;
  /** The playhead stood still for `ms` although media should have come. */
  stalled(ms: number): void;
  /** The renderer has failed; a new playback, from a random access point, is needed. */
  failed(error: PlayerError): void;
}

/** One media element, from its first init section on. */
export class Playback {
  readonly timeline = new Timeline();
  readonly edge = new LiveEdge();
  stalls = 0;
  stalledMs = 0;
  /** Milliseconds for which the playhead moved and no new picture was shown, after the first half second of each. */
  frozenMs = 0;
  jumps = 0;
  /** True once the playhead was placed. */
  begun = false;
  /** True while the playhead stands still although it should move. */
  standing = false;
  private renderer: Renderer;
  private init: { section: InitSection; mime: string } | null = null;
  private ends = new Map<number, number>();
  private burst: Burst | null = null;
  private burstTimer: ReturnType<typeof setTimeout> | undefined;
  private awaitingBurst = true;
  /** The current segment comes again, in another rendition; the playhead goes over once it reaches as far. */
  private splicing = false;
  private epoch: number | null = null;
  /** The newest chunk. */
  private last: { arrivalMs: number; endS: number } | null = null;
  /** Where each track begins in the current burst: nothing can be shown before all of them have begun. */
  private starts = new Map<number, number>();
  private latency: LatencyState;
  private lastPositionS = 0;
  private lastMoveMs = 0;
  private ownSeekMs = -Infinity;
  private stallIsPublishers = false;
  private pictures = { count: 0, sinceMs: 0, lookedMs: 0 };

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly policy: LatencyPolicy,
    private readonly nowMs: () => number,
    private readonly output: PlaybackOutput,
  ) {
    this.latency = latencyStart(true, policy);
    this.renderer = this.build();
  }

  /** What follows belongs to a new epoch, or to another rendition. */
  setInit(section: InitSection, mime: string, epoch: number): void {
    this.init = { section, mime };
    // A new publisher session has another path and another clock, and explains why nothing came.
    if (epoch !== this.epoch) this.edge.clear();
    if (this.standing && epoch !== this.epoch) this.stallIsPublishers = true;
    this.epoch = epoch;
    if (!this.renderer.setInit(section, mime)) this.rebuild();
  }

  /** What follows may come as a burst: a join, or a connection that was opened again. */
  expectBurst(): void {
    this.awaitingBurst = true;
  }

  /** What follows begins again at the start of the current segment. What was learned on the way that did not do is forgotten. */
  splice(): void {
    if (!this.begun) return;
    this.splicing = true;
    this.awaitingBurst = true;
    this.ends.clear();
    this.edge.clear();
    this.latency = { ...latencyStart(this.hasAudio, this.policy), penaltyS: this.latency.penaltyS, stalls: this.latency.stalls };
  }

  /** Takes a chunk; `isDisturbed` says that something else of ours has delayed it. */
  append(chunk: Chunk, arrivalMs: number, isDisturbed = false): void {
    const startS = this.note(chunk);
    const before = this.endS;
    if (before !== null && startS !== null && startS < before - BACKWARDS_S) {
      this.rebuild();
      this.note(chunk);
    }
    if (this.awaitingBurst) this.starts.clear();
    this.noteExtent(chunk);
    this.renderer.append(bridge(chunk.bytes, this.init?.section.tracks ?? []));
    const endS = this.endS;
    if (endS === null) return;
    const now = this.nowMs();
    this.last = { arrivalMs, endS };
    if (this.awaitingBurst) {
      this.awaitingBurst = false;
      this.burst = burstStart(now, endS);
      clearTimeout(this.burstTimer);
      this.burstTimer = setTimeout(() => this.watchBurst(), BURST_LOOK_MS);
    } else if (this.burst) {
      this.burst = burstGrow(this.burst, now, endS);
    } else {
      this.edge.observe(arrivalMs, endS, isDisturbed);
      if (this.splicing) this.goOver(endS);
    }
  }

  /** Looks at the playhead; `publisherAway` says that a missing picture is nobody's fault on the way. */
  tick(publisherAway: boolean): void {
    if (!this.begun) return;
    const now = this.nowMs();
    this.watchPlayhead(now, publisherAway);
    this.watchPictures(now);
    if (!this.video.paused) {
      this.recoverIfStuck(now);
      this.steer(now);
    }
    this.renderer.evictBefore(this.video.currentTime);
  }

  /** Moves to the target distance behind the live edge, as after a long pause. */
  jumpToEdge(): void {
    const edge = this.edge.at(this.nowMs());
    if (edge !== null && this.begun) this.seek(edge - this.latency.targetS);
  }

  /** Seconds between the live edge and the playhead. */
  get distanceS(): number | null {
    const edge = this.edge.at(this.nowMs());
    return edge === null || !this.begun ? null : edge - this.video.currentTime;
  }

  /** Seconds of media after the playhead. */
  get bufferS(): number {
    const position = this.video.currentTime;
    const here = this.renderer.ranges().find((range) => range.start <= position + 0.01 && position < range.end);
    return here ? here.end - position : 0;
  }

  get targetS(): number {
    return this.latency.targetS;
  }

  get rate(): number {
    return this.latency.rate;
  }

  destroy(): void {
    clearTimeout(this.burstTimer);
    this.renderer.destroy();
  }

  private build(): Renderer {
    const sourceClass = mediaSourceClass();
    if (!sourceClass) throw new PlayerError('unsupported', 'this browser has no Media Source Extensions', true);
    return new MseRenderer(this.video, { failed: (error) => this.output.failed(error) }, sourceClass);
  }

  /** Starts afresh with a new renderer: other tracks, or a timeline that goes back. */
  private rebuild(): void {
    this.renderer.destroy();
    this.renderer = this.build();
    if (this.init) this.renderer.setInit(this.init.section, this.init.mime);
    this.ends.clear();
    this.timeline.clear();
    this.edge.clear();
    this.begun = false;
    this.standing = false;
    this.awaitingBurst = true;
    this.splicing = false;
    this.burst = null;
  }

  /** Media time up to which every track has come; null before the first chunk. */
  get endS(): number | null {
    return this.ends.size === 0 ? null : Math.min(...this.ends.values());
  }

  /** Takes a chunk's stamp; gives the media time of its earliest sample. */
  private note(chunk: Chunk): number | null {
    let startS: number | null = null;
    const tracks = this.init?.section.tracks ?? [];
    for (const run of chunk.runs) {
      const track = tracks.find((one) => one.id === run.trackId);
      if (track) startS = Math.min(startS ?? Infinity, run.decodeTime / track.timescale);
    }
    const stamp = chunk.producerTime;
    const stamped = stamp && tracks.find((one) => one.id === stamp.trackId);
    if (stamp && stamped) this.timeline.add(stamp.mediaTime / stamped.timescale, stamp.wallMs);
    return startS;
  }

  private noteExtent(chunk: Chunk): void {
    for (const run of chunk.runs) {
      const track = this.init?.section.tracks.find((one) => one.id === run.trackId);
      if (!track || track.kind === 'other') continue;
      const ticks = run.decodeTime + run.duration + run.samplesWithoutDuration * track.defaultDuration;
      this.ends.set(run.trackId, ticks / track.timescale);
      if (!this.starts.has(run.trackId)) this.starts.set(run.trackId, run.decodeTime / track.timescale);
    }
  }

  private watchBurst(): void {
    if (!this.burst || !this.last) return;
    const { burst, begin, over } = burstLook(this.burst, this.nowMs());
    this.burst = over ? null : burst;
    if (begin && !this.begun) this.begin(this.last.endS);
    else if (begin && this.splicing) this.goOver(this.last.endS);
    if (!over) {
      this.burstTimer = setTimeout(() => this.watchBurst(), BURST_LOOK_MS);
      return;
    }
    this.edge.observe(this.last.arrivalMs, this.last.endS);
    const wantedS = this.last.endS - this.latency.targetS;
    if (wantedS - this.video.currentTime > REPLACE_AFTER_S) this.seek(wantedS);
  }

  private begin(endS: number): void {
    const hasAudio = this.hasAudio;
    this.latency = latencyStart(hasAudio, this.policy);
    this.begun = true;
    this.lastMoveMs = this.nowMs();
    // The appends may still be under way, so the ranges cannot be asked yet.
    this.seek(Math.max(...this.starts.values(), endS - this.latency.targetS) + INSIDE_S);
    this.output.ready();
  }

  /** Moves the playhead into what came again: decoders need to begin at its random access point. */
  private goOver(endS: number): void {
    const position = this.video.currentTime;
    if (endS < position + SPLICE_AHEAD_S) return;
    this.splicing = false;
    this.seek(Math.max(position, ...this.starts.values(), endS - this.latency.targetS) + INSIDE_S);
  }

  private get hasVideo(): boolean {
    return this.init?.section.tracks.some((track) => track.kind === 'video') ?? false;
  }

  private get hasAudio(): boolean {
    return this.init?.section.tracks.some((track) => track.kind === 'audio') ?? true;
  }

  /** Seeks, but never before what is buffered. */
  private seek(positionS: number): void {
    const ranges = this.renderer.ranges();
    const last = ranges.at(-1);
    const to = last ? Math.max(last.start + INSIDE_S, positionS) : positionS;
    this.ownSeekMs = this.nowMs();
    this.lastPositionS = Math.max(0, to);
    this.video.currentTime = this.lastPositionS;
  }

  private watchPlayhead(now: number, publisherAway: boolean): void {
    const position = this.video.currentTime;
    const moved = position !== this.lastPositionS;
    const since = this.lastMoveMs;
    if (moved || this.video.paused) {
      if (this.standing && moved && !this.stallIsPublishers) {
        this.stalls += 1;
        this.stalledMs += now - since;
        this.output.stalled(now - since);
      }
      this.standing = false;
      this.stallIsPublishers = false;
      this.lastMoveMs = now;
      this.lastPositionS = position;
    } else if (now - since >= STANDING_MS) {
      // A seek of our own stands still for a moment; that is the price of the jump and counted as such.
      const seeking = now - this.ownSeekMs < SEEK_GRACE_MS;
      if (!seeking) this.standing = true;
      if (publisherAway) this.stallIsPublishers = true;
    }
  }

  /** Sound can go on without pictures, and the playhead with it. */
  private watchPictures(now: number): void {
    const count = this.video.getVideoPlaybackQuality?.().totalVideoFrames ?? 0;
    const { lookedMs } = this.pictures;
    const expected = this.hasVideo && !this.video.paused && !this.standing && document.visibilityState === 'visible';
    if (count !== this.pictures.count || !expected) this.pictures = { count, sinceMs: now, lookedMs: now };
    else if (now - this.pictures.sinceMs > FROZEN_AFTER_MS) this.frozenMs += now - lookedMs;
    this.pictures.lookedMs = now;
  }

  private recoverIfStuck(now: number): void {
    const to = recover({
      positionS: this.video.currentTime,
      ranges: this.renderer.ranges(),
      stuckMs: now - this.lastMoveMs,
      targetS: this.latency.targetS,
    });
    if (to === null || now - this.ownSeekMs < SEEK_SPACING_MS) return;
    this.jumps += 1;
    this.seek(to);
  }

  private steer(now: number): void {
    const step = latencyStep(
      this.latency,
      {
        nowMs: now,
        distanceS: this.distanceS,
        shortfallS: this.edge.shortfall(now).p99Ms / 1000,
        stalls: this.stalls,
        hasAudio: this.hasAudio,
        playing: !this.standing && !this.video.seeking,
      },
      this.policy,
    );
    this.latency = step.state;
    if (this.video.playbackRate !== step.action.rate) this.video.playbackRate = step.action.rate;
    if (step.action.jumpToS !== null && now - this.ownSeekMs > SEEK_SPACING_MS) {
      this.jumps += 1;
      this.jumpToEdge();
    }
  }
}

/** Media that begins this much before what was appended last belongs to another timeline. */
const BACKWARDS_S = 1;
/** Lands inside a range in spite of rounded container times. */
const INSIDE_S = 0.001;
/** Media after the playhead with which it goes over to another rendition. */
const SPLICE_AHEAD_S = 0.12;
const STANDING_MS = 100;
const FROZEN_AFTER_MS = 500;
const SEEK_GRACE_MS = 400;
const SEEK_SPACING_MS = 300;
