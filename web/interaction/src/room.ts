// One viewer in one room: reads the track, keeps the state, sends what the viewer does.
//
// In → Out: taps, comments, votes and the media time on screen → hearts, comments and changes to show, each at its moment.
// Everything that decides is in the files beside this one; here are only timers and requests.
// Spec: docs/ix.md.

import { HeartRhythm, OwnEcho, type Flight } from './hearts.ts';
import { colourOf, randomId } from './ids.ts';
import { type Identity, Me, refusalOf, type Store } from './identity.ts';
import { type Lane, Outbox, type Outcome, type OwnComment, type Request } from './outbox.ts';
import { Reader, type ReaderState } from './reader.ts';
import { type News, RoomState } from './room_state.ts';
import { Stage } from './stage.ts';
import { fetchWhole } from './whole_answer.ts';
import { type Comment, type Jury, parseLine } from './wire.ts';

/** The page around the room: network, clocks, chance, storage. */
export interface RoomEnvironment {
  fetch(url: string, init: RequestInit): Promise<Response>;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
  /** Milliseconds on a clock that never goes back. */
  nowMs(): number;
  /** Unix time at the server; null while unknown. */
  serverMs(): number | null;
  /** Unix time of the moment on screen; null while unknown. */
  playheadMs(): number | null;
  /** Whether somebody is watching. */
  present(): boolean;
  store: Store | null;
}

/** Who shows what happens. */
export interface RoomOutput {
  /** Totals, rules, the pinned comment, or who one is have changed. */
  changed(): void;
  /** Show these now. `late`: they were said before this page came. */
  comments(comments: Comment[], late: boolean): void;
  /** These must vanish. */
  gone(ids: string[]): void;
  /** Beats were missed: of what is shown, only these and one's own comments still stand. */
  gap(known: string[]): void;
  hearts(flights: Flight[]): void;
  joins(count: number, names: string[]): void;
  /** A comment of one's own stands differently. */
  own(comment: OwnComment): void;
  /** This viewer is asked; until `untilMs` on the server's clock. */
  jury(jury: Jury): void;
  notice(code: string, message: string): void;
  reading(state: ReaderState): void;
}

/** Hearts of a beat that is older than this do not float: they would come in a burst. */
export const FRESH_MS = 3_000;
const CATCH_UP_MS = 1_000;
const TICK_MS = 50;
/** Answers take a beat or two, with a review 200 ms more: what takes so long is lost, and is sent again under its id. */
export const ANSWER_MS = 8_000;

/** A room, from `start` to `stop`. */
export class Room {
  readonly state = new RoomState();
  readonly me: Me;
  private readonly outbox: Outbox;
  private readonly reader: Reader;
  private readonly stage = new Stage();
  private readonly rhythm = new HeartRhythm();
  private readonly echo = new OwnEcho();
  private readonly abort = new AbortController();
  private readonly base: string;
  private first = true;
  /** When reading began again: what comes at once after that is old. */
  private openedMs = Infinity;

  constructor(
    private readonly broadcast: string,
    private readonly env: RoomEnvironment,
    private readonly output: RoomOutput,
  ) {
    this.base = `/live/${encodeURIComponent(broadcast)}/ix/`;
    this.me = new Me(broadcast, env.store, (url, init) => this.ask(url, init), () => env.random());
    this.outbox = new Outbox(
      { own: (comment) => output.own(comment), notice: (code, message) => output.notice(code, message) },
      randomId,
      () => env.random(),
    );
    this.reader = new Reader(this.base, env, {
      segment: () => this.state.beginSegment(),
      line: (line) => this.take(line),
      state: (state) => {
        this.openedMs = state === 'open' ? env.nowMs() : Infinity;
        output.reading(state);
      },
      jitterMs: () => this.state.rules.jitterMs,
    });
  }

  start(): void {
    void this.reader.run();
    void this.tick();
  }

  stop(): void {
    this.abort.abort();
    this.reader.stop();
  }

  /** The colour of this viewer's hearts; null before the server has given an identity. */
  get colour(): number | null {
    return this.me.known ? colourOf(this.me.known.viewer) : null;
  }

  /** A tap: floats here at once, and goes to the others by the room's rules. */
  tap(): void {
    this.outbox.tap(this.env.nowMs());
    this.output.hearts([{ colour: this.colour ?? 0, delayMs: 0 }]);
  }

  /** A comment: shown here at once; null if too many wait already. */
  speak(text: string): OwnComment | null {
    const comment = this.outbox.speak(text, this.env.playheadMs());
    if (!comment) return null;
    this.state.remember(comment.id);
    this.output.own(comment);
    return comment;
  }

  report(comment: string): void {
    this.outbox.report(comment);
  }

  vote(jury: number, is: 'abuse' | 'fine' | 'unsure'): void {
    this.outbox.vote(jury, is);
  }

  /** Whether this viewer sits in juries. */
  duty(on: boolean): void {
    this.outbox.duty(on);
  }

  /** Another name is another viewer: the old one says goodbye. */
  async rename(name: string): Promise<string | null> {
    const before = this.me.known;
    const answer = await this.me.rename(name);
    if (!('token' in answer)) return answer.message;
    if (before) void this.goodbye(before);
    this.outbox.rejoin();
    this.output.changed();
    return null;
  }

