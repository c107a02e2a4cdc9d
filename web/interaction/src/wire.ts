// The lines of the interaction track and the messages of the staff's socket, taken apart.
//
// In → Out: one line of JSON → a snapshot, a beat, or null for anything that docs/ix.md does not describe.
// Whatever is too long or too many is cut, whatever is malformed is left out: one bad comment spoils no beat.
// Spec: docs/ix.md, "Snapshot line", "Beat line", "The socket".

/** How many colours hearts have. */
export const COLOURS = 16;

/** A comment, or what a jury is asked about. */
export interface Comment {
  id: string;
  /** The author's id; different in each room. */
  author: string;
  name: string;
  /** Plain text: insert it as text. */
  text: string;
  /** Media time that the author was looking at, Unix milliseconds. */
  mediaMs: number;
  broadcaster: boolean;
}

/** How many watch; `error` is half the width of the 95 % interval, 0 when the count is exact. */
export interface Viewers {
  count: number;
  error: number;
}

/** What every page obeys. */
export interface Rules {
  /** Sum taps for so long. */
  tapMs: number;
  /** Keep one tap in so many; 0: send none. */
  tapIn: number;
  heartbeatMs: number;
  heartbeatIn: number;
  slowMs: number;
  /** `all`, `approved`, `nobody` or `first:N`. */
  gate: string;
  beatMs: number;
  jitterMs: number;
  /** Whether reports draw flash juries. */
  juries: boolean;
}

/** A mute; `untilMs` 0: for the rest of the broadcast. */
export interface Mute {
  viewer: string;
  untilMs: number;
}

/** Five viewers are asked about a comment. */
export interface Jury {
  id: number;
  jurors: string[];
  comment: Comment;
  untilMs: number;
}

/** The first line of a segment. */
export interface Snapshot {
  kind: 'snapshot';
  epoch: number;
  seq: number;
  atMs: number;
  hearts: number[];
  total: number;
  said: number;
  viewers: Viewers;
  rules: Rules;
  level: number;
  pin: Comment | null;
  last: Comment[];
  muted: Mute[];
  juries: Jury[];
}

/** What happened since the beat before; null means unchanged. */
export interface Beat {
  /** Only broadcaster and moderators hear micro-beats. */
  kind: 'beat' | 'micro';
  seq: number;
  atMs: number;
  hearts: number[] | null;
  comments: Comment[];
  joins: { count: number; names: string[] };
  viewers: Viewers | null;
  gone: string[];
  muted: Mute[];
  /** `false`: none any more. */
  pin: Comment | false | null;
  rules: Rules | null;
  level: number | null;
  juries: Jury[];
}

/** What only broadcaster and moderators hear. */
export type StaffNews =
  | { kind: 'report'; comment: Comment }
  | { kind: 'done'; verb: string; by: string; viewer: string | null; comment: Comment | null; word: string | null; atMs: number }
  | { kind: 'failed'; verb: string | null; message: string }
  | { kind: 'verdict'; id: string; accepted: boolean; code: string | null }
  | { kind: 'jury'; id: number; finding: string }
  /** What is forbidden in this room, and how many words more the operator has listed. */
  | { kind: 'words'; words: string[]; listed: number };

/** Characters of the longest line that is looked at. */
export const LINE_MAX = 256 * 1024;
/** Rules before any line was read. */
export const FIRST_RULES: Rules = {
  tapMs: 100, tapIn: 1, heartbeatMs: 10_000, heartbeatIn: 1, slowMs: 0, gate: 'all', beatMs: 250, jitterMs: 5_000, juries: true,
};

const VERSION = 1;
const MOST = { comments: 128, names: 32, ids: 1_024, juries: 8, jurors: 16, words: 256 };
const TEXT_MAX = 1_600;
const NAME_MAX = 120;

type Raw = Record<string, unknown>;

/** A line of a segment. */
export function parseLine(line: string): Snapshot | Beat | null {
  const raw = object(line);
  if (raw?.['k'] === 's') return snapshot(raw);
  return raw?.['k'] === 'b' ? beat(raw, 'beat') : null;
}

/** A message of the socket. */
export function parseStaff(message: string): Snapshot | Beat | StaffNews | null {
  const raw = object(message);
  if (!raw) return null;
  const text = (key: string): string | null => (typeof raw[key] === 'string' ? clean(raw[key] as string, TEXT_MAX) : null);
  switch (raw['k']) {
    case 's':
      return snapshot(raw);
    case 'm':
      return beat(raw, 'micro');
    case 'report': {
      const about = comment(raw['comment']);
      return about && { kind: 'report', comment: about };
    }
    case 'done':
      return {
        kind: 'done', verb: text('do') ?? '', by: text('by') ?? '', viewer: id(raw['viewer']), comment: comment(raw['comment']), word: text('word'),
        atMs: whole(raw['at']) ?? 0,
      };
    case 'failed':
      return { kind: 'failed', verb: text('do'), message: text('message') ?? '' };
    case 'verdict': {
      const about = id(raw['id']);
      return about === null ? null : { kind: 'verdict', id: about, accepted: whole(raw['seq']) !== null, code: text('code') };
    }
    case 'jury':
      return { kind: 'jury', id: whole(raw['id']) ?? 0, finding: text('finding') ?? '' };
    case 'words':
      return { kind: 'words', words: list(raw['words'], MOST.words, name), listed: whole(raw['listed']) ?? 0 };
    default:
      return null;
  }
}

