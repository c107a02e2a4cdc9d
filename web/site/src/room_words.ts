// What the room says, in plain words.
//
// In → Out: fates, refusals, rules, joins, comments → short English.
// Spec: docs/ix.md, "Refusals", "Rules".

import type { Comment, Fate, Rules } from '../../interaction/src/index.ts';

const REASONS: Record<string, string> = {
  blocked: 'You are blocked for the rest of this broadcast.',
  crowded: 'Many people are talking: only you saw this one.',
  deleted: 'A moderator removed this.',
  gated: 'Not everybody may comment right now.',
  lost: 'The server does not answer.',
  muted: 'You are muted for a while.',
  name: 'This name cannot be taken.',
  rate_prefix: 'Too much comes from your network at the moment.',
  rate_viewer: 'That was a bit fast. Try again in a moment.',
  read_only: 'The room is too busy: read only for the moment.',
  reviewed: 'The review did not let this through.',
  slow: 'Slow mode: wait a little before the next comment.',
  text: 'This text is too long or holds nothing to read.',
  words: 'This holds a word that is not wanted here.',
};

/** Why something was refused. */
export function reason(code: string, message: string): string {
  return REASONS[code] ?? (message === '' ? 'The server refused this.' : message);
}

/** What stands under a comment of one's own; nothing when all is well. */
export function fateInWords(fate: Fate): string {
  if (fate.kind === 'sending') return fate.offline ? 'waiting for the network' : '';
  if (fate.kind === 'refused') return reason(fate.code, fate.message);
  return fate.kind === 'crowded' ? 'many are talking: only you see this' : '';
}

/** What the comment line invites to. `mutedMs`: how long one is muted still, 0 for good, null for not at all. */
export function invitation(rules: Rules, level: number, mutedMs: number | null): { text: string; open: boolean } {
  if (mutedMs === 0) return { text: 'You are muted for this broadcast', open: false };
  if (mutedMs !== null) return { text: `You are muted for ${Math.ceil(mutedMs / 1_000)} s`, open: false };
  if (level >= 4) return { text: 'Read only: the room is very busy', open: false };
  if (rules.gate === 'nobody') return { text: 'Comments are off', open: false };
  if (rules.gate === 'approved') return { text: 'Approved viewers may comment', open: true };
  if (rules.slowMs >= 1_000) return { text: `Slow mode, ${Math.round(rules.slowMs / 1_000)} s`, open: true };
  return { text: 'Say something…', open: true };
}

/** "Ann joined", "Ann, Bea and 3 others joined". */
export function joined(count: number, names: string[]): string {
  const shown = names.slice(0, 2);
  const others = count - shown.length;
  if (shown.length === 0) return count === 1 ? 'Somebody joined' : `${count} people joined`;
  if (others <= 0) return `${shown.join(' and ')} joined`;
  return `${shown.join(', ')} and ${others} ${others === 1 ? 'other' : 'others'} joined`;
}

/** What a screen reader hears of the comments since it last heard something. */
export function heard(comments: Comment[]): string {
  const last = comments.at(-1);
  if (!last) return '';
  const one = `${last.name}: ${last.text}`;
  return comments.length === 1 ? one : `${comments.length} comments. ${one}`;
}
