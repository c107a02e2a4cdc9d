// The studio: the broadcaster's own view of picture and room, and everything that keeps the room pleasant, by one tap.
//
// In → Out: `/studio/{id}` and the stream key → a ticket, a socket, and what comes over it; orders back.
// The key lives in this tab only (sessionStorage) and is sent to nobody but the API.
// Spec: docs/ix.md, "The socket", "Moderation"; design contract "Paths".

import '../../player/src/element.ts';
import { type Command, randomId, type Snapshot, Staff, type StaffNews, type StaffStatus } from '../../interaction/src/index.ts';
import type { News } from '../../interaction/src/room_state.ts';
import { findRaw, repeat } from './api.ts';
import { button, icon, keep, make, recall, say } from './dom.ts';
import { whyNot } from './composer.ts';
import { draw, middle, PerSecond } from './graph.ts';
import { HeartsView } from './hearts_view.ts';
import { HeartRhythm } from '../../interaction/src/hearts.ts';
import { joined, reason } from './room_words.ts';
import { StudioRules } from './studio_rules.ts';
import { StudioForbidden } from './studio_forbidden.ts';
import { StudioStream } from './studio_stream.ts';
import { adviceIn, deed, finding, reactsTo } from './studio_words.ts';
import { age, short } from './words.ts';

const DRAW_EVERY_MS = 500;
const LOG_MAX = 100;
const REACTIONS_KEPT = 9;
const ADVICE_EVERY_MS = 5_000;

const LINES: Record<StaffStatus, string> = {
  connecting: 'Connecting…', open: 'Live', refused: 'Not let in', no_room: 'Not on air', lost: 'Connection lost. Trying again…',
};

