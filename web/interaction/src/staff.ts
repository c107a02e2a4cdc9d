// The broadcaster's and the moderators' line to the room: a ticket, a socket, and again when it breaks.
//
// In → Out: a stream key or a moderator's token → snapshot, micro-beats, reports, audit lines; commands → the room.
// The secret goes only into the header of the request for a ticket; the ticket is for one use.
// Spec: docs/ix.md, "The socket", "Moderation".

import { refusalOf } from './identity.ts';
import { RoomState, type News } from './room_state.ts';
import { parseStaff, type Snapshot, type StaffNews } from './wire.ts';

/** How the line stands. */
export type StaffStatus =
  | 'connecting'
  | 'open'
  /** The secret was not taken; the line is given up. */
  | 'refused'
  /** The broadcast is not on air; tried again. */
  | 'no_room'
  /** Tried again. */
  | 'lost';

/** Anything that broadcaster or moderators may order. */
export type Command = { do: string } & Record<string, string | number | boolean>;

/** The browser around the line. */
export interface StaffEnvironment {
  fetch(url: string, init: RequestInit): Promise<Response>;
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  random(): number;
  socket(url: string): WebSocket;
}

/** Who shows what comes. */
export interface StaffOutput {
  status(status: StaffStatus, message: string): void;
  snapshot(snapshot: Snapshot): void;
  news(news: News): void;
  staff(news: StaffNews): void;
}

const BACKOFF_FIRST_MS = 400;
const BACKOFF_MAX_MS = 6_000;
const NO_ROOM_MS = 2_500;
/** Commands that may wait for a line that is being opened again. */
const WAITING_MAX = 32;

/** One line, until `stop`. */
export class Staff {
  readonly state = new RoomState();
  private readonly abort = new AbortController();
  private socket: WebSocket | null = null;
  private failures = 0;
  private waiting: string[] = [];

  constructor(
    private readonly broadcast: string,
    private readonly secret: string,
    private readonly env: StaffEnvironment,
    private readonly output: StaffOutput,
  ) {}

  /** Runs until `stop` or a refusal; never rejects. */
  async run(): Promise<void> {
    while (!this.abort.signal.aborted) {
      this.output.status('connecting', '');
      const ticket = await this.ticket();
      if (this.abort.signal.aborted) return;
      if ('ticket' in ticket) {
        await this.hold(ticket.ticket);
        if (this.abort.signal.aborted) return;
        this.output.status('lost', 'The line to the room is broken. Trying again…');
      } else if (ticket.status === 401 || ticket.status === 403) {
        this.output.status('refused', ticket.message);
        return;
      } else {
        const closed = ticket.status === 404;
        this.output.status(closed ? 'no_room' : 'lost', ticket.message);
        if (closed) this.failures = 0;
      }
      this.failures += 1;
      const step = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(10, this.failures - 1));
      const ms = 'status' in ticket && ticket.status === 404 ? NO_ROOM_MS : step;
      await this.env.sleep(ms * (0.75 + this.env.random() / 2), this.abort.signal);
    }
  }

  stop(): void {
    this.abort.abort();
    this.socket?.close();
  }

  /** Orders something; while the line is broken it waits, and false says that too much waits already. */
  order(command: Command): boolean {
    const text = JSON.stringify(command);
    if (this.socket?.readyState === 1) {
      this.socket.send(text);
      return true;
    }
    if (this.waiting.length >= WAITING_MAX) return false;
    this.waiting.push(text);
    return true;
  }

  private async ticket(): Promise<{ ticket: string } | { status: number; message: string }> {
    try {
      const response = await this.env.fetch(`/api/v1/broadcasts/${encodeURIComponent(this.broadcast)}/ticket`, {
        method: 'POST', credentials: 'omit', cache: 'no-store', headers: { authorization: `Bearer ${this.secret}` }, signal: this.abort.signal,
      });
      const body = (await response.json().catch(() => null)) as { ticket?: unknown } | null;
      if (response.ok && typeof body?.ticket === 'string') return { ticket: body.ticket };
      return { status: response.status, message: refusalOf(body).message };
    } catch {
      return { status: 0, message: 'The server does not answer. Trying again…' };
    }
  }

  /** Until the socket closes. */
  private hold(ticket: string): Promise<void> {
    return new Promise((resolve) => {
      const socket = this.env.socket(`/api/v1/broadcasts/${encodeURIComponent(this.broadcast)}/ws?ticket=${encodeURIComponent(ticket)}`);
      this.socket = socket;
      socket.addEventListener('message', (event) => this.take(String((event as MessageEvent).data)));
      socket.addEventListener('open', () => {
        this.failures = 0;
        for (const text of this.waiting.splice(0)) socket.send(text);
      });
      socket.addEventListener('close', () => {
        this.socket = null;
        resolve();
      });
    });
  }

  private take(text: string): void {
    const message = parseStaff(text);
    if (!message) return;
    if ('seq' in message) {
      const news = this.state.apply(message);
      if (message.kind === 'snapshot') {
        this.output.status('open', '');
        this.output.snapshot(message);
      }
      if (news) this.output.news(news);
    } else {
      this.output.staff(message);
    }
  }
}
