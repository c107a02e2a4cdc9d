// The comment line: always in reach, never under the phone's keyboard.
//
// In → Out: what is typed → one call a comment; rules and refusals → words in and above the line.
// Spec: CSSOM View, "visualViewport"; docs/ix.md, "Comments" (1–200 graphemes, 1,600 bytes).

import { graphemes } from '../../interaction/src/index.ts';
import { button, icon, make, say } from './dom.ts';

const GRAPHEMES_MAX = 200;
const BYTES_MAX = 1_600;
/** From here on the line says how much is left. */
const COUNT_FROM = 160;
const NOTICE_MS = 6_000;

/** What the line calls. */
export interface ComposerOutput {
  /** Gives why not, or null. */
  speak(text: string): string | null;
  heart(): void;
  rename(): void;
  hideAll(hidden: boolean): void;
}

/** Why a text cannot be a comment; null if it can. */
export function whyNot(text: string): string | null {
  if (text === '') return 'Write something first.';
  if (graphemes(text).length > GRAPHEMES_MAX) return `A comment has at most ${GRAPHEMES_MAX} characters.`;
  return new TextEncoder().encode(text).byteLength > BYTES_MAX ? 'This comment is too long.' : null;
}

/** The line and the buttons beside it. */
export class Composer {
  readonly element = make('form', 'say');
  private readonly input = make('input');
  private readonly who: HTMLButtonElement;
  private readonly initial = make('span', 'initial');
  private readonly left = make('span', 'left');
  private readonly hide: HTMLButtonElement;
  private readonly total = make('span', 'total');
  private noticeTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly notice: HTMLElement,
    private readonly output: ComposerOutput,
  ) {
    this.who = button('who', 'Change your name', this.initial, () => output.rename());
    this.hide = button('round hide', 'Hide comments and hearts', icon('chat'), () => output.hideAll(this.hide.getAttribute('aria-pressed') !== 'true'));
    const heart = button('round love', 'Send a heart (H)', icon('heart'), () => output.heart());
    heart.append(this.total);
    this.total.ariaHidden = 'true';
    const field = make('div', 'field');
    this.input.type = 'text';
    this.input.name = 'comment';
    this.input.autocomplete = 'off';
    this.input.enterKeyHint = 'send';
    this.input.dir = 'auto';
    this.input.setAttribute('aria-label', 'Your comment');
    const send = make('button', 'send');
    send.type = 'submit';
    send.title = 'Send';
    send.setAttribute('aria-label', 'Send');
    send.append(icon('send'));
    this.left.ariaHidden = 'true';
    field.append(this.input, this.left, send);
    this.element.append(this.who, field, this.hide, heart);
    this.listen();
  }

  focus(): void {
    this.input.focus();
  }

  /** Puts text before what is written, as for a reply. */
  begin(text: string): void {
    if (!this.input.value.startsWith(text)) this.input.value = text + this.input.value;
    this.grown();
    this.input.focus();
  }

  /** What the empty line says, and whether it takes anything. */
  invite(text: string, open: boolean): void {
    if (this.input.placeholder !== text) this.input.placeholder = text;
    if (this.input.disabled === open) this.input.disabled = !open;
  }

  /** Who writes here. */
  as(name: string, colour: number | null): void {
    say(this.initial, [...name][0]?.toUpperCase() ?? '?');
    this.who.dataset['colour'] = String(colour ?? 0);
    this.who.title = `You are ${name}. Change your name`;
    this.who.setAttribute('aria-label', this.who.title);
  }

  /** All hearts of the broadcast, in few letters. */
  hearts(words: string): void {
    say(this.total, words);
  }

  hidden(on: boolean): void {
    this.hide.setAttribute('aria-pressed', String(on));
    this.hide.title = on ? 'Show comments and hearts' : 'Hide comments and hearts';
    this.hide.setAttribute('aria-label', this.hide.title);
    this.hide.replaceChildren(icon(on ? 'silent' : 'chat'));
  }

  /** Says something for a while, above the line. */
  tell(words: string): void {
    clearTimeout(this.noticeTimer);
    say(this.notice, words);
    this.notice.classList.toggle('on', words !== '');
    this.noticeTimer = setTimeout(() => this.notice.classList.remove('on'), NOTICE_MS);
  }

  private listen(): void {
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      const text = this.input.value.replaceAll(/\s+/g, ' ').trim();
      const why = whyNot(text) ?? this.output.speak(text);
      if (why !== null) {
        this.tell(why);
        return;
      }
      this.input.value = '';
      this.grown();
      this.tell('');
    });
    this.input.addEventListener('input', () => this.grown());
    this.input.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.input.blur();
    });
    for (const name of ['focus', 'blur'] as const) {
      this.input.addEventListener(name, () => document.body.classList.toggle('typing', name === 'focus'));
    }
  }

  private grown(): void {
    const length = graphemes(this.input.value.trim()).length;
    this.element.classList.toggle('ready', length > 0);
    say(this.left, length >= COUNT_FROM ? String(GRAPHEMES_MAX - length) : '');
    this.left.classList.toggle('over', length > GRAPHEMES_MAX);
  }
}

/** Keeps `--keyboard` at the height of what covers the lower part of the page. */
export function followKeyboard(): void {
  const view = window.visualViewport;
  if (!view) return;
  const move = (): void => {
    const covered = Math.max(0, innerHeight - view.height - view.offsetTop);
    // A zoomed page is smaller too; that is no keyboard.
    const keyboard = view.scale > 1.05 || covered < 40 ? 0 : Math.round(covered);
    document.documentElement.style.setProperty('--keyboard', `${keyboard}px`);
  };
  view.addEventListener('resize', move);
  view.addEventListener('scroll', move);
  move();
}
