// One request for one growing segment: opened ahead of time, read as it grows, drained in order.
//
// In → Out: an address → chunks with their arrival times, and how the body ended.
// What waits to be drained is bounded; a body that ends inside a chunk counts as torn.
// Spec: Fetch, "Body" (streaming reads); RFC 9112, "Chunked Transfer Coding" (a clean end is the last chunk).

import { ChunkSplitter, type Chunk } from './boxes.ts';
import type { Bytes } from './bytes.ts';
import { asPlayerError, PlayerError } from './errors.ts';
import { readHint, type ServerHint } from './server_hint.ts';

/** Network, time and chance, so that tests can bring their own. */
export interface LoaderEnvironment {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Milliseconds on a clock that never goes back. */
  nowMs(): number;
  /** Resolves after `ms`, or as soon as `signal` aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** 0 ≤ x < 1. */
  random(): number;
}

/** A chunk and when its last byte was here. */
export interface ArrivedChunk {
  chunk: Chunk;
  arrivalMs: number;
  /** Bytes of this body before this chunk. */
  offset: number;
}

/** Which segment of which rendition. */
export interface SegmentTarget {
  rendition: string;
  epoch: number;
  msn: number;
  url: string;
}

/** How far a request has come. */
export type RequestPhase = 'opening' | 'open' | 'ended' | 'failed';

/** Who is told of what a request learns before its chunks are whole. */
export interface RequestListener {
  /** Bytes came, those of unfinished chunks included. */
  bytes(count: number): void;
  /** The server has said something of the connection. */
  hint(hint: ServerHint): void;
}

const QUEUE_BYTES_MAX = 32 * 1024 * 1024;

/** A request in flight. Starts at construction; `cancel` is always safe. */
export class SegmentRequest {
  phase: RequestPhase = 'opening';
  error: PlayerError | null = null;
  /** HTTP status, 0 before the headers. */
  status = 0;
  /** When the last chunk arrived; null before the first. */
  lastArrivalMs: number | null = null;
  private queue: ArrivedChunk[] = [];
  private queueBytes = 0;
  private offset = 0;
  private wake: (() => void) | null = null;
  private answer: () => void = () => undefined;
  private readonly answered = new Promise<void>((resolve) => {
    this.answer = resolve;
  });
  private readonly abort = new AbortController();

  constructor(
    private readonly env: LoaderEnvironment,
    readonly target: SegmentTarget,
    /** Ends this request together with whatever it belongs to. */
    parent: AbortSignal,
    private readonly listener?: RequestListener,
  ) {
    const { signal } = this.abort;
    if (parent.aborted) this.cancel();
    else parent.addEventListener('abort', () => this.cancel(), { signal });
    void this.read(target.url);
  }

  get epoch(): number {
    return this.target.epoch;
  }

  get msn(): number {
    return this.target.msn;
  }

  /** Resolves once the server has answered: is there such a segment? */
  async exists(): Promise<boolean> {
    await this.answered;
    return this.phase === 'open' || this.phase === 'ended';
  }

  /** Ends a wait in `ready`. */
  poke(): void {
    this.wake?.();
  }

  /** Resolves once there is something to take, the request is over, or `ms` have passed. */
  async ready(ms: number): Promise<void> {
    if (this.queue.length > 0 || this.over) return;
    const timeout = new AbortController();
    const woken = new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    await Promise.race([woken, this.env.sleep(ms, timeout.signal)]);
    this.wake = null;
    timeout.abort();
  }

  /** Everything that has arrived since the last call. */
  take(): ArrivedChunk[] {
    const arrived = this.queue;
    this.queue = [];
    this.queueBytes = 0;
    return arrived;
  }

  get hasChunks(): boolean {
    return this.queue.length > 0;
  }

  get over(): boolean {
    return this.phase === 'ended' || this.phase === 'failed';
  }

  cancel(): void {
    this.abort.abort();
  }

  private async read(url: string): Promise<void> {
    try {
      // A growing object must not pass through the browser's own cache: it would be written to disk frame by frame.
      const response = await this.env.fetch(url, {
        signal: this.abort.signal, cache: 'no-store', credentials: 'omit', priority: 'high',
      });
      this.status = response.status;
      if (!response.ok || !response.body) {
        throw new PlayerError('network', `segment ${this.epoch}.${this.msn} was answered with ${response.status}`);
      }
      this.phase = 'open';
      this.answer();
      const hint = readHint(response.headers);
      if (hint) this.listener?.hint(hint);
      await this.drain(response.body.getReader());
      this.phase = 'ended';
    } catch (error) {
      this.error = asPlayerError(error, 'network');
      this.phase = 'failed';
    }
    // Also lets go of the parent's signal, which outlives thousands of requests.
    this.abort.abort();
    this.answer();
    this.wake?.();
  }

  private async drain(reader: ReadableStreamDefaultReader<Bytes>): Promise<void> {
    const splitter = new ChunkSplitter();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const arrivalMs = this.env.nowMs();
      this.listener?.bytes(value.byteLength);
      for (const chunk of splitter.push(value)) {
        this.queue.push({ chunk, arrivalMs, offset: this.offset });
        this.offset += chunk.bytes.byteLength;
        this.queueBytes += chunk.bytes.byteLength;
        this.lastArrivalMs = arrivalMs;
      }
      if (this.queueBytes > QUEUE_BYTES_MAX) throw new PlayerError('format', 'a segment of more than 32 MiB');
      if (this.queue.length > 0) this.wake?.();
    }
    if (splitter.pendingBytes > 0) throw new PlayerError('network', 'the segment ended inside a chunk');
  }
}
