// The studio's list of words that comments and names may not have.
//
// In → Out: the room's list → a button a word; a typed word, a tapped button → orders.
// Spec: docs/ix.md, "Moderation", "The socket".

import type { Command } from '../../interaction/src/index.ts';
import { button, make, say } from './dom.ts';
import { listedWords } from './studio_words.ts';

const BYTES_MAX = 48;

/** The row of forbidden words. */
export class StudioForbidden {
  readonly element = make('div', 'rule forbidden');
  private readonly list = make('div', 'options');
  private readonly listed = make('span', 'hint');

  constructor(private readonly order: (command: Command) => void) {
    this.list.setAttribute('role', 'group');
    this.list.setAttribute('aria-label', 'Forbidden words: tap one to permit it again');
    const form = make('form', 'forbid');
    const input = make('input');
    input.type = 'text';
    input.autocomplete = 'off';
    input.maxLength = BYTES_MAX;
    input.placeholder = 'A word, or its beginning and *';
    input.setAttribute('aria-label', 'A word to forbid');
    const submit = make('button', 'option', 'Forbid');
    submit.type = 'submit';
    form.append(input, submit);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const word = input.value.trim();
      if (word !== '') this.order({ do: 'forbid', word });
      input.value = '';
    });
    this.element.append(make('span', 'what', 'Forbidden words'), this.list, form, this.listed);
    this.show([], 0);
  }

  show(words: string[], listed: number): void {
    this.list.replaceChildren(...words.map((word) => {
      const choice = button('option', `Permit ${word}`, `${word} ×`, () => this.order({ do: 'permit', word }));
      choice.dataset['word'] = word;
      return choice;
    }));
    say(this.listed, listedWords(listed));
  }
}
