// The reader of the interaction track: reads the index once, then counts, like the loader of the media.
//
// In → Out: a broadcast's address → lines in order, and how it stands. One request at a time: a browser has six for a host.
// After any surprise (404, a cut body, silence) it reads the index again; how long it waits before is the room's rule.
// Spec: docs/ix.md, "Reading"; design contract "Paths"; case IX-14.

import { LineSplitter } from './lines.ts';
import { fetchWhole } from './whole_answer.ts';

/** Network, time and chance, so that tests can bring their own. */
export interface ReaderEnvironment {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Resolves after `ms`, or as soon as `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** 0 ≤ x < 1. */
  random(): number;
}

/** How reading stands. */
export type ReaderState =
  | 'connecting'
  | 'open'
  /** There is no room now. */
  | 'closed'
  /** The server does not answer. */
  | 'lost';

/** Who receives what the reader yields. */
export interface ReaderOutput {
  /** A segment begins; its first line is a snapshot. */
  segment(): void;
  line(line: string): void;
  state(state: ReaderState): void;
  /** The longest time to wait before a lost connection is opened again. */
  jitterMs(): number;
}

/** Times, milliseconds. */
export const READER_TIMES = {
  /** A segment that says nothing for so long is opened again: its connection may be dead. */
  silenceMs: 25_000,
  /** An answer begins at once, even one that is held: without one the connection is dead. */
  answerMs: 8_000,
  indexTimeoutMs: 5_000,
  /** After an answer, even a bad one, the server is there: no wave is to be feared. */
  promptMs: 400,
  closedMs: 3_000,
  overMs: 1_000,
  backoffFirstMs: 300,
  backoffMaxMs: 8_000,
} as const;

interface Point {
  epoch: number;
  msn: number;
}

type End = 'over' | 'refused' | 'cut' | 'silent';

/** Reads one room until `stop`. */
export class Reader {
  /** Times that the index had to be read again. */
  resyncs = 0;
  private readonly abort = new AbortController();
  private wake = new AbortController();
  private state: ReaderState = 'connecting';
  private failures = 0;
  /** The last segment that was read to its end. */
  private finished: Point | null = null;

  constructor(
    /** Of the folder that holds `index.json`, with its slash. */
    private readonly base: string,
    private readonly env: ReaderEnvironment,
    private readonly output: ReaderOutput,
  ) {}

  /** Runs until `stop`; never rejects. */
  async run(): Promise<void> {
    while (!this.stopped) {
      const found = await this.locate();
      if (this.stopped) return;
      if (found === 'lost' || found === 'closed') {
        this.setState(found);
        await this.pause(found === 'closed' ? READER_TIMES.closedMs * (0.75 + this.env.random() / 2) : this.backoff());
        continue;
      }
      if (this.finished && (found.epoch < this.finished.epoch || (found.epoch === this.finished.epoch && found.msn <= this.finished.msn))) {
        // Nothing follows what was read: the broadcast is over, or the index is an old one from a cache.
        this.setState('closed');
        await this.pause(READER_TIMES.overMs * (0.75 + this.env.random() / 2));
        continue;
      }
      const end = await this.follow(found);
      this.resyncs += 1;
      if (end === 'cut') await this.pause(this.env.random() * this.output.jitterMs());
      else await this.pause(READER_TIMES.promptMs * (0.5 + this.env.random()) * Math.min(8, 1 + this.failures));
    }
  }

  stop(): void {
    this.abort.abort();
    this.wake.abort();
  }

  /** The network is back: do not wait any longer than chance wants. */
  retrySoon(): void {
    this.wake.abort();
  }

  private get stopped(): boolean {
    return this.abort.signal.aborted;
  }

  private setState(state: ReaderState): void {
    if (state === this.state || this.stopped) return;
    this.state = state;
    this.output.state(state);
  }

  private backoff(): number {
    this.failures += 1;
    const step = READER_TIMES.backoffFirstMs * 2 ** Math.min(10, this.failures - 1);
    return Math.min(READER_TIMES.backoffMaxMs, step) * (0.75 + this.env.random() / 2);
  }

  private async pause(ms: number): Promise<void> {
    if (this.wake.signal.aborted && !this.stopped) this.wake = new AbortController();
    await this.env.sleep(ms, this.wake.signal);
  }

  private async locate(): Promise<Point | 'closed' | 'lost'> {
    try {
      const init = { signal: this.abort.signal, cache: 'no-store', credentials: 'omit' } as const;
      const response = await fetchWhole(this.env, `${this.base}index.json`, init, READER_TIMES.indexTimeoutMs);
      if (response.status === 404 || response.status === 410) return 'closed';
      if (!response.ok) return 'lost';
      return parseIndex(await response.json()) ?? 'closed';
    } catch {
      return 'lost';
    }
  }

  /** Reads segment after segment until a surprise. */
  private async follow(from: Point): Promise<End> {
    for (let at = from; ; at = { epoch: at.epoch, msn: at.msn + 1 }) {
      const end = await this.read(at);
      if (end !== 'over' || this.stopped) return end;
    }
  }

  private async read(at: Point): Promise<End> {
    const request = new AbortController();
    const cancel = (): void => request.abort();
    this.abort.signal.addEventListener('abort', cancel);
    let silent = false;
    let lines = 0;
    const within = async <T>(ms: number, awaited: Promise<T>): Promise<T> => {
      const done = new AbortController();
      void this.env.sleep(ms * (0.8 + this.env.random() * 0.4), done.signal).then(() => {
        if (done.signal.aborted) return;
        silent = true;
        cancel();
      });
      return awaited.finally(() => done.abort());
    };
    try {
      // Not through the browser's own cache: a growing object would be written to disk beat by beat.
      const response = await within(READER_TIMES.answerMs, this.env.fetch(`${this.base}${at.epoch}.${at.msn}.jsonl`, {
        signal: request.signal, cache: 'no-store', credentials: 'omit',
      }));
      if (!response.ok || !response.body) {
        this.failures += 1;
        return 'refused';
      }
      const reader = response.body.getReader();
      const splitter = new LineSplitter();
      for (;;) {
        const { done, value } = await within(READER_TIMES.silenceMs, reader.read());
        if (done) break;
        for (const line of splitter.push(value)) {
          if (lines === 0) this.output.segment();
          lines += 1;
          this.failures = 0;
          this.setState('open');
          this.output.line(line);
        }
      }
      // An end without a line is no segment: the index knows better.
      if (lines === 0) return 'refused';
      this.finished = at;
      return 'over';
    } catch {
      if (silent) return 'silent';
      // A segment that was held and given up says that another comes in its place; a running one that is cut was the network.
      return lines > 0 ? 'cut' : 'refused';
    } finally {
      this.abort.signal.removeEventListener('abort', cancel);
      cancel();
    }
  }
}

/** Where to begin: the open segment, else the one to come, else the last there is. */
export function parseIndex(value: unknown): Point | null {
  if (typeof value !== 'object' || value === null) return null;
  const raw = value as Record<string, unknown>;
  const listed = Array.isArray(raw['segments']) ? raw['segments'] : [];
  for (const name of [raw['current'], raw['next'], listed.at(-1)]) {
    const match = typeof name === 'string' ? /^(\d{1,9})\.(\d{1,15})$/.exec(name) : null;
    if (match) return { epoch: Number(match[1]), msn: Number(match[2]) };
  }
  return null;
}
