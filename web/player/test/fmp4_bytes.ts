// Hand-made fMP4: the smallest init sections and chunks that say what a test wants them to say.
//
// In → Out: decode time, duration, flags → the bytes of a chunk; tracks → the bytes of an init section.
// Spec: ISO/IEC 14496-12, "Movie Fragments"; ISO/IEC 14496-15, "AVC sample entry".

import type { Bytes } from '../src/bytes.ts';

/** A box of `type` around `parts`. */
export function box(type: string, ...parts: (Uint8Array | number[])[]): Bytes {
  const size = 8 + parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(size);
  new DataView(bytes.buffer).setUint32(0, size);
  for (let i = 0; i < 4; i += 1) bytes[4 + i] = type.charCodeAt(i);
  let at = 8;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Big-endian 32-bit numbers. */
export function u32(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setUint32(i * 4, value >>> 0));
  return bytes;
}

/** A 64-bit number as its two halves. */
export function u64(value: number): Uint8Array {
  return u32(Math.floor(value / 0x1_0000_0000), value % 0x1_0000_0000);
}

/** What a chunk should say. */
export interface ChunkWish {
  trackId?: number;
  decodeTime: number;
  duration: number;
  keyframe?: boolean;
  /** Unix milliseconds for a prft box. */
  wallMs?: number;
  payload?: number;
}

/** prft? moof mdat with one sample in one track. */
export function chunkBytes(wish: ChunkWish): Bytes {
  const id = wish.trackId ?? 1;
  const flags = wish.keyframe ? 0x0200_0000 : 0x0101_0000;
  const traf = box(
    'traf',
    box('tfhd', u32(0x02_0000, id)),
    box('tfdt', u32(0x0100_0000), u64(wish.decodeTime)),
    box('trun', u32(0x0000_0701, 1, 0, wish.duration, wish.payload ?? 4, flags)),
  );
  const parts = [box('moof', box('mfhd', u32(0, 1)), traf), box('mdat', new Uint8Array(wish.payload ?? 4))];
  if (wish.wallMs !== undefined) {
    const seconds = Math.floor(wish.wallMs / 1000) + 2_208_988_800;
    const fraction = Math.round(((wish.wallMs % 1000) / 1000) * 0x1_0000_0000);
    parts.unshift(box('prft', u32(0x0100_0000, id, seconds, fraction), u64(wish.decodeTime)));
  }
  return concat(parts);
}

/** ftyp moov: H.264 640×360 at 90 kHz as track 1, and AAC at 48 kHz as track 2 if wanted. */
export function initBytes(options: { audio?: boolean; defaultDurations?: number[] } = {}): Bytes {
  const avc1 = box(
    'avc1', new Uint8Array(24), [2, 128, 1, 104], new Uint8Array(50), box('avcC', [1, 0x64, 0x00, 0x1f, 0xff, 0xe0, 0]),
  );
  const esds = box('esds', u32(0), [3, 25, 0, 2, 0, 4, 17, 0x40, 0x15, ...new Array<number>(11).fill(0), 5, 2, 0x11, 0x90, 6, 1, 2]);
  const mp4a = box('mp4a', new Uint8Array(28), esds);
  const traks = [trak(1, 'vide', 90_000, avc1), ...(options.audio ? [trak(2, 'soun', 48_000, mp4a)] : [])];
  const trexes = traks.map((_, i) => box('trex', u32(0, i + 1, 1, options.defaultDurations?.[i] ?? 0, 0, 0)));
  return concat([box('ftyp', [105, 115, 111, 54], u32(0)), box('moov', box('mvhd', new Uint8Array(100)), ...traks, box('mvex', ...trexes))]);
}

function trak(id: number, handler: string, timescale: number, entry: Bytes): Bytes {
  const hdlr = box('hdlr', u32(0, 0), [...handler].map((char) => char.charCodeAt(0)), new Uint8Array(13));
  const stbl = box('stbl', box('stsd', u32(0, 1), entry));
  return box('trak', box('tkhd', u32(0, 0, 0, id), new Uint8Array(68)), box('mdia', box('mdhd', u32(0, 0, 0, timescale, 0, 0)), hdlr, box('minf', stbl)));
}

/** All parts, one after another. */
export function concat(parts: Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
