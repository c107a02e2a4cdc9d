// The server's JSON API, as far as the pages need it.
//
// In → Out: requests → broadcasts; what does not have the agreed shape counts as no answer.
// Spec: `/api/v1/openapi.json`, "broadcasts".

/** How a broadcast stands on the server. */
export type BroadcastState = 'live' | 'reconnecting' | 'ended' | 'idle';

/** One broadcast. */
export interface Broadcast {
  id: string;
  title: string;
  state: BroadcastState;
  /** RFC 3339. */
  since: string | null;
  viewers: number;
  watchUrl: string;
  /** A recent picture; null where there is none. */
  thumbnailUrl: string | null;
  /** A short moving picture. */
  previewUrl: string | null;
}

/** What asking for one broadcast led to. */
export type Lookup = { kind: 'found'; broadcast: Broadcast } | { kind: 'unknown' } | { kind: 'no-answer' };

/** Every broadcast the server tells of; null when it cannot be reached. */
export async function listBroadcasts(signal?: AbortSignal): Promise<Broadcast[] | null> {
  const body = await ask('/api/v1/broadcasts', signal);
  const list = (body.json as { broadcasts?: unknown } | null)?.broadcasts;
  return Array.isArray(list) ? list.map(parse).filter((one) => one !== null) : null;
}

/** One broadcast by the id in a watch page's address. */
export async function findBroadcast(id: string, signal?: AbortSignal): Promise<Lookup> {
  const body = await ask(`/api/v1/broadcasts/${encodeURIComponent(id)}`, signal);
  if (body.status === 404) return { kind: 'unknown' };
  const broadcast = parse(body.json);
  return broadcast ? { kind: 'found', broadcast } : { kind: 'no-answer' };
}

/** One broadcast as the server describes it, for what only some pages need; null without an answer. */
export async function findRaw(id: string): Promise<unknown> {
  return (await ask(`/api/v1/broadcasts/${encodeURIComponent(id)}`)).json;
}

async function ask(path: string, signal?: AbortSignal): Promise<{ status: number; json: unknown }> {
  try {
    const response = await fetch(path, { headers: { accept: 'application/json' }, cache: 'no-store', signal: signal ?? null });
    return { status: response.status, json: response.ok ? await response.json() : null };
  } catch {
    return { status: 0, json: null };
  }
}

function parse(value: unknown): Broadcast | null {
  if (typeof value !== 'object' || value === null) return null;
  const raw = value as Record<string, unknown>;
  if (typeof raw['id'] !== 'string' || typeof raw['state'] !== 'string') return null;
  const text = (key: string): string | null => (typeof raw[key] === 'string' ? (raw[key] as string) : null);
  // Only addresses of this server are linked to or shown.
  const own = (key: string): string | null => {
    const url = text(key);
    return url?.startsWith('/') && !url.startsWith('//') && !url.includes('\\') ? url : null;
  };
  return {
    id: raw['id'],
    title: text('title')?.trim() || raw['id'],
    state: raw['state'] as BroadcastState,
    since: text('since'),
    viewers: typeof raw['viewers'] === 'number' ? raw['viewers'] : 0,
    watchUrl: own('watch_url') ?? `/b/${encodeURIComponent(raw['id'])}`,
    thumbnailUrl: own('thumbnail_url'),
    previewUrl: own('preview_url'),
  };
}

/** Calls `task` now and again, as many milliseconds ± 20 % after each end as it says, and not while the page is hidden.
 *  The function returned calls it at once. */
export function repeat(task: () => Promise<number>): () => void {
  let running = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const run = async (): Promise<void> => {
    if (running || document.visibilityState === 'hidden') return;
    running = true;
    clearTimeout(timer);
    const everyMs = await task();
    running = false;
    timer = setTimeout(() => void run(), everyMs * (0.8 + Math.random() * 0.4));
  };
  const soon = (): void => void run();
  document.addEventListener('visibilitychange', soon);
  soon();
  return soon;
}
