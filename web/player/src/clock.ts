// The server's clock, seen from here: which request told the truth best, and what time it is there now.
//
// In → Out: (sent, received, server's answer) samples → offset between this page's clock and the server's.
// The sample with the shortest round trip wins; an old one loses its advantage slowly, because clocks drift.
// Spec: RFC 5905, "Clock Filter Algorithm" (the idea of the minimum delay).

/** One question to the server's clock. Local times are of `localNow`, milliseconds. */
export interface ClockSample {
  sentMs: number;
  receivedMs: number;
  /** Unix time in milliseconds that the server answered with. */
  serverMs: number;
}

/** The best that is known about the server's clock. */
export interface ClockEstimate {
  /** Server time minus local time. */
  offsetMs: number;
  /** Round trip of the sample it comes from: the offset is wrong by at most half of this. */
  rttMs: number;
  takenMs: number;
}

/** Milliseconds of round trip that a sample loses to a newer one per second of age: 0.05 ms/s is 50 ppm of drift. */
const AGEING_MS_PER_S = 0.05;

/** The better of what is known and what a new sample says. */
export function improve(known: ClockEstimate | null, sample: ClockSample): ClockEstimate | null {
  const rttMs = sample.receivedMs - sample.sentMs;
  if (!Number.isFinite(sample.serverMs) || rttMs < 0) return known;
  const fresh = { offsetMs: sample.serverMs + rttMs / 2 - sample.receivedMs, rttMs, takenMs: sample.receivedMs };
  if (!known) return fresh;
  const ageS = (sample.receivedMs - known.takenMs) / 1000;
  return rttMs <= known.rttMs + ageS * AGEING_MS_PER_S ? fresh : known;
}

/** Local Unix time in milliseconds with sub-millisecond steps, which never goes back while the page lives. */
export function localNow(): number {
  return performance.timeOrigin + performance.now();
}

/** Samples the server's clock: a few times at once, then now and then. */
export class ServerClock {
  private estimate: ClockEstimate | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stopped = false;
  private pending = 0;

  constructor(private readonly url: string | null) {}

  /** Asks for `count` samples now, then one each half minute. */
  start(count = SAMPLES_AT_ONCE): void {
    this.stopped = false;
    this.pending = count;
    void this.ask();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** Unix time at the server in milliseconds, or null before the first answer. */
  now(): number | null {
    return this.estimate && localNow() + this.estimate.offsetMs;
  }

  get known(): ClockEstimate | null {
    return this.estimate;
  }

  private async ask(): Promise<void> {
    if (this.url === null || this.stopped) return;
    clearTimeout(this.timer);
    try {
      const sentMs = localNow();
      const response = await fetch(this.url, { cache: 'no-store', credentials: 'omit' });
      const receivedMs = localNow();
      const body = (await response.json()) as { unix_ms?: unknown };
      if (response.ok && typeof body.unix_ms === 'number') {
        this.estimate = improve(this.estimate, { sentMs, receivedMs, serverMs: body.unix_ms });
      }
    } catch {
      // Without an answer the latency stays unknown, which is what the page then says.
    }
    if (this.stopped) return;
    this.pending -= 1;
    this.timer = setTimeout(() => void this.ask(), this.pending > 0 ? BURST_MS : this.estimate ? CALM_MS : RETRY_MS);
  }
}

const SAMPLES_AT_ONCE = 5;
const BURST_MS = 120;
const RETRY_MS = 2_000;
const CALM_MS = 30_000;
