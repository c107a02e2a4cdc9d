// Cuts a growing fMP4 body into chunks, and reads what a chunk says about time.
//
// In → Out: bytes as they arrive → whole chunks (everything up to and with an mdat) with their timing.
// The bytes come from a network: every size is bounded, and what does not parse is a PlayerError.
// Spec: ISO/IEC 14496-12, "Movie Fragments" (moof, tfhd, tfdt, trun), "Producer reference time" (prft).

import { ByteReader, type Bytes, join } from './bytes.ts';
import { PlayerError } from './errors.ts';

/** When one track's samples in a chunk begin and how long they last, in the track's timescale. */
export interface TrackRun {
  trackId: number;
  /** Decode time of the first sample. */
  decodeTime: number;
  /** Sum of the samples' durations; samples without one count with `defaultDuration` of the init section. */
  duration: number;
  /** Samples whose duration has to be taken from the init section. */
  samplesWithoutDuration: number;
  samples: number;
  /** True when the first sample is a random access point, or when only the init section could say. */
  keyframe: boolean;
}

/** The wall-clock time at which a moment of media was produced. */
export interface ProducerTime {
  trackId: number;
  /** In the track's timescale. */
  mediaTime: number;
  /** Unix time in milliseconds. */
  wallMs: number;
}

/** The smallest thing that can be appended: (styp, prft, emsg …) moof mdat. */
export interface Chunk {
  bytes: Bytes;
  runs: TrackRun[];
  producerTime: ProducerTime | null;
}

/** One box inside a run of bytes. */
export interface Box {
  type: string;
  /** The box's content, without its header. */
  body: Bytes;
}

const BOX_BYTES_MAX = 16 * 1024 * 1024;
const SAMPLES_MAX = 65_536;
/** Seconds between 1900 (NTP) and 1970 (Unix). */
const NTP_TO_UNIX_S = 2_208_988_800;

const NOT_SYNC = 0x0001_0000;

/** Cuts a body into chunks as it arrives. One splitter per request. */
export class ChunkSplitter {
  private rest: Bytes = new Uint8Array(0);
  /** Where in `rest` the next unread box begins. */
  private at = 0;

  /** Takes the next bytes of the body; gives every chunk they complete. */
  push(bytes: Bytes): Chunk[] {
    this.rest = this.rest.byteLength === 0 ? bytes : join([this.rest, bytes]);
    const chunks: Chunk[] = [];
    let start = 0;
    for (;;) {
      const header = boxHeader(this.rest, this.at);
      if (!header || this.at + header.size > this.rest.byteLength) break;
      this.at += header.size;
      if (header.type === 'mdat') {
        chunks.push(readChunk(this.rest.subarray(start, this.at)));
        start = this.at;
      }
    }
    this.rest = this.rest.subarray(start);
    this.at -= start;
    if (this.rest.byteLength > 2 * BOX_BYTES_MAX) throw malformed('a chunk of more than 32 MiB');
    return chunks;
  }

  /** Bytes of a chunk that is not complete yet; not zero at the end of a body means that it was torn. */
  get pendingBytes(): number {
    return this.rest.byteLength;
  }
}

/** The boxes directly inside `bytes`. */
export function* boxesIn(bytes: Bytes): Generator<Box> {
  let at = 0;
  while (at < bytes.byteLength) {
    const header = boxHeader(bytes, at);
    if (!header || at + header.size > bytes.byteLength) throw malformed('a box longer than what holds it');
    yield { type: header.type, body: bytes.subarray(at + header.headerSize, at + header.size) };
    at += header.size;
  }
}

function boxHeader(bytes: Bytes, at: number): { type: string; size: number; headerSize: number } | null {
  if (bytes.byteLength - at < 8) return null;
  const reader = new ByteReader(bytes);
  const type = reader.fourcc(at + 4);
  let size = reader.u32(at);
  let headerSize = 8;
  if (size === 1) {
    if (bytes.byteLength - at < 16) return null;
    size = reader.u64(at + 8);
    headerSize = 16;
  }
  if (size < headerSize || size > BOX_BYTES_MAX) throw malformed(`a box "${type}" of ${size} bytes`);
  return { type, size, headerSize };
}

