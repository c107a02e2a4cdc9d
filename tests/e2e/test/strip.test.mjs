// The reader of the painted clock against known values, damage and the wrap of its 32 bits.
// In → Out: times → cells → times.
// Spec: docs/clock-strip.md, "Strip".
import assert from 'node:assert/strict';
import test from '../harness/steady.mjs';
import { crc8, decodeCells, encodeCells } from '../harness/strip.mjs';

const lumaOf = (bits) => (row, cell) => (bits[cell] === 1) === (row === 0) ? 235 : 16;

test('the check byte agrees with the published vectors', () => {
  const vectors = [[0, 0xd1], [1, 0xd6], [0x12345678, 0xcd], [0xffffffff, 0x0f], [0x0340a095, 0x97]];
  for (const [value, crc] of vectors) assert.equal(crc8(value), crc);
});

test('a painted time is read back, also across the wrap of 32 bits', () => {
  for (const time of [1795350896789, 418 * 2 ** 32 - 1, 418 * 2 ** 32, 418 * 2 ** 32 + 1]) {
    for (const delay of [-5, 0, 300, 60_000]) {
      assert.equal(decodeCells(lumaOf(encodeCells(time)), time + delay), time);
    }
  }
});

test('one wrong cell and a grey cell are both noticed', () => {
  const bits = encodeCells(1795350896789);
  for (let cell = 0; cell < 40; cell += 1) {
    const damaged = [...bits];
    damaged[cell] = 1 - damaged[cell];
    assert.equal(decodeCells(lumaOf(damaged), 1795350896789), null);
  }
  assert.equal(decodeCells((row, cell) => (cell === 7 ? 120 : lumaOf(bits)(row, cell)), 1795350896789), null);
});
