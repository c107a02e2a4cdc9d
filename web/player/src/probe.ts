// One look at what the path carries: fetches something that is complete already, and stops when it knows.
//
// In → Out: the address of a sealed segment, how many bytes are enough, what would be enough → bits per second, or that it failed.
// First the packets that a server sends at once: how far they are apart when they come is what the path carries, and they are too
// few to fill its queue. Only where they promise enough, more is fetched, of which the first third is not counted: a connection
// has to find its speed.
// Spec: Fetch, "Body"; RFC 9110, "Range"; RFC 6928 (an initial window of ten packets; seven are taken).

import type { LoaderEnvironment } from './segment_request.ts';
import type { AbrProbe } from './abr.ts';

const TIMEOUT_MS = 1_500;
/** What comes in a lump behind a lost packet seems faster than the path: never believed beyond so many times the whole. */
const LUMP = 1.5;
const TRAIN_BYTES = 10_000;
/** A short train is a coarse measure: most of what is needed is a promise. */
const PROMISE = 0.8;

interface Mark {
  atMs: number;
  bytes: number;
}

/** A probe in flight. Starts at construction; `stop` is always safe. */
export class Probe implements AbrProbe {
  state: AbrProbe['state'] = 'running';
  bps = 0;
  private readonly abort = new AbortController();

  constructor(
    private readonly env: LoaderEnvironment,
    private readonly url: string,
    private readonly want: { bytes: number; bps: number },
  ) {
    void this.run();
  }

  /** Ends it; if enough has come to tell, that counts. */
  stop(): void {
    if (this.state === 'running') this.state = this.bps > 0 ? 'done' : 'failed';
    this.abort.abort();
  }

  private async run(): Promise<void> {
    void this.env.sleep(TIMEOUT_MS, this.abort.signal).then(() => this.stop());
    try {
      const promised = await this.fetch(TRAIN_BYTES);
      if (promised >= this.want.bps * PROMISE) await this.fetch(this.want.bytes, (bps) => this.note(bps));
    } catch {
      // Whatever it was: nothing is known.
    }
    this.stop();
  }

  private note(bps: number): void {
    if (this.state === 'running') this.bps = bps;
  }

  /** The rate at which `enough` bytes came, or 0 when there are not so many; told from the half on. */
  private async fetch(enough: number, tell?: (bps: number) => void): Promise<number> {
    const { signal } = this.abort;
    const headers = { Range: `bytes=0-${enough - 1}` };
    const response = await this.env.fetch(this.url, { signal, headers, cache: 'no-store', credentials: 'omit', priority: 'low' });
    if (!response.ok || !response.body) return 0;
    const reader = response.body.getReader();
    let first: Mark | null = null;
    let counted: Mark | null = null;
    for (let bytes = 0; ; ) {
      const { done, value } = await reader.read();
      bytes += value?.byteLength ?? 0;
      const now = { atMs: this.env.nowMs(), bytes };
      first ??= now;
      if (bytes >= enough / 3) counted ??= now;
      const bps = counted && bytes >= enough / 2 ? rateOf(first, counted, now) : 0;
      if (bps > 0) tell?.(bps);
      if (!done && bytes < enough) continue;
      if (!done) await reader.cancel();
      return bps;
    }
  }
}

/** The rate from `counted` to `now`, in bits per second; the whole since `first` keeps it from being a lump's. */
function rateOf(first: Mark, counted: Mark, now: Mark): number {
  // What came in one read came faster than the clock can tell.
  const rate = (from: Mark): number => (Math.max(now.bytes - from.bytes, now.bytes / 4) * 8_000) / Math.max(3, now.atMs - from.atMs);
  return Math.min(rate(counted), LUMP * rate(first));
}
