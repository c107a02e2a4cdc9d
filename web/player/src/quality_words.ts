// How qualities are said.
//
// In → Out: a rendition, a bitrate → a few letters.
// Spec: none.

import type { Rendition } from './adaptation.ts';

/** `720p`: the shorter side, as people say it; `Sound only` without a picture. */
export function qualityName({ width, height }: Rendition): string {
  return width === 0 ? 'Sound only' : `${Math.min(width, height)}p`;
}

/** `2.5 Mb/s`, `560 kb/s`; empty while unknown. */
export function bitrateWords(bps: number): string {
  if (!(bps > 0)) return '';
  return bps >= 999_500 ? `${(bps / 1_000_000).toFixed(1)} Mb/s` : `${Math.round(bps / 1_000)} kb/s`;
}
