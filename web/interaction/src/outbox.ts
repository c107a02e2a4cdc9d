// What this viewer wants to say, and when it is sent: taps summed, comments kept until the server has answered for them.
//
// In → Out: taps, comments, votes, the time, answers → the next request to send, and what became of each comment.
// Two lanes, each with one request under way: a comment's answer takes a beat or more, and hearts must not wait for it.
// A comment stays until it is acknowledged or refused; a tap older than 10 s is forgotten, its moment has passed.
// Spec: docs/ix.md, "The way up", "Limits", "Refusals".

import { FIRST_RULES, type Rules } from './wire.ts';

/** What became of a comment of one's own. */
export type Fate =
  /** Not answered for yet; `offline` says that the server cannot be reached. */
  | { kind: 'sending'; offline: boolean }
  /** In the beat of everybody. */
  | { kind: 'said' }
  /** Taken, but more was said than people can read: only its author sees it. */
  | { kind: 'crowded' }
  | { kind: 'refused'; code: string; message: string };

/** A comment of one's own. */
export interface OwnComment {
  id: string;
  text: string;
  mediaMs: number | null;
  fate: Fate;
}

/** Which requests wait for each other. */
export type Lane = 'light' | 'say';

/** A request to send. */
export interface Request {
  lane: Lane;
  body: Record<string, unknown>;
  /** Hearts in it, as the server counts them. */
  hearts: number;
}

/** The answer to a request. */
export type Outcome =
  | { kind: 'ok'; hearts: number; comments: { id: string; error: { code: string; message: string } | null }[] }
  /** Refused as a whole. */
  | { kind: 'refused'; status: number; code: string; message: string }
  /** No answer. */
  | { kind: 'lost' };

/** Told by the outbox. */
export interface OutboxOutput {
  /** This comment of one's own stands differently. */
  own(comment: OwnComment): void;
  /** Something other than a comment was refused, or a limit was met. */
  notice(code: string, message: string): void;
}

/** Taps are worth something for so long. */
export const TAP_LIFE_MS = 10_000;
/** Own comments that may wait at once. */
export const WAITING_MAX = 20;

const TAPS_MAX = 100;
const COMMENTS_MAX = 4;
const BACKOFF_FIRST_MS = 400;
const BACKOFF_MAX_MS = 8_000;
/** Refusals of a comment after which it is sent again by itself. */
const PASSING = ['slow', 'rate_viewer', 'rate_prefix'];
const TRIES_MAX = 4;

interface Taps {
  count: number;
  oneIn: number;
  firstMs: number;
}

interface LaneState {
  underWay: boolean;
  /** Kept when a request is repeated. */
  id: string | null;
  failures: number;
  notBeforeMs: number;
}

interface Said {
  comment: OwnComment;
  tries: number;
}

type Note = { report: string } | { vote: { jury: number; is: string } } | { jury: boolean } | { leave: true };

/** Everything that waits to be sent. */
export class Outbox {
  rules: Rules = FIRST_RULES;
  private taps: Taps | null = null;
  /** What the light request under way or to be repeated holds. */
  private light: { taps: Taps | null; beat: { in: number; join: boolean } | null; note: Note | null } | null = null;
  private say: Said[] = [];
  private saying: Said[] = [];
  private notes: Note[] = [];
  private readonly lanes: Record<Lane, LaneState> = { light: fresh(), say: fresh() };
  private lastSaidMs = -Infinity;
  private beatDueMs = -Infinity;
  private joined = false;

  constructor(
    private readonly output: OutboxOutput,
    private readonly newId: () => string,
    private readonly random: () => number,
  ) {}

  /** A tap. It floats on this screen whatever becomes of it; false if the rules keep it here. */
  tap(nowMs: number): boolean {
    const { tapIn } = this.rules;
    if (tapIn === 0 || this.random() * tapIn >= 1) return false;
    if (!this.taps || this.taps.oneIn !== tapIn || nowMs - this.taps.firstMs > TAP_LIFE_MS) {
      this.taps = { count: 0, oneIn: tapIn, firstMs: nowMs };
    }
    if (this.taps.count >= TAPS_MAX) return false;
    this.taps.count += 1;
    return true;
  }

  /** A comment; null if too many wait already. */
  speak(text: string, mediaMs: number | null): OwnComment | null {
    if (this.say.length + this.saying.length >= WAITING_MAX) return null;
    const comment: OwnComment = { id: this.newId(), text, mediaMs, fate: { kind: 'sending', offline: this.lanes.say.failures > 0 } };
    this.say.push({ comment, tries: 0 });
    return comment;
  }

  report(comment: string): void {
    this.note({ report: comment });
  }

  vote(jury: number, is: 'abuse' | 'fine' | 'unsure'): void {
    this.note({ vote: { jury, is } });
  }

  /** Whether this viewer sits in juries. */
  duty(on: boolean): void {
    this.note({ jury: on });
  }

  /** The request to send now on this lane, or null. `present`: somebody is watching. */
  next(lane: Lane, nowMs: number, present: boolean): Request | null {
    const state = this.lanes[lane];
    if (state.underWay || nowMs < state.notBeforeMs) return null;
    const content = lane === 'light' ? this.nextLight(nowMs, present) : this.nextSay(nowMs);
    if (!content) {
      state.id = null;
      return null;
    }
    state.underWay = true;
    state.id ??= this.newId();
    return { lane, body: { v: 1, id: state.id, ...content.body }, hearts: content.hearts };
  }

