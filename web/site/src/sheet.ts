// Small windows over the picture: the menu of a comment, one's name, the question of a jury.
//
// In → Out: what to offer → a dialog; the choice → a call. Escape and a tap beside it close it.
// Spec: HTML, "The dialog element"; WAI-ARIA, "alertdialog".

import type { Comment, Jury } from '../../interaction/src/index.ts';
import { button, make } from './dom.ts';

/** One thing that a menu offers. */
export interface Choice {
  words: string;
  danger?: boolean;
  act: () => void;
}

/** A menu about a comment. */
export function openMenu(comment: Comment, choices: Choice[]): void {
  const sheet = open('menu');
  const about = make('p', 'about-comment');
  const text = make('span', 'text', comment.text);
  text.dir = 'auto';
  about.append(make('bdi', 'name', comment.name), ' ', text);
  sheet.append(about);
  for (const choice of choices) {
    const item = button(choice.danger ? 'choice danger' : 'choice', choice.words, choice.words, () => {
      sheet.close();
      choice.act();
    });
    sheet.append(item);
  }
  sheet.append(button('choice quiet', 'Cancel', 'Cancel', () => sheet.close()));
  sheet.showModal();
}

/** Asks for a line of text; `save` gives null, or why not. */
export function openAsk(title: string, label: string, value: string, save: (text: string) => Promise<string | null>): void {
  const sheet = open('ask');
  const form = make('form');
  form.method = 'dialog';
  const input = make('input');
  input.type = 'text';
  input.value = value;
  input.autocomplete = 'off';
  input.maxLength = 120;
  input.setAttribute('aria-label', label);
  const wrong = make('p', 'wrong');
  wrong.setAttribute('role', 'alert');
  const submit = make('button', 'choice main', 'Save');
  submit.type = 'submit';
  form.append(make('h2', '', title), input, wrong, submit, button('choice quiet', 'Cancel', 'Cancel', () => sheet.close()));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit.disabled = true;
    void save(input.value).then((why) => {
      submit.disabled = false;
      wrong.textContent = why ?? '';
      if (why === null) sheet.close();
    });
  });
  sheet.append(form);
  sheet.showModal();
  input.select();
}

/** The question to a juror. It goes by itself when the time is over; the picture stays usable. */
export function openJury(jury: Jury, leftMs: number, vote: (is: 'abuse' | 'fine' | 'unsure') => void, never: () => void): void {
  const sheet = open('jury');
  sheet.setAttribute('role', 'alertdialog');
  sheet.setAttribute('aria-label', 'A viewer reported this comment. What do you think?');
  const about = make('p', 'about-comment');
  const text = make('span', 'text', jury.comment.text);
  text.dir = 'auto';
  about.append(make('bdi', 'name', jury.comment.name), ' ', text);
  const clock = make('div', 'clock');
  const hand = make('i');
  clock.append(hand);
  const row = make('div', 'votes');
  for (const [is, words] of [['abuse', 'Abuse or spam'], ['fine', 'Looks fine'], ['unsure', 'Not sure']] as const) {
    row.append(button(`choice ${is}`, words, words, () => {
      vote(is);
      sheet.close();
    }));
  }
  sheet.append(make('h2', '', 'You are on the jury'), make('p', 'hint', 'Somebody reported this comment. Five viewers decide.'), about, clock, row);
  sheet.append(button('choice quiet', 'Never ask me', 'Never ask me', () => {
    never();
    sheet.close();
  }));
  // Not `show()`: that would take the focus from somebody who is writing, and put it on a verdict.
  sheet.open = true;
  hand.animate([{ transform: 'none' }, { transform: 'scaleX(0)' }], { duration: leftMs, fill: 'forwards' });
  const timer = setTimeout(() => sheet.close(), leftMs);
  sheet.addEventListener('close', () => clearTimeout(timer));
}

function open(kind: string): HTMLDialogElement {
  const sheet = make('dialog', `sheet ${kind}`);
  sheet.addEventListener('close', () => sheet.remove());
  // A tap beside the window lands on the dialog itself.
  sheet.addEventListener('click', (event) => {
    if (event.target === sheet) sheet.close();
  });
  document.body.append(sheet);
  return sheet;
}
