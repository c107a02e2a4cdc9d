// Gathers the facts that the policy wants, and does what it says.
//
// In → Out: variants, chunks, the viewer's choice, a tick → moves of the loader, probes.
// It decides nothing: `abr.ts` does. A rendition that the viewer chose is played as long as it comes.
// Spec: Network Information API, "saveData".

import { type AbrChunk, type AbrObservation, type AbrRung, type AbrState, abrLost, abrStart, abrStep } from './abr.ts';
import type { Variant } from './playlist.ts';
import { Probe } from './probe.ts';
import type { LoaderEnvironment } from './segment_request.ts';
import type { ServerHint } from './server_hint.ts';

/** One quality that a viewer can choose. */
export interface Rendition {
  /** `source`, `1080p`, `720p`, `480p`, `240p` or `audio`. */
  name: string;
  /** Picture in pixels; 0 for sound alone. */
  width: number;
  height: number;
  /** Average bits per second. */
  bitrateBps: number;
}

/** What is seen of playback at a tick. */
export type PlaybackFacts = Pick<AbrObservation, 'bufferS' | 'targetS' | 'standing' | 'box'>;

/** What the loader tells and does. */
export interface LoaderView {
  readonly rendition: string | null;
  readonly received: number;
  readonly segment: { phaseS: number; targetS: number };
  readonly sealedUrl: string | null;
  hint: ServerHint | null;
  moveTo(name: string, urgent?: boolean): void;
}

/** A rendition that the viewer chose and that was lost is tried again after this. */
const RETRY_MS = 10_000;

/** Chooses renditions for one player. */
export class Adaptation {
  /** Best first. */
  renditions: readonly Rendition[] = [];
  /** Moves asked for by the policy. */
  moves = 0;
  private choice_: string = 'auto';
  private state: AbrState;
  private chunks: AbrChunk[] = [];
  private chunksOf = '';
  private moving: { name: string; untilMs: number } | null = null;
  private probe: Probe | null = null;
  private probedMs = -Infinity;
  private retryAtMs = 0;
  private sample: AbrObservation | null = null;

  constructor(
    private readonly env: LoaderEnvironment,
    public saveData: boolean,
  ) {
    this.state = abrStart(env.nowMs());
  }

  /** A rendition's name, or `auto`. */
  get choice(): string {
    return this.choice_;
  }

  /** Takes the viewer's choice. */
  choose(choice: string, loader: LoaderView | null): void {
    this.choice_ = choice;
    this.moving = null;
    this.stopProbe();
    if (choice === 'auto') this.state = { ...this.state, holds: {}, calmSinceMs: -Infinity, bigSinceMs: null, probeAtMs: 0 };
    else if (loader) this.obey(choice, false, loader);
  }

  /** The bits per second that the path was last seen to carry; null while unknown. */
  get provenBps(): number | null {
    return this.state.proven?.bps ?? null;
  }

  /** A probe delays what comes beside it, and what waits behind it for a moment longer. */
  get disturbs(): boolean {
    return this.probe?.state === 'running' || this.env.nowMs() - this.probedMs < PROBE_DRAINS_MS;
  }

  /** What the policy saw last, for recordings. */
  get seen(): AbrObservation | null {
    return this.sample;
  }

  setVariants(variants: readonly Variant[]): void {
    this.renditions = variants.map(({ name, width, height, averageBps }) => ({ name, width, height, bitrateBps: averageBps }));
  }

  noteChunk(chunk: AbrChunk, rendition: string): void {
    if (rendition !== this.chunksOf) this.chunks = [];
    this.chunksOf = rendition;
    this.chunks.push(chunk);
  }

  noteLost(name: string): void {
    this.moving = null;
    this.retryAtMs = this.env.nowMs() + RETRY_MS;
    this.state = abrLost(this.state, name, this.env.nowMs());
  }

  /** Asks the policy, about each 50 ms. */
  tick(loader: LoaderView, facts: PlaybackFacts): void {
    const nowMs = this.env.nowMs();
    const playing = loader.rendition;
    const chunks = this.chunks;
    this.chunks = [];
    if (playing === null) return;
    if (this.moving && (this.moving.name === playing || nowMs > this.moving.untilMs)) this.moving = null;
    if (this.choice_ !== 'auto') {
      const there = this.renditions.some((one) => one.name === this.choice_);
      if (there && playing !== this.choice_ && !this.moving && nowMs >= this.retryAtMs) this.obey(this.choice_, false, loader);
      return;
    }
    this.sample = {
      ...facts,
      nowMs,
      rungs: this.renditions satisfies readonly AbrRung[],
      playing,
      moving: this.moving?.name ?? null,
      chunks,
      receivedBytes: loader.received,
      segment: loader.segment,
      saveData: this.saveData,
      probe: this.probe && { state: this.probe.state, bps: this.probe.bps },
      hint: loader.hint,
    };
    loader.hint = null;
    const { state, action } = abrStep(this.state, this.sample);
    this.state = state;
    if (this.probe) this.probedMs = nowMs;
    if (this.probe && this.probe.state !== 'running') this.probe = null;
    if (action.probe === 'stop') this.probe?.stop();
    else if (action.probe && loader.sealedUrl !== null) this.probe = new Probe(this.env, loader.sealedUrl, action.probe);
    if (action.move) {
      this.moves += 1;
      this.obey(action.move.name, action.move.urgent, loader);
    }
  }

  /** Ends what is under way; the next loader begins anew. */
  stop(): void {
    this.moving = null;
    this.stopProbe();
  }

  private stopProbe(): void {
    this.probe?.stop();
    this.probe = null;
  }

  private obey(name: string, urgent: boolean, loader: LoaderView): void {
    this.moving = { name, untilMs: this.env.nowMs() + MOVE_MAX_MS };
    loader.moveTo(name, urgent);
  }
}

/** How long what a probe has put into the path's queue takes to leave it. */
const PROBE_DRAINS_MS = 200;
/** A move that takes longer than this is no longer waited for. */
const MOVE_MAX_MS = 20_000;
