// The studio's list of comments: all of them, newest below, each with what can be done about it by one tap.
//
// In → Out: comments, deletions, pins → rows; taps → orders.
// Spec: docs/ix.md, "Moderation"; WAI-ARIA, "log".

import { colourOf, type Command, type Comment } from '../../interaction/src/index.ts';
import { button, icon, make, say } from './dom.ts';
import { openMenu } from './sheet.ts';

const ROWS_MAX = 300;
/** So near to its end the list follows what comes. */
const FOLLOW_PX = 80;

/** Orders about viewers that take a second tap, because they are rare. */
type Order = (command: Command) => void;

/** The list. */
export class StudioStream {
  readonly element = make('ol', 'stream');
  private readonly rows = new Map<string, HTMLLIElement>();
  private readonly names = new Map<string, string>();
  private pinned: string | null = null;

  constructor(private readonly order: Order) {
    this.element.setAttribute('role', 'log');
    this.element.setAttribute('aria-label', 'Comments');
    this.element.tabIndex = 0;
  }

  /** The name that a viewer was last seen with. */
  nameOf(viewer: string): string | null {
    return this.names.get(viewer) ?? null;
  }

  add(comment: Comment, agoMs: number | null): void {
    if (this.rows.has(comment.id)) return;
    this.names.set(comment.author, comment.name);
    if (this.names.size > ROWS_MAX * 2) this.names.delete(this.names.keys().next().value ?? '');
    const row = this.build(comment, agoMs);
    this.rows.set(comment.id, row);
    const following = this.element.scrollHeight - this.element.scrollTop - this.element.clientHeight < FOLLOW_PX;
    this.element.append(row);
    for (const [id, oldest] of this.rows) {
      if (this.rows.size <= ROWS_MAX) break;
      oldest.remove();
      this.rows.delete(id);
    }
    if (following) this.element.scrollTop = this.element.scrollHeight;
  }

  remove(ids: string[]): void {
    for (const id of ids) {
      this.rows.get(id)?.remove();
      this.rows.delete(id);
    }
  }

  pin(id: string | null): void {
    if (id === this.pinned) return;
    for (const [key, on] of [[this.pinned, false], [id, true]] as const) {
      const row = key === null ? undefined : this.rows.get(key);
      row?.classList.toggle('pinned', on);
      row?.querySelector('.do-pin')?.setAttribute('aria-pressed', String(on));
    }
    this.pinned = id;
  }

  private build(comment: Comment, agoMs: number | null): HTMLLIElement {
    const row = make('li', comment.broadcaster ? 'row host' : 'row');
    row.dataset['colour'] = String(colourOf(comment.author));
    const words = make('div', 'words');
    const head = make('p', 'head');
    head.append(make('bdi', 'name', comment.name));
    const ago = make('span', 'ago');
    if (agoMs !== null) say(ago, `saw ${(agoMs / 1_000).toFixed(1)} s ago`);
    head.append(ago);
    const text = make('p', 'text', comment.text);
    text.dir = 'auto';
    words.append(head, text);
    const tools = make('div', 'tools');
    const { id, author } = comment;
    tools.append(
      button('tool do-pin', 'Pin this comment', icon('pin'), () => this.order(this.pinned === id ? { do: 'unpin' } : { do: 'pin', id })),
      button('tool do-delete', 'Delete this comment', icon('trash'), () => this.order({ do: 'delete', id })),
    );
    if (!comment.broadcaster) {
      tools.append(
        button('tool do-mute', `Mute ${comment.name} for a minute`, icon('silent'), () => this.order({ do: 'mute', viewer: author, ms: 60_000 })),
        button('tool do-block', `Block ${comment.name}`, icon('block'), () => this.order({ do: 'block', viewer: author })),
        button('tool do-more', `More about ${comment.name}`, icon('more'), () => this.more(comment)),
      );
    }
    row.append(words, tools);
    return row;
  }

  private more(comment: Comment): void {
    const viewer = comment.author;
    const act = (command: Command) => (): void => this.order(command);
    openMenu(comment, [
      { words: `Make ${comment.name} a moderator`, act: act({ do: 'appoint', viewer }) },
      { words: 'No longer a moderator', act: act({ do: 'dismiss', viewer }) },
      { words: 'Let speak when only approved viewers may', act: act({ do: 'approve', viewer }) },
      { words: 'Mute for ten minutes', danger: true, act: act({ do: 'mute', viewer, ms: 600_000 }) },
      { words: 'Take back a mute or a block', act: act({ do: 'unblock', viewer }) },
    ]);
  }
}
