// What a page knows of the room: totals, rules, who is muted, which comments it has seen.
//
// In → Out: lines in the order read → the newest state, and of each line what is new to this page.
// A lower epoch or number than the highest seen is ignored, so a segment may be read twice.
// After a gap the snapshot says how it stands now; what was missed is not caught up with.
// Spec: docs/ix.md, "Reading"; cases IX-11, IX-14.

import { type Beat, type Comment, COLOURS, FIRST_RULES, type Jury, type Snapshot, type Viewers } from './wire.ts';

/** What one line brought that this page had not seen. */
export interface News {
  comments: Comment[];
  /** New hearts by colour; null if there are none. */
  hearts: number[] | null;
  gone: string[];
  joins: { count: number; names: string[] };
  juries: Jury[];
  atMs: number;
  /** Beats were missed before this line: of the comments shown so far only those in `comments` and `known` still stand. */
  gap: boolean;
  /** Ids of the comments of a snapshot. */
  known: string[];
}

/** Ids that are remembered, so that no comment is shown twice or after it was deleted. */
const REMEMBERED_MAX = 2_000;
const MUTED_MAX = 1_024;
const JURIES_MAX = 8;

/** The room as last heard of. */
export class RoomState {
  epoch = -1;
  seq = -1;
  atMs = 0;
  hearts: number[] = new Array<number>(COLOURS).fill(0);
  total = 0;
  said = 0;
  viewers: Viewers = { count: 0, error: 0 };
  rules = FIRST_RULES;
  level = 0;
  pin: Comment | null = null;
  /** Until when, by viewer; 0: for the rest of the broadcast. */
  readonly muted = new Map<string, number>();
  private readonly seen = new Set<string>();
  private readonly deleted = new Set<string>();
  private readonly asked = new Set<number>();
  /** The epoch of the segment being read; beats do not carry one. */
  private segmentEpoch: number | null = null;

  /** True once the first snapshot was read. */
  get known(): boolean {
    return this.epoch >= 0;
  }

  /** The next line is the first of a segment. */
  beginSegment(): void {
    this.segmentEpoch = null;
  }

  /** Takes a line; null if it is old or stands where none is expected. */
  apply(line: Snapshot | Beat): News | null {
    return line.kind === 'snapshot' ? this.take(line) : this.follow(line);
  }

  /** Remembers a comment of this page's own, so that it is not shown a second time when it comes back. */
  remember(id: string): void {
    keep(this.seen, id, REMEMBERED_MAX);
  }

  /** Until when this viewer is muted: 0 for good, null for not at all. */
  mutedUntil(viewer: string, nowMs: number): number | null {
    const until = this.muted.get(viewer);
    return until === undefined || (until > 0 && until <= nowMs) ? null : until;
  }

  private take(line: Snapshot): News | null {
    this.segmentEpoch = line.epoch;
    if (line.epoch < this.epoch || (line.epoch === this.epoch && line.seq < this.seq)) return null;
    const gap = this.known && (line.epoch > this.epoch || line.seq > this.seq);
    if (line.epoch > this.epoch) this.asked.clear();
    this.epoch = line.epoch;
    this.seq = line.seq;
    this.atMs = line.atMs;
    this.hearts = line.hearts;
    this.total = line.total;
    this.said = line.said;
    this.viewers = line.viewers;
    this.rules = line.rules;
    this.level = line.level;
    this.pin = line.pin && !this.deleted.has(line.pin.id) ? line.pin : null;
    this.muted.clear();
    for (const { viewer, untilMs } of line.muted) this.muted.set(viewer, untilMs);
    const known = line.last.map((comment) => comment.id);
    if (line.pin) known.push(line.pin.id);
    return {
      comments: this.unseen(line.last), hearts: null, gone: [], joins: { count: 0, names: [] }, juries: this.unasked(line.juries),
      atMs: line.atMs, gap, known,
    };
  }

  private follow(line: Beat): News | null {
    const current = line.kind === 'micro' || this.segmentEpoch === this.epoch;
    if (!this.known || !current) return null;
    // Micro-beats share the number of the beat to come.
    if (line.kind === 'beat' ? line.seq <= this.seq : line.seq < this.seq) return null;
    this.seq = line.seq;
    this.atMs = line.atMs;
    line.hearts?.forEach((count, colour) => {
      this.hearts[colour] = (this.hearts[colour] ?? 0) + count;
      this.total += count;
    });
    this.said += line.comments.length;
    this.viewers = line.viewers ?? this.viewers;
    this.rules = line.rules ?? this.rules;
    this.level = line.level ?? this.level;
    for (const id of line.gone) keep(this.deleted, id, REMEMBERED_MAX);
    if (line.pin !== null) this.pin = line.pin === false ? null : line.pin;
    if (this.pin && this.deleted.has(this.pin.id)) this.pin = null;
    for (const { viewer, untilMs } of line.muted) {
      if (this.muted.size < MUTED_MAX || this.muted.has(viewer)) this.muted.set(viewer, untilMs);
    }
    return {
      comments: this.unseen(line.comments), hearts: line.hearts, gone: line.gone, joins: line.joins, juries: this.unasked(line.juries),
      atMs: line.atMs, gap: false, known: [],
    };
  }

  private unseen(comments: Comment[]): Comment[] {
    const fresh = comments.filter((comment) => !this.seen.has(comment.id) && !this.deleted.has(comment.id));
    for (const comment of comments) this.remember(comment.id);
    return fresh;
  }

  private unasked(juries: Jury[]): Jury[] {
    const fresh = juries.filter((jury) => !this.asked.has(jury.id));
    for (const jury of fresh) keep(this.asked, jury.id, JURIES_MAX * 16);
    return fresh;
  }
}

function keep<T>(set: Set<T>, value: T, most: number): void {
  set.delete(value);
  set.add(value);
  const oldest = set.size > most ? set.values().next() : null;
  if (oldest && !oldest.done) set.delete(oldest.value);
}
