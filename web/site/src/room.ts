// The room on the watch page: hearts, comments, and everything a viewer can do, over the picture.
//
// In → Out: the page's player and broadcast → a layer over it; taps anywhere on the picture, keys, the comment line → the room.
// Loaded after the first picture: nothing of it may compete with that. Taps on controls are not hearts.
// Spec: docs/ix.md; WAI-ARIA, "log", "status".

import { type Comment, type Jury, type OwnComment, Room } from '../../interaction/src/index.ts';
import type { NearcastPlayerElement } from '../../player/src/element.ts';
import { CommentsView } from './comments_view.ts';
import { Composer, followKeyboard } from './composer.ts';
import { icon, keep, make, recall, say, storage } from './dom.ts';
import { HeartsView } from './hearts_view.ts';
import { heard, invitation, joined, reason } from './room_words.ts';
import { openAsk, openJury, openMenu, type Choice } from './sheet.ts';
import { short } from './words.ts';

/** What the room tells the rest of the page. */
export interface RoomCounts {
  viewers: number;
  exact: boolean;
  hearts: number;
}

const HEARD_EVERY_MS = 4_000;
const BLOCKED_MAX = 300;
const BLOCKED_KEY = 'nearcast.blocked';
const QUIET_KEY = 'nearcast.quiet';
const JURY_KEY = 'nearcast.jury';
/** Taps that follow each other faster do not bring the controls back. */
const TAPPING_MS = 1_500;

/** Opens the room of a broadcast over its picture. */
export function startRoom(id: string, element: NearcastPlayerElement, counts: (counts: RoomCounts) => void): void {
  new RoomPage(id, element, counts).start();
}

class RoomPage {
  private readonly layer = make('section', 'room');
  private readonly hearts: HeartsView;
  private readonly comments: CommentsView;
  private readonly composer: Composer;
  private readonly pin = make('div', 'pin');
  private readonly log = make('p', 'heard');
  private readonly room: Room;
  private readonly blocked = new Set((recall('localStorage', BLOCKED_KEY) ?? '').split(' ').filter(Boolean));
  private unheard: Comment[] = [];
  private lastTapMs = -Infinity;

  constructor(
    id: string,
    private readonly element: NearcastPlayerElement,
    private readonly counts: (counts: RoomCounts) => void,
  ) {
    const sky = make('div', 'hearts');
    sky.ariaHidden = 'true';
    const list = make('ol', 'comments');
    list.setAttribute('aria-label', 'Comments');
    const notice = make('p', 'notice');
    notice.setAttribute('role', 'status');
    this.log.setAttribute('role', 'log');
    this.log.setAttribute('aria-live', 'polite');
    this.pin.hidden = true;
    this.hearts = new HeartsView(sky);
    this.comments = new CommentsView(list, (comment, own) => this.chosen(comment, own));
    this.composer = new Composer(notice, {
      speak: (text) => (this.room.speak(text) ? null : 'Your last comments are still on their way.'),
      heart: () => this.tap(),
      rename: () => this.rename(),
      hideAll: (hidden) => this.hideAll(hidden),
    });
    this.layer.hidden = true;
    this.layer.setAttribute('aria-label', 'Comments and hearts');
    this.layer.append(this.pin, sky, list, this.log, notice, this.composer.element);
    this.room = new Room(id, environment(element), {
      changed: () => this.changed(),
      comments: (comments, late) => this.say(comments, late),
      gone: (ids) => this.comments.remove(ids),
      gap: (known) => this.comments.keepOnly(known),
      hearts: (flights) => {
        if (!this.quiet) this.hearts.fly(flights);
      },
      joins: (count, names) => {
        if (!this.quiet) this.comments.line(joined(count, names));
      },
      own: (comment) => this.comments.own(comment, { viewer: this.room.me.known?.viewer ?? '', name: this.room.me.name }),
      jury: (jury) => this.jury(jury),
      notice: (code, message) => this.composer.tell(reason(code, message)),
      reading: (state) => this.layer.classList.toggle('apart', state === 'lost'),
    });
  }

