// Reads an init section: which tracks there are, their timescales, and the codec string for the browser.
//
// In → Out: ftyp + moov bytes → tracks and a MIME type for `SourceBuffer`.
// Spec: ISO/IEC 14496-12, "Movie structure"; ISO/IEC 14496-15, "AVC decoder configuration record"; RFC 6381, 3.3.

import { type Box, boxesIn, type Chunk } from './boxes.ts';
import { ByteReader, type Bytes } from './bytes.ts';
import { PlayerError } from './errors.ts';

/** One track of an init section. */
export interface InitTrack {
  id: number;
  kind: 'video' | 'audio' | 'other';
  /** Ticks per second. */
  timescale: number;
  /** Duration of a sample that does not state its own, in ticks. */
  defaultDuration: number;
  /** RFC 6381 name, or null for a codec this reader does not know. */
  codec: string | null;
  /** Picture size in pixels; 0 for sound. */
  width: number;
  height: number;
}

/** What an init section says, and its bytes. */
export interface InitSection {
  bytes: Bytes;
  tracks: InitTrack[];
}

/** Parses an init section. Throws a PlayerError of code `format` for anything else. */
export function parseInit(bytes: Bytes): InitSection {
  try {
    const tracks: InitTrack[] = [];
    const defaults = new Map<number, number>();
    for (const moov of children(bytes, 'moov')) {
      for (const trak of children(moov, 'trak')) tracks.push(readTrak(trak));
      for (const mvex of children(moov, 'mvex')) {
        for (const trex of children(mvex, 'trex')) {
          const reader = new ByteReader(trex);
          defaults.set(reader.u32(4), reader.u32(12));
        }
      }
    }
    if (tracks.length === 0) throw new PlayerError('format', 'the init section names no track');
    for (const track of tracks) track.defaultDuration = defaults.get(track.id) ?? 0;
    return { bytes, tracks };
  } catch (error) {
    if (error instanceof RangeError) throw new PlayerError('format', 'the init section is cut short');
    throw error;
  }
}

/** The MIME type of an init section; `fallback` (a playlist's CODECS) is used when a codec is unknown to this reader. */
export function mimeType(init: InitSection, fallback: string | null): string {
  const media = init.tracks.filter((track) => track.kind !== 'other');
  const known = media.every((track) => track.codec !== null);
  const codecs = known ? media.map((track) => track.codec).join(',') : (fallback ?? '');
  const container = media.some((track) => track.kind === 'video') ? 'video' : 'audio';
  return `${container}/mp4; codecs="${codecs}"`;
}

/** Seconds of media in a chunk: those of its longest track. */
export function chunkSeconds(chunk: Chunk, init: InitSection): number {
  let longest = 0;
  for (const run of chunk.runs) {
    const track = init.tracks.find((one) => one.id === run.trackId);
    if (!track) continue;
    const ticks = run.duration + run.samplesWithoutDuration * track.defaultDuration;
    longest = Math.max(longest, ticks / track.timescale);
  }
  return longest;
}

function* children(bytes: Bytes, type: string): Generator<Bytes> {
  for (const box of boxesIn(bytes)) if (box.type === type) yield box.body;
}

function readTrak(trak: Bytes): InitTrack {
  const track: InitTrack = {
    id: 0, kind: 'other', timescale: 1, defaultDuration: 0, codec: null, width: 0, height: 0,
  };
  for (const box of boxesIn(trak)) {
    if (box.type === 'tkhd') {
      const reader = new ByteReader(box.body);
      track.id = reader.u32(reader.u8(0) === 1 ? 20 : 12);
    } else if (box.type === 'mdia') {
      for (const inner of boxesIn(box.body)) readMdia(inner, track);
    }
  }
  return track;
}

function readMdia(box: Box, track: InitTrack): void {
  const reader = new ByteReader(box.body);
  if (box.type === 'mdhd') {
    track.timescale = Math.max(1, reader.u32(reader.u8(0) === 1 ? 20 : 12));
  } else if (box.type === 'hdlr') {
    const handler = reader.fourcc(8);
    track.kind = handler === 'vide' ? 'video' : handler === 'soun' ? 'audio' : 'other';
  } else if (box.type === 'minf') {
    for (const stbl of children(box.body, 'stbl')) {
      for (const stsd of children(stbl, 'stsd')) readSampleEntry(stsd.subarray(8), track);
    }
  }
}

function readSampleEntry(entries: Bytes, track: InitTrack): void {
  for (const entry of boxesIn(entries)) {
    const reader = new ByteReader(entry.body);
    if (entry.type === 'avc1' || entry.type === 'avc3') {
      track.width = reader.u16(24);
      track.height = reader.u16(26);
      for (const avcc of children(entry.body.subarray(78), 'avcC')) {
        track.codec = `${entry.type}.${hex(avcc, 1)}${hex(avcc, 2)}${hex(avcc, 3)}`;
      }
    } else if (entry.type === 'mp4a') {
      for (const esds of children(entry.body.subarray(28), 'esds')) track.codec = aacCodec(esds);
    } else if (entry.type === 'Opus') {
      track.codec = 'opus';
    }
    // One sample entry describes a live track; a second would be for another codec.
    return;
  }
}

/** `mp4a.40.N` from the descriptors of an esds box. */
function aacCodec(esds: Bytes): string | null {
  const reader = new ByteReader(esds);
  let at = 4;
  while (at < reader.length) {
    const tag = reader.u8(at);
    at += 1;
    while (reader.u8(at) & 0x80) at += 1;
    at += 1;
    if (tag === 0x03) {
      const flags = reader.u8(at + 2);
      at += 3 + (flags & 0x80 ? 2 : 0) + (flags & 0x40 ? 1 + reader.u8(at + 3) : 0) + (flags & 0x20 ? 2 : 0);
    } else if (tag === 0x04) {
      if (reader.u8(at) !== 0x40) return null;
      at += 13;
    } else if (tag === 0x05) {
      const objectType = reader.u8(at) >> 3;
      const wide = objectType === 31 ? 32 + (((reader.u8(at) & 7) << 3) | (reader.u8(at + 1) >> 5)) : objectType;
      return `mp4a.40.${wide}`;
    } else {
      return null;
    }
  }
  return null;
}

function hex(bytes: Bytes, at: number): string {
  return new ByteReader(bytes).u8(at).toString(16).padStart(2, '0');
}
