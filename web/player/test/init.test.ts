// Tests of the init section reader.
//
// In → Out: hand-made init sections → tracks and MIME types.
// Spec: RFC 6381, 3.3; ISO/IEC 14496-15.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlayerError } from '../src/errors.ts';
import { mimeType, parseInit } from '../src/init.ts';
import { box, initBytes } from './fmp4_bytes.ts';

test('an init section names its tracks, their clocks and their codecs', () => {
  const init = parseInit(initBytes({ audio: true }));
  assert.deepEqual(init.tracks.map(({ id, kind, timescale, codec }) => [id, kind, timescale, codec]), [
    [1, 'video', 90_000, 'avc1.64001f'],
    [2, 'audio', 48_000, 'mp4a.40.2'],
  ]);
  assert.deepEqual([init.tracks[0]?.width, init.tracks[0]?.height], [640, 360]);
  assert.equal(mimeType(init, null), 'video/mp4; codecs="avc1.64001f,mp4a.40.2"');
});

test('the playlist speaks for a codec that the reader does not know', () => {
  const init = parseInit(initBytes());
  for (const track of init.tracks) track.codec = null;
  assert.equal(mimeType(init, 'hvc1.1.6.L93'), 'video/mp4; codecs="hvc1.1.6.L93"');
});

test('anything else is a format error', () => {
  const good = initBytes({ audio: true });
  for (const bytes of [box('ftyp'), new Uint8Array([1, 2, 3]), box('moov', box('trak', box('tkhd', [0])))]) {
    assert.throws(() => parseInit(bytes), PlayerError);
  }
  for (let length = 0; length < good.length; length += 5) {
    assert.throws(() => parseInit(good.slice(0, length)), PlayerError, `cut at ${length}`);
  }
});
