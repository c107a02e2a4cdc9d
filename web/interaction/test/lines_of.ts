// Lines of the interaction track for tests, as a room writes them.
//
// In → Out: what is different from an ordinary line → the line.
// Spec: docs/ix.md, "Snapshot line", "Beat line".

import { readFileSync } from 'node:fs';

/** A comment as it stands in a line. */
export function comment(id: number, rest: Record<string, unknown> = {}): Record<string, unknown> {
  return { id: hex(id), u: hex(0xaa), n: 'Ann', t: `comment ${id}`, m: 1_000, ...rest };
}

/** Sixteen digits. */
export function hex(value: number): string {
  return value.toString(16).padStart(16, '0');
}

/** Sixteen colours, of which some are not zero. */
export function hearts(counts: Record<number, number>): number[] {
  return Array.from({ length: 16 }, (_, colour) => counts[colour] ?? 0);
}

/** A snapshot line. */
export function snapshotLine(rest: Record<string, unknown> = {}): string {
  return JSON.stringify({
    k: 's', v: 1, epoch: 1, seq: 10, at: 100_000, hearts: hearts({}), total: 0, said: 0, viewers: { n: 1 },
    rules: { tap_ms: 100, tap_in: 1, hb_ms: 10_000, hb_in: 1, slow_ms: 0, gate: 'all', beat_ms: 250, jitter_ms: 5_000 }, level: 0, ...rest,
  });
}

/** A beat line. */
export function beatLine(seq: number, rest: Record<string, unknown> = {}): string {
  return JSON.stringify({ k: 'b', seq, at: 100_000 + seq, ...rest });
}

/** The examples of the wire's own page, by the word after the fence's language. */
export function documented(tag: string): string[] {
  const page = readFileSync(new URL(import.meta.url).pathname.replace(/^(.*)\/web\/.*$/, '$1/docs/ix.md'), 'utf8');
  return page.split(`\`\`\`${tag}\n`).slice(1).map((rest) => rest.split('\n```')[0] ?? '');
}