function readChunk(bytes: Bytes): Chunk {
  const chunk: Chunk = { bytes, runs: [], producerTime: null };
  try {
    for (const box of boxesIn(bytes)) {
      if (box.type === 'moof') chunk.runs.push(...readMoof(box.body));
      else if (box.type === 'prft') chunk.producerTime = readPrft(box.body);
    }
  } catch (error) {
    if (error instanceof RangeError) throw malformed('a box shorter than its fields');
    throw error;
  }
  if (chunk.runs.length === 0) throw malformed('an mdat without a moof');
  return chunk;
}

function readMoof(moof: Bytes): TrackRun[] {
  const runs: TrackRun[] = [];
  for (const traf of boxesIn(moof)) {
    if (traf.type !== 'traf') continue;
    const run = readTraf(traf.body);
    if (run && run.samples > 0) runs.push(run);
  }
  return runs;
}

function readTraf(traf: Bytes): TrackRun | null {
  let header: FragmentHeader | null = null;
  const run: TrackRun = {
    trackId: 0, decodeTime: 0, duration: 0, samplesWithoutDuration: 0, samples: 0, keyframe: false,
  };
  for (const box of boxesIn(traf)) {
    const reader = new ByteReader(box.body);
    if (box.type === 'tfhd') {
      header = readTfhd(reader);
      run.trackId = header.trackId;
    } else if (box.type === 'tfdt') {
      run.decodeTime = reader.u8(0) === 1 ? reader.u64(4) : reader.u32(4);
    } else if (box.type === 'trun' && header) {
      readTrun(reader, header, run);
    }
  }
  return header ? run : null;
}

interface FragmentHeader {
  trackId: number;
  defaultDuration: number | null;
  defaultFlags: number | null;
}

function readTfhd(reader: ByteReader): FragmentHeader {
  const flags = reader.u32(0) & 0xff_ffff;
  const header: FragmentHeader = { trackId: reader.u32(4), defaultDuration: null, defaultFlags: null };
  let at = 8;
  if (flags & 0x01) at += 8;
  if (flags & 0x02) at += 4;
  if (flags & 0x08) {
    header.defaultDuration = reader.u32(at);
    at += 4;
  }
  if (flags & 0x10) at += 4;
  if (flags & 0x20) header.defaultFlags = reader.u32(at);
  return header;
}

function readTrun(reader: ByteReader, header: FragmentHeader, run: TrackRun): void {
  const flags = reader.u32(0) & 0xff_ffff;
  const count = reader.u32(4);
  if (count > SAMPLES_MAX) throw malformed(`a run of ${count} samples`);
  let at = 8;
  if (flags & 0x001) at += 4;
  let firstFlags: number | null = header.defaultFlags;
  if (flags & 0x004) {
    firstFlags = reader.u32(at);
    at += 4;
  }
  const hasDuration = (flags & 0x100) !== 0;
  const flagsOffset = (hasDuration ? 4 : 0) + (flags & 0x200 ? 4 : 0);
  const stride = flagsOffset + (flags & 0x400 ? 4 : 0) + (flags & 0x800 ? 4 : 0);
  if (count > 0 && flags & 0x400) firstFlags = reader.u32(at + flagsOffset);
  if (run.samples === 0) run.keyframe = firstFlags === null || (firstFlags & NOT_SYNC) === 0;
  if (hasDuration) {
    for (let i = 0; i < count; i += 1) run.duration += reader.u32(at + i * stride);
  } else if (header.defaultDuration !== null) {
    run.duration += header.defaultDuration * count;
  } else {
    run.samplesWithoutDuration += count;
  }
  run.samples += count;
}

function readPrft(prft: Bytes): ProducerTime {
  const reader = new ByteReader(prft);
  const seconds = reader.u32(8);
  const fraction = reader.u32(12);
  return {
    trackId: reader.u32(4),
    wallMs: (seconds - NTP_TO_UNIX_S) * 1000 + (fraction / 0x1_0000_0000) * 1000,
    mediaTime: reader.u8(0) === 0 ? reader.u32(16) : reader.u64(16),
  };
}

function malformed(what: string): PlayerError {
  return new PlayerError('format', `the segment holds ${what}`);
}
