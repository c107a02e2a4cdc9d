// One look at what the path carries: fetches something that is complete already, and stops when it knows.
//
// In → Out: the address of a sealed segment, how many bytes are enough → bits per second, or that it failed.
// The first third is not counted: a new connection has to find its speed.
// Spec: Fetch, "Body"; RFC 9293 (slow start).

import type { LoaderEnvironment } from './segment_request.ts';
import type { AbrProbe } from './abr.ts';

const TIMEOUT_MS = 1_500;
const LUMP = 1.5;

/** A probe in flight. Starts at construction; `stop` is always safe. */
export class Probe implements AbrProbe {
  state: AbrProbe['state'] = 'running';
  bps = 0;
  private readonly abort = new AbortController();

  constructor(
    private readonly env: LoaderEnvironment,
    url: string,
    private readonly enough: number,
  ) {
    void this.run(url);
  }

  /** Gives up. */
  stop(): void {
    if (this.state === 'running') this.state = 'failed';
    this.abort.abort();
  }

  private async run(url: string): Promise<void> {
    const { signal } = this.abort;
    void this.env.sleep(TIMEOUT_MS, signal).then(() => this.stop());
    try {
      const response = await this.env.fetch(url, { signal, cache: 'no-store', credentials: 'omit', priority: 'low' });
      if (!response.ok || !response.body) throw new Error('nothing to probe with');
      const reader = response.body.getReader();
      let bytes = 0;
      let counted: { atMs: number; bytes: number } | null = null;
      let first: { atMs: number; bytes: number } | null = null;
      for (;;) {
        const { done, value } = await reader.read();
        if (value) bytes += value.byteLength;
        const nowMs = this.env.nowMs();
        first ??= { atMs: nowMs, bytes };
        if (!counted && bytes >= this.enough / 3) counted = { atMs: nowMs, bytes };
        if (!done && bytes < this.enough) continue;
        if (counted && bytes - counted.bytes > this.enough / 4 && this.state === 'running') {
          const rate = (from: { atMs: number; bytes: number }): number => ((bytes - from.bytes) * 8_000) / Math.max(5, nowMs - from.atMs);
          // What waited behind a lost packet comes at once, and seems faster than the path.
          this.bps = Math.min(rate(counted), LUMP * rate(first));
          this.state = 'done';
        }
        break;
      }
    } catch {
      // Whatever it was: nothing is known.
    }
    this.stop();
  }
}
