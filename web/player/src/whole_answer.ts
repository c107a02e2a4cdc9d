// Answers that are read whole: playlists and init sections, with a time-out that covers the body.
//
// In → Out: an address → the body, or a PlayerError (a StatusError where the server said no).
// Spec: Fetch; RFC 9110, "Status Codes".

import { PlayerError } from './errors.ts';
import type { LoaderEnvironment } from './segment_request.ts';

/** The server answered, and not with what was asked for. */
export class StatusError extends PlayerError {
  constructor(
    readonly status: number,
    url: string,
  ) {
    super('network', `${new URL(url).pathname} was answered with ${status}`);
  }

  /** There is no such thing (now). */
  get isMissing(): boolean {
    return this.status === 404 || this.status === 410;
  }
}

/** Fetches `url` within `timeoutMs`, unless `signal` aborts before. */
export async function fetchWhole(env: LoaderEnvironment, url: string, signal: AbortSignal, timeoutMs: number): Promise<Response> {
  const inner = new AbortController();
  const stop = (): void => inner.abort();
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  const done = new AbortController();
  void env.sleep(timeoutMs, done.signal).then(stop);
  try {
    const response = await env.fetch(url, { signal: inner.signal, cache: 'no-store', credentials: 'omit', priority: 'high' });
    if (!response.ok) throw new StatusError(response.status, url);
    // The body is read here so that the time-out covers it.
    return new Response(await response.arrayBuffer(), { status: response.status });
  } finally {
    signal.removeEventListener('abort', stop);
    done.abort();
  }
}

/** What `promise` gives, or `otherwise` after `ms`. */
export async function within<T, E>(env: LoaderEnvironment, promise: Promise<T>, ms: number, otherwise: () => E): Promise<T | E> {
  const done = new AbortController();
  const late = Symbol('late');
  try {
    const first = await Promise.race([promise, env.sleep(ms, done.signal).then((): typeof late => late)]);
    return first === late ? otherwise() : first;
  } finally {
    done.abort();
  }
}
