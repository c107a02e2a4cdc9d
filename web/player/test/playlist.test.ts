// Tests of the playlist reader.
//
// In → Out: playlist texts → variants, segments, prefetch segments.
// Spec: RFC 8216bis; community LHLS, "EXT-X-PREFETCH".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PlayerError } from '../src/errors.ts';
import { initUrl, parseMedia, parseMultivariant, segmentUrl } from '../src/playlist.ts';

const BASE = 'https://host/live/x/source/index.m3u8';

const LIVE = `#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:2
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6
#EXT-X-PART-INF:PART-TARGET=0.2
#EXT-X-MEDIA-SEQUENCE:41
#EXT-X-MAP:URI="3.init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:00.500Z
#EXTINF:2.000,
3.41.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="4.init.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T10:00:09.000Z
#EXT-X-PART:DURATION=0.2,URI="4.42.0.m4s",INDEPENDENT=YES
#EXTINF:1.966,title, with comma
4.42.m4s
#EXT-X-PART:DURATION=0.2,URI="4.43.0.m4s",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="4.43.1.m4s"
#EXT-X-PREFETCH:4.43.m4s
#EXT-X-PREFETCH:4.44.m4s
#EXT-X-RENDITION-REPORT:URI="../480p/index.m3u8",LAST-MSN=43,LAST-PART=0
`;

test('a live media playlist gives complete and prefetch segments with their numbers', () => {
  const playlist = parseMedia(LIVE, BASE);
  assert.equal(playlist.targetDurationS, 2);
  assert.equal(playlist.ended, false);
  assert.deepEqual(playlist.segments.map(({ epoch, msn, durationS }) => [epoch, msn, durationS]), [[3, 41, 2], [4, 42, 1.966]]);
  assert.deepEqual(playlist.prefetch.map(({ epoch, msn, url }) => [epoch, msn, url]), [
    [4, 43, 'https://host/live/x/source/4.43.m4s'],
    [4, 44, 'https://host/live/x/source/4.44.m4s'],
  ]);
  assert.equal(playlist.segments[1]?.programDateTimeMs, Date.parse('2026-11-22T10:00:09Z'));
});

test('counting gives the addresses that the playlist would list', () => {
  assert.equal(segmentUrl(BASE, 4, 45), 'https://host/live/x/source/4.45.m4s');
  assert.equal(initUrl(BASE, 4), 'https://host/live/x/source/4.init.mp4');
});

test('the end of a broadcast and carriage returns are understood', () => {
  assert.equal(parseMedia('#EXTM3U\r\n#EXTINF:1,\r\n1.0.m4s\r\n#EXT-X-ENDLIST\r\n', BASE).ended, true);
});

test('variants keep codecs with commas and resolve against the playlist', () => {
  const text = '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=640x360\nsource/index.m3u8\n';
  assert.deepEqual(parseMultivariant(text, 'https://host/live/x/index.m3u8'), [
    { name: 'source', url: BASE, bandwidthBps: 900_000, averageBps: 900_000, codecs: 'avc1.64001f,mp4a.40.2', width: 640, height: 360 },
  ]);
});

test('what is not a playlist is a format error', () => {
  for (const text of ['', '<html>', '\n#EXTM3U']) assert.throws(() => parseMedia(text, BASE), PlayerError);
  assert.throws(() => parseMultivariant('#EXTM3U\n', BASE), PlayerError);
  assert.throws(() => parseMedia(`#EXTM3U\n${'1.0.m4s\n'.repeat(30_000)}`, BASE), PlayerError);
});
