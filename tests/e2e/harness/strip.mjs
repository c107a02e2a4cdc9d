// The painted clock: 40 cells over the top of the picture, in a row and once more inverted below it.
// In → Out: the luma of 2 × 40 cell centres → the wall clock in ms that was painted, or null if it cannot be trusted.
// Layout, MSB first: 32 bits of unix time in ms modulo 2^32, then a CRC-8 over those four bytes. White is one.
// Written so that its source text can be sent into a page (`inPage`), where the reading happens.
// Spec: docs/clock-strip.md, "Strip".

export const CELLS = 40;

/** CRC-8, polynomial 0x07, start value 0xff, over the four bytes of `value`, most significant first. */
export function crc8(value) {
  let crc = 0xff;
  for (let shift = 24; shift >= 0; shift -= 8) {
    crc ^= (value >>> shift) & 0xff;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : (crc << 1) & 0xff;
    }
  }
  return crc;
}

/** The 40 bits that carry a time. */
export function encodeCells(unixMs) {
  const value = Math.floor(unixMs) % 2 ** 32;
  const bits = [];
  for (let bit = 31; bit >= 0; bit -= 1) bits.push(Math.floor(value / 2 ** bit) & 1);
  const crc = crc8(value);
  for (let bit = 7; bit >= 0; bit -= 1) bits.push((crc >> bit) & 1);
  return bits;
}

/** `luma(row, cell)` in 0–255 → unix ms near `nowMs`, or null. */
export function decodeCells(luma, nowMs) {
  let value = 0;
  let crc = 0;
  for (let cell = 0; cell < 40; cell += 1) {
    const difference = luma(0, cell) - luma(1, cell);
    if (Math.abs(difference) < 40) return null;
    const bit = difference > 0 ? 1 : 0;
    if (cell < 32) value = value * 2 + bit;
    else crc = crc * 2 + bit;
  }
  if (crc8(value) !== crc) return null;
  // The upper bits come from the reader's own clock; the painted one may be a little ahead of it.
  const turns = Math.round((nowMs - value) / 2 ** 32);
  return value + turns * 2 ** 32;
}

/** The functions above as source text, for a page. */
export const inPage = [crc8, decodeCells].map(String).join('\n');