  /** What the server answered to the request under way. */
  done(lane: Lane, outcome: Outcome, nowMs: number): void {
    const state = this.lanes[lane];
    state.underWay = false;
    const again = outcome.kind === 'lost' || (outcome.kind === 'refused' && (outcome.status >= 500 || outcome.status === 404 || outcome.status === 401));
    if (again) {
      state.failures += 1;
      const step = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(10, state.failures - 1));
      state.notBeforeMs = nowMs + step * (0.75 + this.random() / 2);
      if (lane === 'say') this.tell({ kind: 'sending', offline: true });
      return;
    }
    state.failures = 0;
    state.id = null;
    if (outcome.kind === 'refused' && outcome.status === 429) {
      state.notBeforeMs = nowMs + 1_000 * (1 + this.random());
    }
    if (lane === 'light') {
      this.light = null;
      if (outcome.kind === 'refused') this.output.notice(outcome.code, outcome.message);
    } else {
      this.settle(outcome, nowMs);
    }
  }

  /** The way is free again: what waits is tried at once. */
  retrySoon(nowMs: number): void {
    for (const state of Object.values(this.lanes)) state.notBeforeMs = Math.min(state.notBeforeMs, nowMs);
  }

  /** The goodbye, sent past the lanes. */
  farewell(): Record<string, unknown> | null {
    return this.joined ? { v: 1, id: this.newId(), leave: true } : null;
  }

  /** A new identity has to say that it is there. */
  rejoin(): void {
    this.joined = false;
    this.beatDueMs = -Infinity;
  }

  get waiting(): number {
    return this.say.length + this.saying.length;
  }

  private note(note: Note): void {
    if (this.notes.length < WAITING_MAX) this.notes.push(note);
  }

  private nextLight(nowMs: number, present: boolean): { body: Record<string, unknown>; hearts: number } | null {
    if (this.taps && nowMs - this.taps.firstMs > TAP_LIFE_MS) this.taps = null;
    if (!this.light) {
      const ripe = this.taps && this.taps.count > 0 && nowMs - this.taps.firstMs >= this.rules.tapMs;
      const beat = present && nowMs >= this.beatDueMs ? this.heartbeat(nowMs) : null;
      const note = this.notes.shift() ?? null;
      if (!ripe && !beat && !note) return null;
      this.light = { taps: this.taps, beat, note };
      this.taps = null;
    }
    const { taps, beat, note } = this.light;
    const old = !taps || taps.count === 0 || nowMs - taps.firstMs > TAP_LIFE_MS;
    if (old && !beat && !note) {
      this.light = null;
      return null;
    }
    const body: Record<string, unknown> = { ...(note ?? {}) };
    if (beat) body['hb'] = beat;
    if (!old) body['taps'] = { n: taps.count, in: taps.oneIn, age: Math.max(0, Math.round(nowMs - taps.firstMs)) };
    return { body, hearts: old ? 0 : taps.count * taps.oneIn };
  }

  /** One in so many pages says that it is there, each for all of them. */
  private heartbeat(nowMs: number): { in: number; join: boolean } | null {
    const { heartbeatMs, heartbeatIn } = this.rules;
    this.beatDueMs = nowMs + heartbeatMs;
    if (this.random() * heartbeatIn >= 1) return null;
    const join = !this.joined;
    this.joined = true;
    return { in: heartbeatIn, join };
  }

  private nextSay(nowMs: number): { body: Record<string, unknown>; hearts: number } | null {
    if (this.saying.length === 0) {
      if (this.say.length === 0 || nowMs < this.lastSaidMs + this.rules.slowMs) return null;
      this.saying = this.say.splice(0, this.rules.slowMs > 0 ? 1 : COMMENTS_MAX);
    }
    const comments = this.saying.map(({ comment }) => ({
      id: comment.id, t: comment.text, ...(comment.mediaMs === null ? {} : { m: Math.max(0, Math.round(comment.mediaMs)) }),
    }));
    return { body: { comments }, hearts: 0 };
  }

  private settle(outcome: Outcome, nowMs: number): void {
    const answered = this.saying;
    this.saying = [];
    const again: Said[] = [];
    for (const said of answered) {
      const error = this.errorOf(said, outcome);
      if (!error) {
        this.lastSaidMs = nowMs;
        this.tellOne(said, { kind: 'said' });
      } else if (error.code === 'crowded') {
        this.tellOne(said, { kind: 'crowded' });
      } else if (PASSING.includes(error.code) && said.tries + 1 < TRIES_MAX) {
        said.tries += 1;
        again.push(said);
        this.lanes.say.notBeforeMs = Math.max(this.lanes.say.notBeforeMs, nowMs + Math.max(1_000, this.rules.slowMs));
      } else {
        this.tellOne(said, { kind: 'refused', ...error });
      }
    }
    this.say.unshift(...again);
  }

  private errorOf(said: Said, outcome: Outcome): { code: string; message: string } | null {
    if (outcome.kind === 'refused') return { code: outcome.code, message: outcome.message };
    if (outcome.kind === 'lost') return null;
    const answer = outcome.comments.find((one) => one.id === said.comment.id);
    return answer ? answer.error : { code: 'unanswered', message: 'the server did not answer for this comment' };
  }

  private tell(fate: Fate): void {
    for (const said of [...this.saying, ...this.say]) this.tellOne(said, fate);
  }

  private tellOne(said: Said, fate: Fate): void {
    const before = said.comment.fate;
    if (before.kind === 'sending' && fate.kind === 'sending' && before.offline === fate.offline) return;
    said.comment.fate = fate;
    this.output.own(said.comment);
  }
}

function fresh(): LaneState {
  return { underWay: false, id: null, failures: 0, notBeforeMs: -Infinity };
}
