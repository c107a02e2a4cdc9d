// When each comment is shown: when this page's own picture has reached what its author was looking at.
//
// In → Out: comments as they come, the media time on screen → comments to show now.
// One that waits longer than 8 s is shown in any case; while the media time is unknown, all are shown at once.
// Spec: docs/ix.md, "When to show".

import type { Comment } from './wire.ts';

/** The longest that a comment waits for the picture. */
export const WAIT_MAX_MS = 8_000;
const WAITING_MAX = 200;

/** Comments that wait for the picture. */
export class Stage {
  private waiting: { comment: Comment; arrivedMs: number }[] = [];

  push(comment: Comment, nowMs: number): void {
    this.waiting.push({ comment, arrivedMs: nowMs });
  }

  /** Those to show now, in the order of what their authors saw. `playheadMs`: Unix time of the moment on screen. */
  due(nowMs: number, playheadMs: number | null): Comment[] {
    if (this.waiting.length === 0) return [];
    const surplus = this.waiting.length - WAITING_MAX;
    const due = this.waiting.filter(
      ({ comment, arrivedMs }, index) =>
        index < surplus || playheadMs === null || comment.mediaMs <= playheadMs || nowMs - arrivedMs >= WAIT_MAX_MS,
    );
    if (due.length === 0) return [];
    const gone = new Set(due);
    this.waiting = this.waiting.filter((one) => !gone.has(one));
    return due.map(({ comment }) => comment).sort((a, b) => a.mediaMs - b.mediaMs);
  }

  /** These were deleted before they were shown. */
  remove(ids: string[]): void {
    this.waiting = this.waiting.filter(({ comment }) => !ids.includes(comment.id));
  }

  get size(): number {
    return this.waiting.length;
  }
}