/** The broadcast in `/studio/{id}`. */
export function studioInPath(path: string): string | null {
  const segment = /^\/studio\/([^/]+)\/?$/.exec(path)?.[1];
  try {
    return segment === undefined ? null : decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/** One evening in the studio. */
class Studio {
  private readonly stream: StudioStream;
  private readonly rules: StudioRules;
  private readonly forbidden: StudioForbidden;
  private readonly staff: Staff;
  private readonly player = make('nearcast-player');
  private readonly hearts: HeartsView;
  private readonly rhythm = new HeartRhythm();
  private readonly perSecond = new PerSecond();
  private readonly graph = make('canvas', 'bars');
  private readonly figures = { viewers: make('b'), hearts: make('b'), said: make('b'), reacts: make('b'), peak: make('span', 'peak') };
  private readonly log = make('ul', 'log');
  private readonly reports = make('ul', 'reports');
  private readonly advice = make('ul', 'advice');
  private readonly told = make('p', 'told');
  private readonly pinned = make('p', 'now-pinned');
  private reactions: number[] = [];

  constructor(
    private readonly id: string,
    secret: string,
    private readonly main: HTMLElement,
    private readonly line: HTMLElement,
    private readonly refused: (message: string) => void,
  ) {
    const order = (command: Command): void => this.order(command);
    this.stream = new StudioStream(order);
    this.rules = new StudioRules(order);
    this.forbidden = new StudioForbidden(order);
    this.rules.element.append(this.forbidden.element);
    const sky = make('div', 'hearts');
    sky.ariaHidden = 'true';
    this.hearts = new HeartsView(sky);
    this.build(sky);
    this.staff = new Staff(id, secret, {
      fetch: (url, init) => fetch(url, init),
      sleep: (ms, signal) => new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          resolve();
        }, { once: true });
      }),
      random: Math.random,
      socket: (path) => {
        const url = new URL(path, location.href);
        url.protocol = url.protocol.replace('http', 'ws');
        return new WebSocket(url);
      },
    }, {
      status: (status, message) => this.status(status, message),
      snapshot: (snapshot) => this.begin(snapshot),
      news: (news) => this.news(news),
      staff: (news) => this.heard(news),
    });
  }

  start(): void {
    void this.staff.run();
    setInterval(() => this.redraw(), DRAW_EVERY_MS);
    repeat(async () => {
      const raw = await findRaw(this.id);
      this.advice.replaceChildren(...adviceIn(raw).map((text) => make('li', '', text)));
      return ADVICE_EVERY_MS;
    });
    Object.assign(window, { studio: { staff: this.staff, heartsLaunched: () => this.hearts.launched } });
  }

  private build(sky: HTMLElement): void {
    this.player.setAttribute('src', `/live/${encodeURIComponent(this.id)}/index.m3u8`);
    this.player.setAttribute('muted', '');
    this.player.setAttribute('controls', '');
    this.player.setAttribute('latency', '');
    this.player.setAttribute('aria-label', 'Your picture, as viewers see it');
    const picture = make('div', 'stage');
    picture.append(this.player, sky);
    const figure = (value: HTMLElement, words: string): HTMLElement => {
      const box = make('div', 'figure');
      box.append(value, make('span', '', words));
      return box;
    };
    const figures = make('div', 'figures');
    figures.append(figure(this.figures.viewers, 'watching'), figure(this.figures.hearts, 'hearts'), figure(this.figures.said, 'comments'));
    const reacts = figure(this.figures.reacts, 'they react to');
    reacts.classList.add('reacts');
    figures.append(reacts);
    const chart = make('figure', 'chart');
    const caption = make('figcaption', '', 'Hearts, last three minutes');
    caption.append(this.figures.peak);
    this.graph.setAttribute('role', 'img');
    this.graph.setAttribute('aria-label', 'Hearts in each second of the last three minutes');
    chart.append(caption, this.graph);
    const left = make('div', 'left-side');
    const logbook = make('details', 'logbook');
    logbook.append(make('summary', '', 'What was done'), this.log);
    left.append(picture, figures, this.advice, chart, this.rules.element, logbook);
    this.told.setAttribute('role', 'status');
    this.pinned.hidden = true;
    const right = make('div', 'right-side');
    right.append(this.pinned, this.reports, this.stream.element, this.told, this.speaker());
    this.main.replaceChildren(left, right);
  }

  /** The broadcaster's own comment line. */
  private speaker(): HTMLFormElement {
    const form = make('form', 'say');
    const field = make('div', 'field');
    const input = make('input');
    input.type = 'text';
    input.placeholder = 'Say something to everybody…';
    input.autocomplete = 'off';
    input.setAttribute('aria-label', 'Your comment');
    const send = make('button', 'send');
    send.type = 'submit';
    send.setAttribute('aria-label', 'Send');
    send.append(icon('send'));
    field.append(input, send);
    form.append(field);
    form.classList.add('ready');
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = input.value.replaceAll(/\s+/g, ' ').trim();
      const why = whyNot(text);
      if (why === null) {
        this.order({ do: 'comment', id: randomId(), t: text });
        input.value = '';
      }
      this.tell(why ?? '');
    });
    return form;
  }

  private order(command: Command): void {
    if (!this.staff.order(command)) this.tell('The line to the room is broken: this was not done.');
  }

  private status(status: StaffStatus, message: string): void {
    say(this.line, LINES[status]);
    this.line.dataset['status'] = status;
    if (status === 'refused') this.refused(message);
  }

  private begin(snapshot: Snapshot): void {
    this.totals();
    this.rules.show(snapshot.rules);
  }

  private news(news: News): void {
    for (const comment of news.comments) {
      // An author without a clock is given the live edge, which may lie a moment ahead of the beat.
      const agoMs = news.known.includes(comment.id) || comment.broadcaster ? null : Math.max(0, news.atMs - comment.mediaMs);
      if (agoMs !== null) this.reactions = [...this.reactions, agoMs].slice(-REACTIONS_KEPT);
      this.stream.add(comment, agoMs);
    }
    this.dropReports(news.gone);
    this.stream.remove(news.gone);
    if (news.hearts) {
      const now = performance.now();
      this.perSecond.add(news.hearts.reduce((sum, one) => sum + one, 0), Date.now());
      this.hearts.fly(this.rhythm.spread(news.hearts, 100, now, Math.random));
    }
    if (news.joins.count > 0) this.note(joined(news.joins.count, news.joins.names));
    this.totals();
    this.rules.show(this.staff.state.rules);
  }

  private totals(): void {
    const { viewers, total, said, pin } = this.staff.state;
    say(this.figures.viewers, `${viewers.error > 0 ? '≈ ' : ''}${short(viewers.count)}`);
    say(this.figures.hearts, short(total));
    say(this.figures.said, short(said));
    say(this.figures.reacts, reactsTo(middle(this.reactions)));
    this.stream.pin(pin?.id ?? null);
    this.pinned.hidden = pin === null;
    if (pin && this.pinned.dataset['id'] !== pin.id) {
      const text = make('span', 'text', pin.text);
      text.dir = 'auto';
      this.pinned.replaceChildren(icon('pin'), make('bdi', 'name', pin.name), text, button('tool', 'Take it down', '×', () => this.order({ do: 'unpin' })));
    }
    this.pinned.dataset['id'] = pin?.id ?? '';
  }

  private heard(news: StaffNews): void {
    if (news.kind === 'failed') this.tell(news.message);
    else if (news.kind === 'verdict' && news.code !== null) this.tell(reason(news.code, ''));
    else if (news.kind === 'jury') this.note(finding(news.finding));
    else if (news.kind === 'done') this.note(deed(news, (viewer) => this.stream.nameOf(viewer)), news);
    else if (news.kind === 'report') this.report(news);
    else if (news.kind === 'words') this.forbidden.show(news.words, news.listed);
  }

  private report(news: Extract<StaffNews, { kind: 'report' }>): void {
    const { comment } = news;
    const item = make('li', 'report');
    item.dataset['id'] = comment.id;
    const text = make('span', 'text', comment.text);
    text.dir = 'auto';
    const words = make('p');
    words.append(make('span', 'tag', 'Reported'), make('bdi', 'name', comment.name), ' ', text);
    const done = (command: Command | null) => (): void => {
      if (command) this.order(command);
      item.remove();
    };
    item.append(
      words,
      button('option', 'Delete', 'Delete', done({ do: 'delete', id: comment.id })),
      button('option', 'Block', 'Block', done({ do: 'block', viewer: comment.author })),
      button('option', 'It is fine', 'It is fine', done(null)),
    );
    this.reports.append(item);
    while (this.reports.children.length > 5) this.reports.firstElementChild?.remove();
  }

  private dropReports(gone: string[]): void {
    for (const item of [...this.reports.children]) {
      if (item instanceof HTMLElement && gone.includes(item.dataset['id'] ?? '')) item.remove();
    }
  }

  /** A line of the log, with the way back where there is one. */
  private note(text: string, news?: Extract<StaffNews, { kind: 'done' }>): void {
    const item = make('li', '', text);
    const back: Record<string, string> = { block: 'unblock', mute: 'unblock', appoint: 'dismiss' };
    const undo = news && back[news.verb];
    if (undo && news.viewer !== null) {
      const viewer = news.viewer;
      item.append(' ', button('undo', 'Undo', 'Undo', () => this.order({ do: undo, viewer })));
    }
    this.log.prepend(item);
    while (this.log.children.length > LOG_MAX) this.log.lastElementChild?.remove();
  }

  private tell(words: string): void {
    say(this.told, words);
    this.told.hidden = words === '';
  }

  private redraw(): void {
    const highest = draw(this.graph, this.perSecond.series(Date.now()));
    say(this.figures.peak, highest > 0 ? `peak ${short(highest)} a second` : '');
  }
}

