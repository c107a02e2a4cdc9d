// Answers that are short and read whole, with a time-out that covers the body: a dead connection must not hold a lane for ever.
//
// In → Out: a request → its whole answer, or a rejection after `ms` or when `init.signal` aborts.
// Spec: Fetch, "Abort an in-progress fetch"; case IX-14.

import type { ReaderEnvironment } from './reader.ts';

/** Fetches `url` and its body within `ms`. */
export async function fetchWhole(env: Pick<ReaderEnvironment, 'fetch' | 'sleep'>, url: string, init: RequestInit, ms: number): Promise<Response> {
  const [request, done] = [new AbortController(), new AbortController()];
  const stop = (): void => request.abort();
  init.signal?.addEventListener('abort', stop);
  void env.sleep(ms, done.signal).then(stop);
  try {
    const response = await env.fetch(url, { ...init, signal: request.signal });
    return new Response(await response.arrayBuffer(), { status: response.status });
  } finally {
    init.signal?.removeEventListener('abort', stop);
    done.abort();
  }
}
