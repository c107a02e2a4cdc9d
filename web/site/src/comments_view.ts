// Comments over the lower part of the picture: they come in below, rise as others follow, and fade.
//
// In → Out: comments, own comments and their fates, ids that are gone → list items; all text is inserted as text.
// Hovering or focusing the list brings back what has faded. Old items are taken out: the list is bounded.
// Spec: WAI-ARIA, "list"; HTML, "The dir attribute" (auto).

import { colourOf, type Comment, type OwnComment } from '../../interaction/src/index.ts';
import { calm, make, say } from './dom.ts';
import { fateInWords } from './room_words.ts';

/** How long a comment is seen before it fades. */
const SEEN_MS = 14_000;
const ITEMS_MAX = 40;
const RELEASE_MS = 1_500;

interface Item {
  element: HTMLLIElement;
  comment: Comment;
  /** Null for comments of others. */
  own: OwnComment | null;
  fate: HTMLElement | null;
}

/** The list. */
export class CommentsView {
  private readonly items = new Map<string, Item>();
  private releaseTimer: ReturnType<typeof setTimeout> | undefined;
  private lines = 0;

  constructor(
    private readonly list: HTMLElement,
    /** Somebody chose a comment. */
    private readonly chosen: (comment: Comment, own: OwnComment | null) => void,
  ) {
    list.addEventListener('pointerover', (event) => {
      if (event.pointerType === 'mouse') this.hold();
    });
    list.addEventListener('pointerleave', () => this.release());
    list.addEventListener('focusin', () => this.hold());
    list.addEventListener('focusout', () => this.release());
  }

  add(comment: Comment): void {
    if (this.items.has(comment.id)) return;
    this.insert({ element: this.build(comment, null), comment, own: null, fate: null });
  }

  /** A comment of one's own: at once when it is new, else its new fate. */
  own(own: OwnComment, me: { viewer: string; name: string }): void {
    let item = this.items.get(own.id);
    if (!item) {
      const comment: Comment = { id: own.id, author: me.viewer, name: me.name, text: own.text, mediaMs: own.mediaMs ?? 0, broadcaster: false };
      item = { element: this.build(comment, own), comment, own, fate: make('span', 'fate') };
      item.element.classList.add('mine');
      item.element.querySelector('.bubble')?.append(item.fate ?? '');
      this.insert(item);
    }
    const words = fateInWords(own.fate);
    item.element.classList.toggle('waiting', own.fate.kind === 'sending');
    item.element.classList.toggle('refused', own.fate.kind === 'refused');
    if (item.fate) say(item.fate, words);
    if (own.fate.kind === 'refused') item.element.classList.remove('old');
  }

  /** "Ann joined": a line without a bubble. */
  line(text: string): void {
    this.lines += 1;
    const element = make('li', 'line');
    element.append(make('span', '', text));
    const comment: Comment = { id: `line ${this.lines}`, author: '', name: '', text, mediaMs: 0, broadcaster: false };
    this.insert({ element, comment, own: null, fate: null });
  }

  remove(ids: string[]): void {
    for (const id of ids) {
      this.items.get(id)?.element.remove();
      this.items.delete(id);
    }
  }

  /** Everything of one author vanishes from this screen. */
  removeAuthor(author: string): void {
    this.remove([...this.items.values()].filter((item) => item.comment.author === author && !item.own).map((item) => item.comment.id));
  }

  /** Of what others said, only these still stand. */
  keepOnly(ids: string[]): void {
    const stay = new Set(ids);
    this.remove([...this.items.values()].filter((item) => !item.own && !stay.has(item.comment.id)).map((item) => item.comment.id));
  }

  private build(comment: Comment, own: OwnComment | null): HTMLLIElement {
    const element = make('li', 'comment');
    element.dataset['colour'] = String(colourOf(comment.author));
    element.classList.toggle('host', comment.broadcaster);
    const bubble = make('button', 'bubble');
    bubble.type = 'button';
    const name = make('bdi', 'name', comment.name);
    const text = make('span', 'text', comment.text);
    text.dir = 'auto';
    bubble.append(name, ' ', text);
    bubble.addEventListener('click', () => this.chosen(comment, own));
    element.append(bubble);
    return element;
  }

  private insert(item: Item): void {
    this.items.set(item.comment.id, item);
    this.list.append(item.element);
    const held = this.list.classList.contains('held');
    if (!calm() && !held && document.visibilityState === 'visible') {
      const height = item.element.offsetHeight + 6;
      // One animation lifts all of them; the layout has moved them already.
      this.list.animate([{ transform: `translateY(${height}px)` }, { transform: 'none' }], { duration: 220, easing: 'cubic-bezier(.2,.8,.3,1)' });
    }
    if (held) this.list.scrollTop = this.list.scrollHeight;
    setTimeout(() => {
      if (item.own?.fate.kind !== 'refused' && item.own?.fate.kind !== 'sending') item.element.classList.add('old');
    }, item.comment.author === '' ? SEEN_MS / 3 : SEEN_MS);
    for (const oldest of this.items.values()) {
      if (this.items.size <= ITEMS_MAX) break;
      this.remove([oldest.comment.id]);
    }
  }

  private hold(): void {
    clearTimeout(this.releaseTimer);
    if (this.list.classList.contains('held')) return;
    this.list.classList.add('held');
    this.list.scrollTop = this.list.scrollHeight;
  }

  private release(): void {
    clearTimeout(this.releaseTimer);
    this.releaseTimer = setTimeout(() => {
      if (!this.list.contains(document.activeElement)) this.list.classList.remove('held');
    }, RELEASE_MS);
  }
}
