// Tests of the policy on what it saw in Chromium behind a bad link, recorded by the bench.
//
// In → Out: recorded observations → what the policy says to them.
// A recording holds what happened under the policy of its day, so only what did not depend on it is asked: when it went down first.
// Spec: bench/README.md, "Network"; `test/traces/README.md`.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type AbrRung, abrStart, abrStep } from '../src/abr.ts';
import heldBack from './traces/network_held_back.json' with { type: 'json' };
import steps from './traces/network_steps.json' with { type: 'json' };

type Seen = [number, string, number, number, number, number, number, [number, number, number, number][]];
interface Recording {
  head: { rungs: AbrRung[]; changesMs: number[] };
  seen: Seen[];
}

/** Plays a recording up to the first move, or to its end. */
function firstMove({ head, seen }: Recording): { atMs: number; name: string; urgent: boolean } | null {
  let state = abrStart(0);
  for (const [nowMs, playing, receivedBytes, bufferMs, targetMs, standing, phaseMs, chunks] of seen) {
    const step = abrStep(state, {
      nowMs, playing, receivedBytes, rungs: head.rungs, moving: null, bufferS: bufferMs / 1000, targetS: targetMs / 1000,
      standing: standing === 1, segment: { phaseS: phaseMs / 1000, targetS: 2 }, box: null, saveData: false, probe: null, hint: null,
      chunks: chunks.map(([arrivalMs, endMs, bytes, keyframe]) => ({ arrivalMs, endMs, bytes, keyframe: keyframe === 1 })),
    });
    state = step.state;
    if (step.action.move) return { atMs: nowMs, ...step.action.move };
  }
  return null;
}

test('recorded: 10 Mb/s becomes 1 Mb/s, and source is left within half a second', () => {
  const { head, seen } = steps as unknown as Recording;
  const move = firstMove({ head, seen });
  const dropMs = head.changesMs[1] ?? 0;
  assert.ok(move, 'it is left');
  assert.equal(move.name, '240p');
  assert.ok(move.atMs > dropMs && move.atMs < dropMs + 700, `${move.atMs - dropMs} ms after the drop`);
});

test('recorded: a sender that holds back for 200 ms on a wide path makes nobody leave source', () => {
  const recording = heldBack as unknown as Recording;
  const offsets = recording.seen.flatMap(([, , , , , , , chunks]) => chunks.map(([arrivalMs, endMs]) => arrivalMs - endMs));
  assert.ok(Math.max(...offsets) - Math.min(...offsets) > 150, 'it is in the recording');
  assert.equal(firstMove(recording), null);
});