/** Asks for the key, then opens the studio; asks again when the key is not taken. */
function start(): void {
  const id = studioInPath(location.pathname);
  const [main, heading, line] = [document.querySelector('main'), document.querySelector('h1'), document.querySelector<HTMLElement>('.line')];
  if (id === null || !main || !heading || !line) return;
  heading.textContent = id;
  document.title = `${id} · Studio · Nearcast`;
  const slot = `nearcast.studio.${id}`;
  const enter = (secret: string): void => {
    keep('sessionStorage', slot, secret);
    new Studio(id, secret, main, line, (message) => {
      keep('sessionStorage', slot, null);
      ask(id, main, message, enter);
    }).start();
  };
  const known = recall('sessionStorage', slot);
  if (known === null) ask(id, main, '', enter);
  else enter(known);
  void findRaw(id).then((raw) => {
    const { title, since } = (raw ?? {}) as { title?: unknown; since?: unknown };
    if (typeof title === 'string' && title.trim() !== '') heading.textContent = title;
    const began = typeof since === 'string' ? age(since, Date.now()) : null;
    if (began !== null) heading.title = `live for ${began}`;
  });
}

function ask(id: string, main: HTMLElement, wrong: string, enter: (secret: string) => void): void {
  const form = make('form', 'key');
  const input = make('input');
  input.type = 'password';
  input.autocomplete = 'off';
  input.required = true;
  input.placeholder = 'Stream key';
  input.setAttribute('aria-label', 'Stream key');
  const submit = make('button', 'choice main', 'Open the studio');
  submit.type = 'submit';
  const hint = make('p', 'hint', 'The same key that your encoder sends. It stays in this tab.');
  const error = make('p', 'wrong', wrong);
  error.setAttribute('role', 'alert');
  form.append(make('h2', '', 'Your studio'), hint, input, error, submit);
  const token = tokenOf(id);
  if (token !== null) form.append(button('choice quiet', 'I was named a moderator', 'I was named a moderator', () => enter(token)));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (input.value.trim() !== '') enter(input.value.trim());
  });
  main.replaceChildren(form);
  input.focus();
}

/** The token that the watch page keeps, for viewers who were named moderators. */
function tokenOf(id: string): string | null {
  try {
    const rooms = JSON.parse(recall('localStorage', 'nearcast.viewers') ?? '{}') as Record<string, { token?: unknown }>;
    const token = rooms[id]?.token;
    return typeof token === 'string' ? token : null;
  } catch {
    return null;
  }
}

start();
