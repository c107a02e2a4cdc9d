// Tests of the bridge over missing pictures.
//
// In → Out: chunks of one or several samples, with and without stated durations → what a browser would read of them.
// Spec: ISO/IEC 14496-12, "trun".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSplitter } from '../src/boxes.ts';
import { bridge, STRETCH } from '../src/bridge.ts';
import { ByteReader, type Bytes } from '../src/bytes.ts';
import { parseInit } from '../src/init.ts';
import { box, concat, initBytes, u32, u64 } from './fmp4_bytes.ts';

const { tracks } = parseInit(initBytes({ audio: true, defaultDurations: [3_000, 1_024] }));

interface Run {
  trackId: number;
  decodeTime: number;
  sizes: number[];
  durations?: number[];
  firstFlags?: number;
}

/** A chunk whose media data is numbered, so that offsets can be checked. */
function chunk(runs: Run[]): Bytes {
  const build = (base: number): Bytes => {
    let offset = base;
    const trafs = runs.map((run) => {
      const flags = 0x201 | (run.durations ? 0x100 : 0) | (run.firstFlags === undefined ? 0 : 4);
      const records = run.sizes.flatMap((size, i) => (run.durations ? [run.durations[i] ?? 0, size] : [size]));
      const head = [flags, run.sizes.length, offset, ...(run.firstFlags === undefined ? [] : [run.firstFlags])];
      offset += run.sizes.reduce((sum, size) => sum + size, 0);
      return box('traf', box('tfhd', u32(0x02_0000, run.trackId)), box('tfdt', u32(0x0100_0000), u64(run.decodeTime)), box('trun', u32(...head, ...records)));
    });
    return box('moof', box('mfhd', u32(0, 1)), ...trafs);
  };
  const moof = build(build(0).length + 8);
  const total = runs.flatMap((run) => run.sizes).reduce((sum, size) => sum + size, 0);
  const prft = box('prft', u32(0x0100_0000, 1, 0, 0), u64(0));
  return concat([prft, moof, box('mdat', Uint8Array.from({ length: total }, (_, i) => i + 1))]);
}

/** First bytes of media data of each run, found through the data offsets. */
function firstBytes(bytes: Bytes): number[] {
  const reader = new ByteReader(bytes);
  const found: number[] = [];
  let moof = 0;
  for (let at = 0; at < bytes.length - 8; at += 1) {
    const type = reader.fourcc(at + 4);
    if (type === 'moof') moof = at;
    if (type === 'trun') found.push(reader.u8(moof + reader.u32(at + 16)));
  }
  return found;
}

test('the last picture of a chunk lasts longer, every other sample as long as before', () => {
  const whole = chunk([
    { trackId: 1, decodeTime: 9_000, sizes: [5, 4], firstFlags: 0x0200_0000 },
    { trackId: 2, decodeTime: 4_800, sizes: [3] },
  ]);
  const [read] = new ChunkSplitter().push(bridge(whole, tracks));
  assert.deepEqual(read?.runs, [
    { trackId: 1, decodeTime: 9_000, duration: 3_000 + 3_000 * STRETCH, samplesWithoutDuration: 0, samples: 2, keyframe: true },
    { trackId: 2, decodeTime: 4_800, duration: 0, samplesWithoutDuration: 1, samples: 1, keyframe: true },
  ]);
});

test('media data is found where it was, whichever track comes first', () => {
  const video = { trackId: 1, decodeTime: 0, sizes: [5, 4] };
  const audio = { trackId: 2, decodeTime: 0, sizes: [3, 3] };
  for (const runs of [[video, audio], [audio, video], [video]]) {
    const whole = chunk(runs);
    const bridged = bridge(whole, tracks);
    assert.equal(bridged.length, whole.length + 8);
    assert.deepEqual(firstBytes(bridged), firstBytes(whole));
    assert.equal(new ChunkSplitter().push(bridged).length, 1);
  }
});

test('a stated duration is stretched in place', () => {
  const whole = chunk([{ trackId: 1, decodeTime: 0, sizes: [5, 4], durations: [2_000, 4_000] }]);
  const bridged = bridge(whole, tracks);
  assert.equal(bridged.length, whole.length);
  assert.equal(new ChunkSplitter().push(bridged)[0]?.runs[0]?.duration, 2_000 + 4_000 * STRETCH);
});

test('sound alone, unknown tracks and the bytes given are left as they are', () => {
  for (const trackId of [2, 7]) {
    const whole = chunk([{ trackId, decodeTime: 0, sizes: [5] }]);
    assert.equal(bridge(whole, tracks), whole);
  }
  const whole = chunk([{ trackId: 1, decodeTime: 0, sizes: [5] }]);
  const before = whole.slice();
  bridge(whole, tracks);
  assert.deepEqual(whole, before);
});

test('bent bytes never throw', () => {
  const whole = chunk([{ trackId: 1, decodeTime: 0, sizes: [5, 4] }, { trackId: 2, decodeTime: 0, sizes: [3] }]);
  for (let at = 0; at < whole.length; at += 1) {
    for (const flip of [0xff, 0x01, 0x80]) {
      const bent = whole.slice();
      bent[at] = (bent[at] ?? 0) ^ flip;
      assert.ok(bridge(bent, tracks).length < whole.length + 64, `byte ${at}`);
    }
  }
});
