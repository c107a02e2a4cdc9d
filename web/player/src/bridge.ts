// Lets the last picture of a chunk last until the next one comes, so that no hole appears where a publisher left pictures out.
//
// In → Out: a chunk and its tracks → the same chunk with a longer duration on its last video sample.
// A picture is sent before anybody knows when the next one comes, so its duration is the usual one. When the next is late,
// browsers see a hole, drop everything up to the next random access point, and stand still there for seconds. A picture
// that is said to last longer still ends where the next begins. What this file does not understand, it leaves alone.
// Spec: ISO/IEC 14496-12, "trun", "tfhd"; Media Source Extensions, "Coded Frame Processing" (twice the last frame duration).

import { ByteReader, type Bytes, join } from './bytes.ts';
import type { InitTrack } from './init.ts';

/** How many pictures may be missing in a row without a hole, plus one. */
export const STRETCH = 8;

const DATA_OFFSET = 0x001;
const FIRST_FLAGS = 0x004;
const DURATIONS = 0x100;

/** Where a box lies in the bytes of a chunk. */
interface Place {
  at: number;
  size: number;
}

/** A chunk for a SourceBuffer; `bytes` itself if there is no picture in it. */
export function bridge(bytes: Bytes, tracks: readonly InitTrack[]): Bytes {
  try {
    return stretched(bytes, tracks) ?? bytes;
  } catch (error) {
    // Fields beyond the end of their box: the browser will say what it thinks of it.
    if (error instanceof RangeError) return bytes;
    throw error;
  }
}

function stretched(bytes: Bytes, tracks: readonly InitTrack[]): Bytes | null {
  const reader = new ByteReader(bytes);
  const moof = find(reader, { at: 0, size: bytes.byteLength }, 'moof', 0)[0];
  if (!moof) return null;
  for (const traf of find(reader, moof, 'traf')) {
    const tfhd = find(reader, traf, 'tfhd')[0];
    const trun = find(reader, traf, 'trun').at(-1);
    if (!tfhd || !trun) continue;
    const track = tracks.find((one) => one.id === reader.u32(tfhd.at + 12));
    // Offsets from the start of a file would have to be moved too; nobody sends them in a live stream.
    const tfhdFlags = reader.u32(tfhd.at + 8);
    if (track?.kind !== 'video' || (tfhdFlags & 0x01) !== 0) continue;
    const stated = tfhdFlags & 0x08 ? reader.u32(tfhd.at + 16 + (tfhdFlags & 0x02 ? 4 : 0)) : track.defaultDuration;
    return withDurations(bytes, moof, traf, trun, stated);
  }
  return null;
}

/** The chunk with a duration for each sample of `trun`, the last one stretched. */
function withDurations(bytes: Bytes, moof: Place, traf: Place, trun: Place, usual: number): Bytes | null {
  const reader = new ByteReader(bytes);
  const flags = reader.u32(trun.at + 8);
  const count = reader.u32(trun.at + 12);
  const table = trun.at + 16 + (flags & DATA_OFFSET ? 4 : 0) + (flags & FIRST_FLAGS ? 4 : 0);
  const had = (flags & DURATIONS) !== 0;
  const rest = 4 * bits(flags & 0xe00);
  const stride = (had ? 4 : 0) + rest;
  if (count === 0 || count * stride > trun.at + trun.size - table) return null;
  const added = had ? 0 : 4 * count;
  const samples = new Uint8Array(count * (4 + rest));
  const view = new DataView(samples.buffer);
  for (let i = 0; i < count; i += 1) {
    const from = table + i * stride;
    const duration = had ? reader.u32(from) : usual;
    const long = i === count - 1 ? Math.min(0xffff_ffff, duration * STRETCH) : duration;
    view.setUint32(i * (4 + rest), long);
    samples.set(bytes.subarray(from + stride - rest, from + stride), i * (4 + rest) + 4);
  }
  const whole = join([bytes.slice(0, table), samples, bytes.subarray(table + count * stride)]);
  const out = new DataView(whole.buffer, whole.byteOffset);
  for (const box of [moof, traf, trun]) out.setUint32(box.at, box.size + added);
  out.setUint32(trun.at + 8, flags | DURATIONS);
  moveData(out, { at: moof.at, size: moof.size + added }, added);
  return whole;
}

/** Media data lies `added` bytes further behind the start of its moof. */
function moveData(out: DataView, moof: Place, added: number): void {
  const reader = new ByteReader(new Uint8Array(out.buffer, out.byteOffset, out.byteLength));
  for (const traf of find(reader, moof, 'traf')) {
    for (const trun of find(reader, traf, 'trun')) {
      if (reader.u32(trun.at + 8) & DATA_OFFSET) out.setInt32(trun.at + 16, reader.i32(trun.at + 16) + added);
    }
  }
}

/** Boxes of `type` directly inside `outer`; `header` is the length of its own header. */
function find(reader: ByteReader, outer: Place, type: string, header = 8): Place[] {
  const found: Place[] = [];
  let at = outer.at + header;
  while (at + 8 <= outer.at + outer.size) {
    const size = reader.u32(at);
    if (size < 8) break;
    if (reader.fourcc(at + 4) === type) found.push({ at, size });
    at += size;
  }
  return found;
}

function bits(flags: number): number {
  let count = 0;
  for (let rest = flags; rest > 0; rest &= rest - 1) count += 1;
  return count;
}