  start(): void {
    this.element.after(this.layer);
    followKeyboard();
    this.hideAll(recall('localStorage', QUIET_KEY) === 'on');
    if (recall('localStorage', JURY_KEY) === 'off') this.room.duty(false);
    this.listen();
    this.room.start();
    setInterval(() => this.speakAloud(), HEARD_EVERY_MS);
    // A mute runs out without a line that says so.
    setInterval(() => this.invite(), 1_000);
    Object.assign(window.nearcast ?? {}, { room: this.room, heartsLaunched: () => this.hearts.launched });
  }

  private get quiet(): boolean {
    return this.layer.classList.contains('quiet');
  }

  private changed(): void {
    const { state, me } = this.room;
    if (!state.known) return;
    this.layer.hidden = false;
    document.body.classList.add('with-room');
    this.counts({ viewers: state.viewers.count, exact: state.viewers.error === 0, hearts: state.total });
    this.composer.hearts(state.total > 0 ? short(state.total) : '');
    this.composer.as(me.name, this.room.colour);
    this.invite();
    this.showPin(state.pin && !this.blocked.has(state.pin.author) ? state.pin : null);
  }

  private invite(): void {
    const { state, me } = this.room;
    const now = serverMs(this.element) ?? Date.now();
    const until = me.known ? state.mutedUntil(me.known.viewer, now) : null;
    const { text, open } = invitation(state.rules, state.level, until === null || until === 0 ? until : until - now);
    this.composer.invite(text, open);
  }

  private showPin(pin: Comment | null): void {
    if (this.pin.dataset['id'] === (pin?.id ?? '')) return;
    this.pin.dataset['id'] = pin?.id ?? '';
    this.pin.hidden = pin === null;
    if (!pin) return;
    const text = make('span', 'text', pin.text);
    text.dir = 'auto';
    const words = make('p');
    words.append(make('bdi', 'name', pin.name), ' ', text);
    this.pin.replaceChildren(icon('pin'), make('span', 'unseen', 'Pinned: '), words);
  }

  private say(comments: Comment[], late: boolean): void {
    const wanted = comments.filter((comment) => !this.blocked.has(comment.author));
    for (const comment of wanted) this.comments.add(comment);
    if (!late) this.unheard.push(...wanted);
  }

  /** One thing at a time, and not more often than somebody can listen. */
  private speakAloud(): void {
    if (this.unheard.length === 0 || this.quiet) return;
    say(this.log, heard(this.unheard));
    this.unheard = [];
  }

  private chosen(comment: Comment, own: OwnComment | null): void {
    if (own) {
      if (own.fate.kind !== 'refused') return;
      openMenu(comment, [
        { words: 'Write it again', act: () => this.again(own) },
        { words: 'Throw it away', danger: true, act: () => this.comments.remove([own.id]) },
      ]);
      return;
    }
    const choices: Choice[] = [{ words: 'Reply', act: () => this.composer.begin(`@${comment.name} `) }];
    if (!comment.broadcaster) {
      choices.push(
        { words: this.room.state.rules.juries ? 'Report to a jury of viewers' : 'Report to the moderators', danger: true, act: () => this.report(comment) },
        { words: `Hide everything from ${comment.name}`, danger: true, act: () => this.block(comment) },
      );
    }
    openMenu(comment, choices);
  }

  private again(own: OwnComment): void {
    this.comments.remove([own.id]);
    this.composer.begin(own.text);
  }

  /** Who reports somebody does not want to read them either. */
  private report(comment: Comment): void {
    this.room.report(comment.id);
    this.block(comment);
    const asked = this.room.state.rules.juries ? 'Five viewers are asked' : 'The moderators see it';
    this.composer.tell(`Reported. ${asked}; you will not see this person any more.`);
  }

