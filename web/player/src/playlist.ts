// Reads the two kinds of playlist, as far as joining a live broadcast needs it.
//
// In → Out: playlist text and its address → variants, or segments and prefetch segments with their numbers.
// Tags this player has no use for are skipped; lines and entries are bounded.
// Spec: RFC 8216bis, "Playlists" (4), "EXT-X-MEDIA-SEQUENCE"; community LHLS, "EXT-X-PREFETCH".

import { PlayerError } from './errors.ts';

/** One encoded form of the broadcast. */
export interface Variant {
  /** Name of the rendition: the folder of its media playlist, such as `source`, `480p`, `audio`. */
  name: string;
  /** Absolute address of its media playlist. */
  url: string;
  /** The peak. */
  bandwidthBps: number;
  /** The average where stated, else the peak. */
  averageBps: number;
  codecs: string | null;
  width: number;
  height: number;
}

/** One segment that a media playlist names. */
export interface ListedSegment {
  /** Media sequence number. */
  msn: number;
  /** Epoch from the segment's name; grows with each new publisher session. */
  epoch: number;
  url: string;
  /** Seconds; null for a prefetch segment, whose length nobody knows yet. */
  durationS: number | null;
  /** Unix time in milliseconds of its first picture, where stated. */
  programDateTimeMs: number | null;
}

/** A media playlist. */
export interface MediaPlaylist {
  targetDurationS: number;
  segments: ListedSegment[];
  /** The growing segment and the ones announced after it, oldest first. */
  prefetch: ListedSegment[];
  /** Seconds of the growing segment that the playlist lists as parts. */
  partsS: number;
  /** True once the broadcast is over. */
  ended: boolean;
}

const TEXT_LENGTH_MAX = 4 * 1024 * 1024;
const ENTRIES_MAX = 20_000;

/** Parses a multivariant playlist. Throws a PlayerError of code `format`. */
export function parseMultivariant(text: string, baseUrl: string): Variant[] {
  const variants: Variant[] = [];
  let pending: Map<string, string> | null = null;
  for (const line of linesOf(text)) {
    if (line.startsWith('#EXT-X-STREAM-INF:')) {
      pending = attributes(line.slice('#EXT-X-STREAM-INF:'.length));
    } else if (!line.startsWith('#') && pending) {
      const [width, height] = (pending.get('RESOLUTION') ?? '0x0').split('x').map(Number);
      const url = new URL(line, baseUrl);
      const bandwidthBps = positive(pending.get('BANDWIDTH') ?? '', 0);
      variants.push({
        name: url.pathname.split('/').at(-2) ?? '',
        url: url.href,
        bandwidthBps,
        averageBps: positive(pending.get('AVERAGE-BANDWIDTH') ?? '', bandwidthBps),
        codecs: pending.get('CODECS') ?? null,
        width: width ?? 0,
        height: height ?? 0,
      });
      pending = null;
      if (variants.length > ENTRIES_MAX) throw tooLong();
    }
  }
  if (variants.length === 0) throw new PlayerError('format', 'the multivariant playlist names no rendition');
  return variants;
}

/** Variants by size of picture, then by bitrate: a rung below the source may well have the higher bitrate. */
export function bestFirst(variants: readonly Variant[]): Variant[] {
  return [...variants].sort((a, b) => b.width * b.height - a.width * a.height || b.bandwidthBps - a.bandwidthBps);
}

/** Parses a media playlist. Throws a PlayerError of code `format`. */
export function parseMedia(text: string, baseUrl: string): MediaPlaylist {
  const playlist: MediaPlaylist = { targetDurationS: 2, segments: [], prefetch: [], partsS: 0, ended: false };
  let msn = 0;
  let durationS: number | null = null;
  let programDateTimeMs: number | null = null;
  for (const line of linesOf(text)) {
    const [tag, value] = splitTag(line);
    if (tag === '#EXT-X-TARGETDURATION') playlist.targetDurationS = positive(value, 2);
    else if (tag === '#EXT-X-MEDIA-SEQUENCE') msn = positive(value, 0);
    else if (tag === '#EXT-X-ENDLIST') playlist.ended = true;
    else if (tag === '#EXTINF') durationS = positive(value, 0);
    else if (tag === '#EXT-X-PART') playlist.partsS += positive(attributes(value).get('DURATION') ?? '', 0);
    else if (tag === '#EXT-X-PROGRAM-DATE-TIME') programDateTimeMs = dateTime(value);
    else if (tag === '#EXT-X-PREFETCH' || !line.startsWith('#')) {
      const announced = tag === '#EXT-X-PREFETCH';
      if (!announced) playlist.partsS = 0;
      const segment = listed(announced ? value : line, baseUrl, msn);
      segment.durationS = announced ? null : durationS;
      segment.programDateTimeMs = programDateTimeMs;
      (announced ? playlist.prefetch : playlist.segments).push(segment);
      if (playlist.segments.length + playlist.prefetch.length > ENTRIES_MAX) throw tooLong();
      msn += 1;
      durationS = null;
      programDateTimeMs = null;
    }
  }
  return playlist;
}

/** Address of segment `msn` of `epoch`, in the folder of the media playlist. */
export function segmentUrl(mediaPlaylistUrl: string, epoch: number, msn: number): string {
  return new URL(`${epoch}.${msn}.m4s`, mediaPlaylistUrl).href;
}

/** Address of a media playlist that is answered with the first part of a rendition that it starts, not with the first whole segment. */
export function startUrl(mediaPlaylistUrl: string): string {
  const url = new URL(mediaPlaylistUrl);
  url.searchParams.set('announce', 'prefetch');
  return url.href;
}

/** Address of the init section of `epoch`. */
export function initUrl(mediaPlaylistUrl: string, epoch: number): string {
  return new URL(`${epoch}.init.mp4`, mediaPlaylistUrl).href;
}

function* linesOf(text: string): Generator<string> {
  if (!text.startsWith('#EXTM3U')) throw new PlayerError('format', 'the answer is not a playlist');
  if (text.length > TEXT_LENGTH_MAX) throw tooLong();
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line !== '') yield line;
  }
}

function splitTag(line: string): [string, string] {
  const colon = line.indexOf(':');
  return colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1)];
}

function listed(uri: string, baseUrl: string, msn: number): ListedSegment {
  const url = new URL(uri, baseUrl);
  const name = /\/(\d{1,15})\.(\d{1,15})\.[a-z0-9]+$/.exec(url.pathname);
  return {
    msn: name ? Number(name[2]) : msn,
    epoch: name ? Number(name[1]) : 0,
    url: url.href,
    durationS: null,
    programDateTimeMs: null,
  };
}

/** `KEY=value,KEY="quoted, value"`. */
function attributes(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const match of text.matchAll(/([A-Z0-9-]+)=("[^"]*"|[^,]*)/g)) {
    found.set(match[1] ?? '', (match[2] ?? '').replaceAll('"', ''));
  }
  return found;
}

function positive(text: string, otherwise: number): number {
  const value = Number.parseFloat(text);
  return Number.isFinite(value) && value >= 0 ? value : otherwise;
}

function dateTime(text: string): number | null {
  const ms = Date.parse(text.trim());
  return Number.isNaN(ms) ? null : ms;
}

function tooLong(): PlayerError {
  return new PlayerError('format', 'the playlist is too long');
}
