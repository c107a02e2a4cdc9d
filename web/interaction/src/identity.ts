// Who this viewer is: a name and a signed token, kept by the browser, no account.
//
// In → Out: a broadcast → a token from the store or from the server; a name of one's own, or a friendly one by chance.
// A store that is missing, full or edited by hand costs the name, never the page.
// Spec: docs/ix.md, "The way up"; HTML, "Web storage".

/** A viewer of one room. */
export interface Identity {
  viewer: string;
  name: string;
  token: string;
}

/** What is needed of `localStorage`. */
export interface Store {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** Why there is no identity: `status` 0 when the server does not answer. */
export interface NoIdentity {
  status: number;
  code: string;
  message: string;
}

const NAME_KEY = 'nearcast.name';
const TOKENS_KEY = 'nearcast.viewers';
const ROOMS_MAX = 32;
const NAME_MAX = 24;

const HOW = ['Quiet', 'Sunny', 'Brave', 'Merry', 'Gentle', 'Swift', 'Lucky', 'Clever', 'Bright', 'Calm', 'Jolly', 'Kind', 'Bold', 'Cosy', 'Witty', 'Fair'];
const WHO = ['Otter', 'Robin', 'Fox', 'Heron', 'Badger', 'Wren', 'Lynx', 'Hare', 'Finch', 'Seal', 'Owl', 'Deer', 'Mole', 'Swan', 'Bear', 'Newt'];

/** A name for somebody who has not chosen one. */
export function friendlyName(random: () => number): string {
  const one = (from: string[]): string => from[Math.floor(random() * from.length)] ?? from[0] ?? '';
  return `${one(HOW)} ${one(WHO)}`;
}

/** A name as the server takes it: one line, at most 24 characters as people count them; null if nothing is left. */
export function tidyName(name: string): string | null {
  const line = name.replaceAll(/\s+/g, ' ').trim();
  const short = graphemes(line).slice(0, NAME_MAX).join('').trim();
  return short === '' ? null : short;
}

/** The characters of a text as people count them. */
export function graphemes(text: string): string[] {
  if (typeof Intl === 'undefined' || !('Segmenter' in Intl)) return [...text];
  return [...new Intl.Segmenter().segment(text)].map((one) => one.segment);
}

/** The viewer of one broadcast. */
export class Me {
  /** The identity that is in use; null before the server has given one. */
  known: Identity | null;
  private asked: Promise<Identity | NoIdentity> | null = null;

  constructor(
    private readonly broadcast: string,
    private readonly store: Store | null,
    private readonly fetch: (url: string, init: RequestInit) => Promise<Response>,
    private readonly random: () => number,
  ) {
    this.known = this.readTokens()[broadcast] ?? null;
  }

  /** The name that is or would be used. */
  get name(): string {
    const chosen = this.known?.name ?? tidyName(read(this.store, NAME_KEY) ?? '');
    if (chosen !== null) return chosen;
    const name = friendlyName(this.random);
    write(this.store, NAME_KEY, name);
    return name;
  }

  /** The identity, asked for once. */
  ensure(): Promise<Identity | NoIdentity> {
    if (this.known) return Promise.resolve(this.known);
    this.asked ??= this.mint(this.name).finally(() => {
      this.asked = null;
    });
    return this.asked;
  }

  /** Takes another name, and with it another token. */
  async rename(name: string): Promise<Identity | NoIdentity> {
    const tidy = tidyName(name);
    if (tidy === null) return { status: 400, code: 'name', message: 'a name has at least one character' };
    const answer = await this.mint(tidy);
    if ('token' in answer) write(this.store, NAME_KEY, answer.name);
    return answer;
  }

  /** The server does not know this token any more. */
  forget(): void {
    this.known = null;
    const tokens = this.readTokens();
    delete tokens[this.broadcast];
    write(this.store, TOKENS_KEY, JSON.stringify(tokens));
  }

  private async mint(name: string): Promise<Identity | NoIdentity> {
    try {
      const response = await this.fetch(`/api/v1/broadcasts/${encodeURIComponent(this.broadcast)}/viewers`, {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ name }), credentials: 'omit',
      });
      const body = (await response.json()) as unknown;
      const identity = response.ok ? parseIdentity(body) : null;
      if (!identity) return { status: response.status, ...refusalOf(body) };
      this.known = identity;
      const { [this.broadcast]: _, ...others } = this.readTokens();
      const kept = Object.entries(others).slice(1 - ROOMS_MAX);
      write(this.store, TOKENS_KEY, JSON.stringify(Object.fromEntries([...kept, [this.broadcast, identity]])));
      return identity;
    } catch {
      return { status: 0, code: 'lost', message: 'the server does not answer' };
    }
  }

  private readTokens(): Record<string, Identity> {
    try {
      const value = JSON.parse(read(this.store, TOKENS_KEY) ?? '{}') as Record<string, unknown>;
      const pairs = Object.entries(value).slice(-ROOMS_MAX).map(([id, one]) => [id, parseIdentity(one)] as const);
      return Object.fromEntries(pairs.filter((pair): pair is [string, Identity] => pair[1] !== null));
    } catch {
      return {};
    }
  }
}

/** Code and message of an answer of the API that is a refusal. */
export function refusalOf(body: unknown): { code: string; message: string } {
  const error = (body as { error?: { code?: unknown; message?: unknown } } | null)?.error;
  return {
    code: typeof error?.code === 'string' ? error.code.slice(0, 64) : 'unknown',
    message: typeof error?.message === 'string' ? error.message.slice(0, 400) : 'the server refused without a reason',
  };
}

function parseIdentity(value: unknown): Identity | null {
  const raw = (value ?? {}) as Record<string, unknown>;
  const { viewer, name, token } = raw;
  if (typeof viewer !== 'string' || !/^[0-9a-f]{16}$/.test(viewer)) return null;
  if (typeof name !== 'string' || typeof token !== 'string' || token.length > 1_024 || !/^[\x21-\x7e]+$/.test(token)) return null;
  return { viewer, name, token };
}

function read(store: Store | null, key: string): string | null {
  try {
    return store?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

function write(store: Store | null, key: string, value: string): void {
  try {
    store?.setItem(key, value);
  } catch {
    // Full, or switched off: the name lasts as long as the page.
  }
}
