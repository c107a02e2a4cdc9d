// Tests of the chunk splitter, and of what it reads about time.
//
// In → Out: hand-made bytes, cut anywhere → chunks.
// Spec: ISO/IEC 14496-12, "Movie Fragments", "Producer reference time".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSplitter } from '../src/boxes.ts';
import { PlayerError } from '../src/errors.ts';
import { box, chunkBytes, concat, u32 } from './fmp4_bytes.ts';

const two = concat([
  chunkBytes({ decodeTime: 0, duration: 3000, keyframe: true, wallMs: 1_795_350_896_789.5 }),
  chunkBytes({ decodeTime: 3000, duration: 3000, payload: 900 }),
]);

test('chunks come out whole wherever the network cuts', () => {
  for (const step of [1, 2, 7, 64, 333, two.length]) {
    const splitter = new ChunkSplitter();
    const found = [];
    for (let at = 0; at < two.length; at += step) found.push(...splitter.push(two.slice(at, at + step)));
    assert.deepEqual(concat(found.map((chunk) => chunk.bytes)), two, `cut each ${step} bytes`);
    assert.equal(found.length, 2);
    assert.equal(splitter.pendingBytes, 0);
  }
});

test('a chunk tells its times, its length and whether a decoder can start at it', () => {
  const [first, second] = new ChunkSplitter().push(two);
  assert.deepEqual(first?.runs, [{ trackId: 1, decodeTime: 0, duration: 3000, samplesWithoutDuration: 0, samples: 1, keyframe: true }]);
  assert.equal(second?.runs[0]?.keyframe, false);
  assert.equal(second?.runs[0]?.decodeTime, 3000);
});

test('a producer reference time becomes Unix milliseconds', () => {
  const [first, second] = new ChunkSplitter().push(two);
  assert.ok(Math.abs((first?.producerTime?.wallMs ?? 0) - 1_795_350_896_789.5) < 0.01);
  assert.equal(first?.producerTime?.mediaTime, 0);
  assert.equal(second?.producerTime, null);
});

test('decode times beyond 32 bits keep every tick', () => {
  const [chunk] = new ChunkSplitter().push(chunkBytes({ decodeTime: 2 ** 40 + 1, duration: 1 }));
  assert.equal(chunk?.runs[0]?.decodeTime, 2 ** 40 + 1);
});

test('what is left of a torn chunk is known', () => {
  const splitter = new ChunkSplitter();
  splitter.push(two.slice(0, two.length - 1));
  assert.ok(splitter.pendingBytes > 0);
});

test('hostile bytes are refused, with a format error and without a hang', () => {
  const hostile: Uint8Array[] = [
    concat([u32(0xffff_fff0), new Uint8Array([109, 100, 97, 116])]),
    concat([u32(4), new Uint8Array([109, 111, 111, 102])]),
    concat([u32(1), new Uint8Array([109, 100, 97, 116]), u32(0x7fff_ffff, 0)]),
    box('mdat', [1, 2, 3]),
    concat([box('moof', u32(200), [116, 114, 97, 102]), box('mdat')]),
    concat([box('moof', box('traf', box('tfhd', [0]))), box('mdat')]),
    concat([box('moof', box('traf', box('tfhd', u32(0, 1)), box('trun', u32(0x100, 0x7fff_ffff)))), box('mdat')]),
    concat([box('moof', box('traf', box('tfhd', u32(0, 1)), box('trun', u32(0x100, 60_000)))), box('mdat')]),
  ];
  for (const [index, bytes] of hostile.entries()) {
    assert.throws(() => new ChunkSplitter().push(new Uint8Array(bytes)), (error) => error instanceof PlayerError && error.code === 'format', `case ${index}`);
  }
});

test('any single flipped byte yields chunks or a format error', () => {
  for (let at = 0; at < two.length; at += 1) {
    const bent = two.slice();
    bent[at] = (bent[at] ?? 0) ^ 0xff;
    try {
      new ChunkSplitter().push(bent);
    } catch (error) {
      assert.ok(error instanceof PlayerError, `byte ${at}: ${String(error)}`);
    }
  }
});
