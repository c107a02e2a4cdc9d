// `test` of node:test for a machine that is not ours alone: what fails while everything stood still says nothing, and is tried again.
// In → Out: a test → its result; an attempt during which the whole machine was stopped or starved does not count, and is told.
// Spec: none; CI machines are virtual, and their hosts stop them for a second now and then.

import test from 'node:test';
import { attempts } from './watching.mjs';

const TICK_MS = 50;
/** Longer than this process ever computes by itself. */
const PAUSE_MS = 300;
const ATTEMPTS = 3;

/** When this process came late to its own clock, and by how much. */
const pauses = [];
let last = performance.now();
setInterval(() => {
  const now = performance.now();
  const late = now - last - TICK_MS;
  if (late > PAUSE_MS) pauses.push({ at: now, ms: Math.round(late) });
  last = now;
}, TICK_MS).unref();

/** As node:test's: `(name, [options], body)`. */
export default function steadyTest(name, ...rest) {
  const body = rest.pop();
  return test(name, ...rest, (t) => attempts(t, ATTEMPTS, () => body(t), stoodStill));
}

/** How long the machine stood still since `begun`, in words; nothing if it did not. */
function stoodStill(begun) {
  const stood = pauses.filter(({ at }) => at > begun).map(({ ms }) => ms);
  return stood.length > 0 && `the machine stood still for ${stood.join(', ')} ms`;
}
