// Tests of what is read from the server's word about a connection.
//
// In → Out: headers → rate, whether it was all there was, what waits; or nothing.
// Spec: CTA-5006, "CMSD-Dynamic"; docs/delivery.md, "Hints".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readHint } from '../src/server_hint.ts';

const TEXT = '"nearcast";etp=12400;rtt=21;nearcast-unsent=2896;nearcast-limited';
const read = (value: string, more: Record<string, string> = {}) => readHint(new Headers({ 'CMSD-Dynamic': value, ...more }));

test('the rate, what waits unsent, and whether there was more to send', () => {
  assert.deepEqual(read(TEXT), { deliveryBps: 12_400_000, limited: true, unsentBytes: 2_896 });
  assert.deepEqual(read('"nearcast"; rtt=40; nearcast-unsent=0'), { deliveryBps: null, limited: false, unsentBytes: 0 });
});

test('an answer out of a cache tells of another connection', () => {
  assert.equal(read(TEXT, { Age: '3' }), null);
  assert.equal(read(TEXT, { Via: '1.1 varnish' }), null);
  assert.equal(read(`${TEXT}, "edge";etp=100`), null, 'somebody stands between');
  assert.equal(readHint(new Headers()), null);
});

test('nonsense is no rate', () => {
  for (const text of ['', ';;;', 'etp=5', '"x";etp=-1;nearcast-unsent=-4', '"x";etp=NaN;nearcast-unsent=Infinity', '"x";etp=1e400', `"x";etp=${'9'.repeat(400)}`]) {
    const hint = read(text);
    assert.ok(hint === null || (hint.deliveryBps === null && hint.unsentBytes === 0), `${text}: ${JSON.stringify(hint)}`);
  }
  assert.equal(read(`"x"${';a=1'.repeat(1_000)}`), null);
});
