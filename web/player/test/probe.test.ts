// Tests of the probe: what it asks for, and what it believes.
//
// In → Out: bodies that come at a rate, in packets or in lumps → bits per second, or nothing.
// Spec: `src/probe.ts`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe } from '../src/probe.ts';
import type { LoaderEnvironment } from '../src/segment_request.ts';
import { VirtualClock } from './virtual_world.ts';

/** A server whose bodies come in packets, each after a pause. */
function world(pauseMs: (packet: number) => number, status = 206) {
  const clock = new VirtualClock();
  const asked: string[] = [];
  const env: LoaderEnvironment = {
    nowMs: () => clock.nowMs,
    sleep: clock.sleep,
    random: () => 0.5,
    fetch: async (_url, init) => {
      const range = new Headers(init.headers).get('Range') ?? '';
      asked.push(range);
      let left = Number(range.split('-')[1]) + 1;
      let packet = 0;
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await clock.sleep(pauseMs(packet), new AbortController().signal);
          packet += 1;
          const size = Math.min(left, 1_400);
          left -= size;
          controller.enqueue(new Uint8Array(size));
          if (left === 0) controller.close();
        },
      }, { highWaterMark: 0 });
      return new Response(body, { status });
    },
  };
  return { clock, env, asked };
}

const WANT = { bytes: 140_000, bps: 2_000_000 };

test('a path that is wide is measured in two steps, the first of seven packets', async () => {
  const { clock, env, asked } = world(() => 1.4);
  const probe = new Probe(env, 'http://test/x', WANT);
  await clock.advance(1_000);
  assert.equal(probe.state, 'done');
  assert.ok(probe.bps > 7_000_000 && probe.bps < 9_000_000, `${probe.bps}`);
  assert.deepEqual(asked, ['bytes=0-9999', 'bytes=0-139999']);
});

test('a probe that is stopped past its half has learned enough, before that it has not', async () => {
  for (const [ms, state] of [[60, 'failed'], [150, 'done']] as const) {
    const { clock, env } = world(() => 1.4);
    const probe = new Probe(env, 'http://test/x', WANT);
    await clock.advance(ms);
    probe.stop();
    assert.equal(probe.state, state, `${ms} ms`);
    await clock.advance(1_000);
    assert.equal(probe.state, state);
    if (state === 'done') assert.ok(probe.bps > 7_000_000 && probe.bps < 9_000_000, `${probe.bps}`);
  }
});

test('a path that is narrow sees no more than seven packets', async () => {
  const { clock, env, asked } = world(() => 14);
  const probe = new Probe(env, 'http://test/x', WANT);
  await clock.advance(1_000);
  assert.deepEqual([probe.state, asked.length], ['failed', 1]);
});

test('what comes in a lump is not believed', async () => {
  const { clock, env } = world((packet) => (packet === 40 ? 900 : packet > 40 ? 0.01 : 1.4));
  const probe = new Probe(env, 'http://test/x', WANT);
  await clock.advance(1_400);
  assert.ok(probe.bps < 2_000_000, `${probe.bps}`);
});

test('what never ends, or is refused, has failed', async () => {
  for (const slow of [world(() => 5_000), world(() => 1, 404)]) {
    const probe = new Probe(slow.env, 'http://test/x', WANT);
    await slow.clock.advance(2_000);
    assert.equal(probe.state, 'failed');
  }
});
