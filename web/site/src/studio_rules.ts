// The studio's rules of the room: who may comment, how often, and whether juries sit.
//
// In → Out: the room's rules → pressed buttons; taps → orders.
// Spec: docs/ix.md, "Rules", "Moderation".

import type { Command, Rules } from '../../interaction/src/index.ts';
import { button, make } from './dom.ts';

const SLOW = [[0, 'Off'], [3_000, '3 s'], [10_000, '10 s'], [30_000, '30 s']] as const;
const GATES = [['all', 'Everybody'], ['first:100', 'First 100'], ['approved', 'Approved'], ['nobody', 'Nobody']] as const;

/** Rows of buttons, one of each pressed. */
export class StudioRules {
  readonly element = make('section', 'rules');
  private readonly slow = new Map<number, HTMLButtonElement>();
  private readonly gates = new Map<string, HTMLButtonElement>();
  private readonly juries = new Map<boolean, HTMLButtonElement>();

  constructor(order: (command: Command) => void) {
    this.element.setAttribute('aria-label', 'Rules of the room');
    this.row('Slow mode', SLOW.map(([ms, words]) => {
      const choice = button('option', words, words, () => order({ do: 'slow', ms }));
      this.slow.set(ms, choice);
      return choice;
    }));
    this.row('Who may comment', GATES.map(([gate, words]) => {
      const choice = button('option', words, words, () => order({ do: 'gate', gate }));
      this.gates.set(gate, choice);
      return choice;
    }));
    this.row('Flash juries', ([[true, 'On'], [false, 'Off']] as const).map(([on, words]) => {
      const choice = button('option', words, words, () => order({ do: 'jury', on }));
      this.juries.set(on, choice);
      return choice;
    }));
  }

  show(rules: Rules): void {
    // The load may ask for more than the broadcaster did.
    for (const [ms, choice] of this.slow) choice.setAttribute('aria-pressed', String(ms === rules.slowMs));
    for (const [gate, choice] of this.gates) {
      choice.setAttribute('aria-pressed', String(gate === rules.gate || (gate.startsWith('first') && rules.gate.startsWith('first'))));
    }
    for (const [on, choice] of this.juries) choice.setAttribute('aria-pressed', String(on === rules.juries));
  }

  private row(title: string, choices: HTMLElement[]): void {
    const row = make('div', 'rule');
    const group = make('div', 'options');
    group.setAttribute('role', 'group');
    group.setAttribute('aria-label', title);
    group.append(...choices);
    row.append(make('span', 'what', title), group);
    this.element.append(row);
  }
}
