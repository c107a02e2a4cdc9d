// Media time ↔ wall-clock time, from the stamps that the stream carries.
//
// In → Out: (media time, wall time) stamps of prft boxes or of playlists → the wall time of any buffered moment.
// Wall time jumps against media time when a publisher comes back, so stamps are kept piece by piece.
// Spec: ISO/IEC 14496-12, "Producer reference time"; RFC 8216bis, "EXT-X-PROGRAM-DATE-TIME".

/** A moment of media and when it was produced. */
interface Stamp {
  mediaS: number;
  wallMs: number;
}

const STAMPS_MAX = 256;
/** A stamp nearer than this to the last, and agreeing with it, adds nothing. */
const SPACING_S = 0.5;
const AGREEMENT_MS = 2;

/** Stamps of what is or was lately buffered, oldest first. */
export class Timeline {
  private stamps: Stamp[] = [];

  /** Takes a stamp; media times need not grow (a new timeline forgets what lies ahead of it). */
  add(mediaS: number, wallMs: number): void {
    while ((this.stamps.at(-1)?.mediaS ?? -Infinity) > mediaS) this.stamps.pop();
    const last = this.stamps.at(-1);
    if (last) {
      const predicted = last.wallMs + (mediaS - last.mediaS) * 1000;
      if (mediaS - last.mediaS < SPACING_S && Math.abs(predicted - wallMs) < AGREEMENT_MS) return;
    }
    this.stamps.push({ mediaS, wallMs });
    if (this.stamps.length > STAMPS_MAX) this.stamps.shift();
  }

  /** Unix time in milliseconds at which `mediaS` was produced; null while no stamp is known. */
  wallAt(mediaS: number): number | null {
    let best = this.stamps[0];
    for (const stamp of this.stamps) {
      if (stamp.mediaS > mediaS) break;
      best = stamp;
    }
    return best ? best.wallMs + (mediaS - best.mediaS) * 1000 : null;
  }

  clear(): void {
    this.stamps = [];
  }
}
