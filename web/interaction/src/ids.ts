// Ids of viewers, comments and requests, and the colour that follows from a viewer's id.
//
// In → Out: chance → sixteen hexadecimal digits; a viewer's id → a colour, 0–15.
// Spec: docs/ix.md, "Ids".

const MULTIPLIER = 0x9e3779b97f4a7c15n;
const WORD = (1n << 64n) - 1n;

/** A random id; the browser's own source of chance, because it must not be guessed. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The colour of a viewer's hearts. */
export function colourOf(viewer: string): number {
  if (!/^[0-9a-f]{16}$/.test(viewer)) return 0;
  return Number(((BigInt(`0x${viewer}`) * MULTIPLIER) & WORD) >> 60n);
}
