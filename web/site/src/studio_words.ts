// What the studio says, in plain words.
//
// In → Out: audit lines, findings, delays, advice of the API → short English.
// Spec: docs/ix.md, "The socket", "Moderation", "Flash jury".

import type { StaffNews } from '../../interaction/src/index.ts';

const DEEDS: Record<string, string> = {
  appoint: 'made a moderator of', approve: 'lets speak', block: 'blocked', delete: 'deleted', dismiss: 'took the moderator\'s hat from',
  forbid: 'forbade', gate: 'changed who may comment', jury: 'switched juries', mute: 'muted', permit: 'permits again', pin: 'pinned', slow: 'changed slow mode', unblock: 'took back the block of', unpin: 'took the pinned comment down',
};

const FINDINGS: Record<string, string> = {
  mute: 'A jury muted the author for a minute.',
  mute_for_good: 'A jury muted the author for the rest of the broadcast.',
  cleared: 'A jury found nothing wrong.',
  no_quorum: 'A jury did not decide: too few voted.',
};

/** A line of the log. `nameOf` knows the names behind ids. */
export function deed(news: Extract<StaffNews, { kind: 'done' }>, nameOf: (viewer: string) => string | null): string {
  const who = actor(news.by, nameOf);
  const words = DEEDS[news.verb] ?? news.verb;
  const about = news.word !== null ? `“${news.word}”` : news.comment ? `“${shorten(news.comment.text)}” by ${news.comment.name}` : news.viewer ? (nameOf(news.viewer) ?? 'a viewer') : '';
  return `${who} ${words}${about === '' ? '' : ` ${about}`}`;
}

/** How a jury ended. */
export function finding(code: string): string {
  return FINDINGS[code] ?? `A jury ended: ${code}.`;
}

/** What the operator's own list adds to the room's. */
export function listedWords(count: number): string {
  if (count === 0) return '';
  return count === 1 ? 'The operator forbids one more.' : `The operator forbids ${count} more.`;
}

/** What they react to: "0.4 s ago", "right now"; nothing while nobody has spoken. */
export function reactsTo(delayMs: number | null): string {
  if (delayMs === null) return '';
  if (delayMs < 50) return 'right now';
  return `${(delayMs / 1_000).toFixed(delayMs < 9_950 ? 1 : 0)} s ago`;
}

/** What the API advises about the source: texts, or objects with a message. */
export function adviceIn(broadcast: unknown): string[] {
  const raw = (broadcast as { advice?: unknown } | null)?.advice;
  const list = Array.isArray(raw) ? raw : raw === undefined || raw === null ? [] : [raw];
  return list.slice(0, 8).flatMap((one: unknown) => {
    const text = typeof one === 'string' ? one : (one as { message?: unknown } | null)?.message;
    return typeof text === 'string' && text !== '' ? [text.slice(0, 400)] : [];
  });
}

function actor(by: string, nameOf: (viewer: string) => string | null): string {
  if (by === 'broadcaster') return 'You';
  if (by.startsWith('jury:')) return 'A jury';
  const viewer = /^viewer:([0-9a-f]{16})$/.exec(by)?.[1];
  return viewer ? (nameOf(viewer) ?? 'A moderator') : 'The operator';
}

function shorten(text: string): string {
  const letters = [...text];
  return letters.length > 60 ? `${letters.slice(0, 59).join('')}…` : text;
}