  private block(comment: Comment): void {
    this.blocked.add(comment.author);
    keep('localStorage', BLOCKED_KEY, [...this.blocked].slice(-BLOCKED_MAX).join(' '));
    this.comments.removeAuthor(comment.author);
    this.composer.tell(`You will not see ${comment.name} any more.`);
    this.changed();
  }

  private rename(): void {
    openAsk('Your name', 'Your name', this.room.me.name, async (name) => {
      const why = await this.room.rename(name);
      return why === null ? null : reason('', why);
    });
  }

  private jury(jury: Jury): void {
    const leftMs = jury.untilMs - (serverMs(this.element) ?? Date.now());
    if (leftMs < 500) return;
    openJury(jury, Math.min(leftMs, 60_000), (is) => this.room.vote(jury.id, is), () => {
      keep('localStorage', JURY_KEY, 'off');
      this.room.duty(false);
    });
  }

  private hideAll(hidden: boolean): void {
    this.layer.classList.toggle('quiet', hidden);
    keep('localStorage', QUIET_KEY, hidden ? 'on' : null);
    this.composer.hidden(hidden);
  }

  private tap(): void {
    if (!this.room.state.known) return;
    this.room.tap();
    navigator.vibrate?.(8);
  }

  private listen(): void {
    this.element.addEventListener('pointerdown', (event) => this.pressed(event), { capture: true });
    // Two hearts in a row are no wish for the full screen; its button and key are still there.
    this.element.addEventListener('dblclick', (event) => {
      if (onPicture(event)) event.stopPropagation();
    }, { capture: true });
    document.addEventListener('keydown', (event) => this.key(event));
    addEventListener('online', () => this.room.retrySoon());
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.room.retrySoon();
    });
    addEventListener('pagehide', () => this.room.leave());
  }

  private pressed(event: PointerEvent): void {
    if (!event.isPrimary || event.button !== 0 || !onPicture(event)) return;
    if (document.body.classList.contains('typing')) {
      // The first tap beside the line ends the typing.
      (document.activeElement as HTMLElement | null)?.blur();
      return;
    }
    const now = performance.now();
    const drumming = now - this.lastTapMs < TAPPING_MS;
    this.lastTapMs = now;
    this.tap();
    if (event.pointerType === 'touch' && (drumming || !this.element.hasAttribute('idle'))) event.stopPropagation();
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.repeat) return;
    const origin = event.composedPath()[0];
    if (origin instanceof Element && origin.closest('input, textarea, select, dialog')) return;
    const key = event.key.toLowerCase();
    if (key === 'h') this.tap();
    else if (key === 'c') this.composer.focus();
    else return;
    event.preventDefault();
  }
}

/** Whether an event of the player began on the picture and not on one of its controls. */
function onPicture(event: Event): boolean {
  const origin = event.composedPath()[0];
  if (!(origin instanceof Element)) return false;
  return origin instanceof HTMLVideoElement || (origin.closest('button, a, input, select, [role]') === null && !origin.matches('.bar, .bar *'));
}

/** Unix time at the server; null while unknown. */
function serverMs(element: NearcastPlayerElement): number | null {
  const clock = element.stats()?.clock;
  return clock ? performance.timeOrigin + performance.now() + clock.offsetMs : null;
}

function environment(element: NearcastPlayerElement): ConstructorParameters<typeof Room>[1] {
  return {
    fetch: (url, init) => fetch(url, init),
    sleep: (ms, signal) => new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      if (signal.aborted) done();
      else signal.addEventListener('abort', done);
    }),
    random: Math.random,
    nowMs: () => performance.now(),
    serverMs: () => serverMs(element),
    playheadMs: () => {
      const stats = element.stats();
      return stats?.clock && stats.latencyMs !== null ? performance.timeOrigin + performance.now() + stats.clock.offsetMs - stats.latencyMs : null;
    },
    present: () => document.visibilityState === 'visible',
    store: storage('localStorage'),
  };
}