  /** The network is back, or the page is looked at again. */
  retrySoon(): void {
    this.outbox.retrySoon(this.env.nowMs());
    this.reader.retrySoon();
  }

  /** The page goes away. */
  leave(): void {
    if (this.me.known) void this.goodbye(this.me.known);
    this.outbox.rejoin();
  }

  /** Comments of one's own that the server has not answered for. */
  get waiting(): number {
    return this.outbox.waiting;
  }

  private take(text: string): void {
    const line = parseLine(text);
    const news = line && this.state.apply(line);
    if (!line || !news) return;
    this.outbox.rules = this.state.rules;
    const late = this.first;
    this.first = false;
    if (news.gap) this.output.gap(news.known);
    if (news.gone.length > 0) {
      this.stage.remove(news.gone);
      this.output.gone(news.gone);
    }
    if (late) this.output.comments(news.comments, true);
    else for (const comment of news.comments) this.stage.push(comment, this.env.nowMs());
    this.showHearts(news);
    if (news.joins.count > 0 && this.isFresh(news.atMs)) this.output.joins(news.joins.count, news.joins.names);
    const viewer = this.me.known?.viewer;
    for (const jury of news.juries) if (viewer && jury.jurors.includes(viewer)) this.output.jury(jury);
    this.output.changed();
    this.showDue();
  }

  private showHearts(news: News): void {
    if (!news.hearts) return;
    const now = this.env.nowMs();
    const colour = this.colour;
    const others = colour === null ? news.hearts : this.echo.without(news.hearts, colour, now);
    if (!this.isFresh(news.atMs) || !this.env.present()) return;
    this.output.hearts(this.rhythm.spread(others, this.state.rules.beatMs, now, () => this.env.random()));
  }

  /** Whether this was written just now: what is read late must not come as a burst. */
  private isFresh(atMs: number): boolean {
    const server = this.env.serverMs();
    if (server !== null) return server - atMs <= FRESH_MS;
    // Without the server's clock the first lines of a connection are taken for old.
    return this.env.nowMs() - this.openedMs >= CATCH_UP_MS;
  }

  private showDue(): void {
    if (this.stage.size === 0) return;
    const due = this.stage.due(this.env.nowMs(), this.env.playheadMs());
    if (due.length > 0) this.output.comments(due, false);
  }

  private async tick(): Promise<void> {
    while (!this.abort.signal.aborted) {
      this.showDue();
      // Nothing is said to a room that has not been heard of.
      if (this.state.known) for (const lane of ['light', 'say'] as const) this.send(lane);
      await this.env.sleep(TICK_MS, this.abort.signal);
    }
  }

  private send(lane: Lane): void {
    const request = this.outbox.next(lane, this.env.nowMs(), this.env.present());
    if (!request) return;
    this.echo.sent(request.hearts, this.env.nowMs());
    void this.post(request).then((outcome) => {
      this.echo.correct((outcome.kind === 'ok' ? outcome.hearts : 0) - request.hearts);
      this.outbox.done(lane, outcome, this.env.nowMs());
    });
  }

  private async post(request: Request): Promise<Outcome> {
    const before = this.me.known;
    const identity = await this.me.ensure();
    if (!('token' in identity)) {
      return identity.status === 0 ? { kind: 'lost' } : { kind: 'refused', ...identity };
    }
    if (!before) this.output.changed();
    try {
      const response = await this.ask(this.address, this.init(identity, request.body));
      const body = (await response.json().catch(() => null)) as unknown;
      if (response.status === 401 && this.me.known?.token === identity.token) {
        this.me.forget();
        this.outbox.rejoin();
      }
      return response.ok ? parseReceipt(body) : { kind: 'refused', status: response.status, ...refusalOf(body) };
    } catch {
      return { kind: 'lost' };
    }
  }

  private ask(url: string, init: RequestInit): Promise<Response> {
    return fetchWhole(this.env, url, init, ANSWER_MS);
  }

  private get address(): string {
    return `/api/v1/broadcasts/${encodeURIComponent(this.broadcast)}/ix`;
  }

  private init(identity: Identity, body: unknown): RequestInit {
    return {
      method: 'POST', credentials: 'omit', cache: 'no-store', body: JSON.stringify(body),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${identity.token}` },
    };
  }

  private async goodbye(identity: Identity): Promise<void> {
    const body = this.outbox.farewell();
    if (!body) return;
    await this.env.fetch(this.address, { ...this.init(identity, body), keepalive: true }).catch(() => undefined);
  }
}

/** The answer to a request that was taken. */
export function parseReceipt(value: unknown): Outcome {
  const raw = (value ?? {}) as Record<string, unknown>;
  const listed = Array.isArray(raw['comments']) ? raw['comments'].slice(0, 8) : [];
  const comments = listed.flatMap((one: unknown) => {
    const { id, error } = (one ?? {}) as { id?: unknown; error?: unknown };
    return typeof id === 'string' ? [{ id, error: error === undefined ? null : refusalOf({ error }) }] : [];
  });
  return { kind: 'ok', hearts: typeof raw['hearts'] === 'number' ? Math.max(0, raw['hearts']) : 0, comments };
}