function object(text: string): Raw | null {
  if (text.length > LINE_MAX) return null;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Raw) : null;
  } catch {
    return null;
  }
}

function snapshot(raw: Raw): Snapshot | null {
  const [epoch, seq, atMs] = [whole(raw['epoch']), whole(raw['seq']), whole(raw['at'])];
  if (raw['v'] !== VERSION || epoch === null || seq === null || atMs === null) return null;
  const hearts = colours(raw['hearts']);
  if (!hearts) return null;
  return {
    kind: 'snapshot', epoch, seq, atMs, hearts,
    total: whole(raw['total']) ?? hearts.reduce((sum, one) => sum + one, 0),
    said: whole(raw['said']) ?? 0,
    viewers: viewers(raw['viewers']) ?? { count: 0, error: 0 },
    rules: rules(raw['rules']) ?? FIRST_RULES,
    level: Math.min(4, whole(raw['level']) ?? 0),
    pin: comment(raw['pin']),
    last: list(raw['last'], MOST.comments, comment),
    muted: list(raw['muted'], MOST.ids, mute),
    juries: list(raw['juries'], MOST.juries, jury),
  };
}

function beat(raw: Raw, kind: Beat['kind']): Beat | null {
  const [seq, atMs] = [whole(raw['seq']), whole(raw['at'])];
  if (seq === null || atMs === null) return null;
  const joins = (raw['joins'] ?? {}) as Raw;
  const level = whole(raw['level']);
  return {
    kind, seq, atMs,
    hearts: colours(raw['hearts']),
    comments: list(raw['comments'], MOST.comments, comment),
    joins: { count: whole(joins['n']) ?? 0, names: list(joins['names'], MOST.names, name) },
    viewers: viewers(raw['viewers']),
    gone: list(raw['gone'], MOST.ids, id),
    muted: list(raw['muted'], MOST.ids, mute),
    pin: raw['pin'] === false ? false : comment(raw['pin']),
    rules: rules(raw['rules']),
    level: level === null ? null : Math.min(4, level),
    juries: list(raw['juries'], MOST.juries, jury),
  };
}

function comment(value: unknown): Comment | null {
  if (typeof value !== 'object' || value === null) return null;
  const raw = value as Raw;
  const [key, author, by, mediaMs] = [id(raw['id']), id(raw['u']), name(raw['n']), whole(raw['m'])];
  if (key === null || author === null || by === null || mediaMs === null || typeof raw['t'] !== 'string') return null;
  return { id: key, author, name: by, text: clean(raw['t'], TEXT_MAX), mediaMs, broadcaster: raw['b'] === true };
}

function viewers(value: unknown): Viewers | null {
  if (typeof value !== 'object' || value === null) return null;
  const count = whole((value as Raw)['n']);
  return count === null ? null : { count, error: whole((value as Raw)['err']) ?? 0 };
}

function rules(value: unknown): Rules | null {
  if (typeof value !== 'object' || value === null) return null;
  const raw = value as Raw;
  // A rule out of range would make a page flood the server or fall silent: it is brought into range.
  const within = (key: string, least: number, most: number, usual: number): number =>
    Math.min(most, Math.max(least, whole(raw[key]) ?? usual));
  const gate = typeof raw['gate'] === 'string' && /^(all|approved|nobody|first:\d{1,9})$/.test(raw['gate']) ? raw['gate'] : 'all';
  return {
    tapMs: within('tap_ms', 50, 60_000, FIRST_RULES.tapMs), tapIn: within('tap_in', 0, 4_096, 1),
    heartbeatMs: within('hb_ms', 1_000, 600_000, FIRST_RULES.heartbeatMs), heartbeatIn: within('hb_in', 1, 4_096, 1),
    slowMs: within('slow_ms', 0, 600_000, 0), gate, beatMs: within('beat_ms', 50, 10_000, FIRST_RULES.beatMs),
    jitterMs: within('jitter_ms', 0, 60_000, FIRST_RULES.jitterMs), juries: raw['jury'] !== false,
  };
}

function mute(value: unknown): Mute | null {
  if (!Array.isArray(value)) return null;
  const [viewer, untilMs] = [id(value[0]), whole(value[1])];
  return viewer === null || untilMs === null ? null : { viewer, untilMs };
}

function jury(value: unknown): Jury | null {
  if (typeof value !== 'object' || value === null) return null;
  const raw = value as Raw;
  const [key, about, untilMs] = [whole(raw['id']), comment(raw['comment']), whole(raw['until'])];
  if (key === null || !about || untilMs === null) return null;
  return { id: key, jurors: list(raw['jurors'], MOST.jurors, id), comment: about, untilMs };
}

function colours(value: unknown): number[] | null {
  if (!Array.isArray(value) || value.length !== COLOURS) return null;
  return value.map((one) => whole(one) ?? 0);
}

function list<T>(value: unknown, most: number, parse: (one: unknown) => T | null): T[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, most).map(parse).filter((one) => one !== null);
}

function whole(value: unknown): number | null {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function id(value: unknown): string | null {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value) ? value : null;
}

function name(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? clean(value, NAME_MAX) : null;
}

/** Without control characters and without those that turn the direction of what follows. */
function clean(text: string, most: number): string {
  return text.slice(0, most).replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, ' ');
}
