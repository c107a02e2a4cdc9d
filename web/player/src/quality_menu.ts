// The menu of qualities in <nearcast-player>: auto, each rendition with its height and bitrate, and data-saver.
//
// In → Out: renditions, what plays, what was chosen → a button that says it, a menu, and the viewer's choice.
// One tab stop; arrows, Home, End and first letters move inside, Escape closes and gives the focus back.
// Spec: WAI-ARIA Authoring Practices, "Menu Button", "menuitemradio", "menuitemcheckbox".

import type { Rendition } from './adaptation.ts';
import { bitrateWords, qualityName } from './quality_words.ts';

/** What the menu shows. */
export interface QualityFacts {
  renditions: readonly Rendition[];
  /** What plays now. */
  rendition: string | null;
  /** `auto`, or a rendition's name. */
  choice: string;
  dataSaver: boolean;
}

/** Told by the menu. */
export interface QualityOutput {
  choose(choice: string): void;
  saveData(on: boolean): void;
}

/** The button and the panel of one player. */
export class QualityMenu {
  private facts: QualityFacts = { renditions: [], rendition: null, choice: 'auto', dataSaver: false };
  private shown = '';

  constructor(
    private readonly button: HTMLButtonElement,
    private readonly panel: HTMLElement,
    private readonly output: QualityOutput,
  ) {
    button.addEventListener('click', () => this.toggle());
    button.addEventListener('keydown', (event) => {
      if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
      this.open(event.key === 'ArrowUp' ? -1 : null);
      event.preventDefault();
    });
    panel.addEventListener('click', (event) => this.clicked(event));
    panel.addEventListener('keydown', (event) => this.pressed(event));
    panel.addEventListener('focusout', (event) => {
      const to = event.relatedTarget;
      if (this.isOpen && to instanceof Node && !panel.contains(to) && to !== button) this.close(false);
    });
  }

  get isOpen(): boolean {
    return !this.panel.hidden;
  }

  /** Brings the button, and the panel while it is open, in line with the facts. */
  show(facts: QualityFacts): void {
    this.facts = facts;
    const { renditions, rendition, choice } = facts;
    this.button.hidden = renditions.length < 2;
    if (this.button.hidden) this.close(false);
    const now = renditions.find((one) => one.name === rendition);
    const words = now ? qualityName(now) : '';
    const label = this.button.querySelector('span');
    if (label && label.textContent !== words) label.textContent = words;
    const name = `Quality: ${choice === 'auto' ? `auto${words && `, now ${words}`}` : words}`;
    if (this.button.getAttribute('aria-label') !== name) {
      this.button.setAttribute('aria-label', name);
      this.button.title = name;
    }
    if (this.isOpen) this.fill();
  }

  /** Closes the panel, if it is open. */
  close(giveFocusBack: boolean): void {
    if (!this.isOpen) return;
    if (giveFocusBack) this.button.focus();
    this.panel.hidden = true;
    this.shown = '';
    this.button.setAttribute('aria-expanded', 'false');
  }

  private toggle(): void {
    if (this.isOpen) this.close(true);
    else this.open(null);
  }

  /** Opens with the focus on the chosen entry, or on one counted from the end. */
  private open(index: number | null): void {
    this.panel.hidden = false;
    this.button.setAttribute('aria-expanded', 'true');
    this.fill();
    const chosen = this.panel.querySelector<HTMLElement>('[role=menuitemradio][aria-checked=true]');
    (index === null ? chosen : this.items.at(index))?.focus();
  }

  private get items(): HTMLElement[] {
    return [...this.panel.querySelectorAll<HTMLElement>('[role^=menuitem]')];
  }

  private fill(): void {
    const { renditions, rendition, choice, dataSaver } = this.facts;
    const text = JSON.stringify(this.facts);
    if (text === this.shown) return;
    const focused = (this.panel.getRootNode() as ShadowRoot).activeElement;
    const at = this.items.indexOf(focused as HTMLElement);
    this.shown = text;
    const now = renditions.find((one) => one.name === rendition);
    const entries = [
      entry('menuitemradio', 'auto', 'Auto', choice === 'auto' && now ? `now ${qualityName(now)}` : '', choice === 'auto'),
      ...renditions.map((one) => {
        const name = one.name === 'source' && one.width > 0 ? `${qualityName(one)} original` : qualityName(one);
        return entry('menuitemradio', one.name, name, bitrateWords(one.bitrateBps), choice === one.name);
      }),
    ];
    const group = document.createElement('div');
    group.setAttribute('role', 'group');
    group.setAttribute('aria-label', 'Quality');
    group.append(...entries);
    const saver = entry('menuitemcheckbox', 'saver', 'Save data', 'at most 480p', dataSaver);
    this.panel.replaceChildren(group, saver);
    if (at >= 0) this.items[at]?.focus();
  }

  private clicked(event: Event): void {
    const item = event.target instanceof Element ? event.target.closest('[data-quality]') : null;
    const quality = item?.getAttribute('data-quality');
    if (!quality) return;
    if (quality === 'saver') {
      this.output.saveData(!this.facts.dataSaver);
      return;
    }
    this.close(true);
    this.output.choose(quality);
  }

  private pressed(event: KeyboardEvent): void {
    const { items } = this;
    const at = items.indexOf((this.panel.getRootNode() as ShadowRoot).activeElement as HTMLElement);
    const last = items.length - 1;
    const byLetter = items.findIndex((item, i) => i > at && item.textContent?.toLowerCase().startsWith(event.key.toLowerCase()));
    const to: Record<string, number> = { ArrowDown: at === last ? 0 : at + 1, ArrowUp: at <= 0 ? last : at - 1, Home: 0, End: last };
    if (event.key === 'Escape') this.close(true);
    else if (event.key === 'Tab') {
      this.close(true);
      return;
    } else if (event.key in to) items[to[event.key] ?? 0]?.focus();
    else if (event.key === 'Enter' || event.key === ' ') (items[at] as HTMLElement | undefined)?.click();
    else if (byLetter >= 0) items[byLetter]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function entry(role: string, quality: string, name: string, note: string, checked: boolean): HTMLElement {
  const made = document.createElement('button');
  made.type = 'button';
  made.tabIndex = -1;
  made.setAttribute('role', role);
  made.setAttribute('aria-checked', String(checked));
  made.dataset['quality'] = quality;
  const words = document.createElement('span');
  words.textContent = name;
  const small = document.createElement('small');
  small.textContent = note;
  made.append(words, small);
  return made;
}
