// Tests of hearts and comments at their moments.
//
// In → Out: beats in virtual time → when each heart floats; comments and a playhead → when each is shown.
// Spec: docs/ix.md, "When to show".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FLIGHTS_PER_S, HeartRhythm, OwnEcho, thin } from '../src/hearts.ts';
import { Stage, WAIT_MAX_MS } from '../src/stage.ts';
import type { Comment } from '../src/wire.ts';
import { hearts, hex } from './lines_of.ts';

const half = (): number => 0.5;

test('somebody who taps five times a second is seen to tap five times a second', () => {
  const rhythm = new HeartRhythm();
  const times: number[] = [];
  // Five taps a second fall on beats of 250 ms as 1, 1, 1, 2.
  [1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 2].forEach((count, beat) => {
    for (const flight of rhythm.spread(hearts({ 3: count }), 250, beat * 250, half)) times.push(beat * 250 + flight.delayMs);
  });
  assert.equal(times.length, 15);
  const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
  assert.ok(gaps.every((gap) => gap >= 120 && gap <= 260), gaps.join(' '));
});

test('hearts of a beat are over before the beat after the next', () => {
  const rhythm = new HeartRhythm();
  for (let beat = 0; beat < 50; beat += 1) {
    const flights = rhythm.spread(hearts({ 0: beat % 4, 7: 9 }), 250, beat * 250, Math.random);
    assert.ok(flights.every((flight) => flight.delayMs >= 0 && flight.delayMs <= 500));
  }
});

test('a crowd is thinned to what a screen can show, in its own colours', () => {
  const flights = new HeartRhythm().spread(hearts({ 0: 30_000, 1: 10_000, 2: 1 }), 250, 0, half);
  assert.equal(flights.length, Math.round(FLIGHTS_PER_S / 4));
  const of = (colour: number): number => flights.filter((flight) => flight.colour === colour).length;
  assert.ok(of(0) > of(1) && of(1) > 0);
  assert.deepEqual(thin(hearts({ 0: 2, 9: 1 }), 15), hearts({ 0: 2, 9: 1 }));
  assert.equal(thin(hearts({ 0: 5, 1: 5, 2: 5 }), 4).reduce((sum, one) => sum + one, 0), 4);
});

test('own hearts that come back do not float a second time, those of others do', () => {
  const echo = new OwnEcho();
  echo.sent(3, 0);
  assert.deepEqual(echo.without(hearts({ 4: 5, 5: 1 }), 4, 300), hearts({ 4: 2, 5: 1 }));
  assert.deepEqual(echo.without(hearts({ 4: 5 }), 4, 400), hearts({ 4: 5 }));
});

test('own hearts that the server did not count, or that never come back, hide nobody else', () => {
  const echo = new OwnEcho();
  echo.sent(10, 0);
  echo.correct(-7);
  assert.deepEqual(echo.without(hearts({ 4: 5 }), 4, 300), hearts({ 4: 2 }));
  echo.sent(10, 1_000);
  assert.deepEqual(echo.without(hearts({ 4: 5 }), 4, 60_000), hearts({ 4: 5 }));
});

function said(id: number, mediaMs: number): Comment {
  return { id: hex(id), author: hex(1), name: 'Ann', text: 'x', mediaMs, broadcaster: false };
}

test('a comment waits until the own picture has reached what its author saw', () => {
  const stage = new Stage();
  stage.push(said(1, 5_000), 0);
  stage.push(said(2, 4_000), 0);
  assert.deepEqual(stage.due(0, 3_900), []);
  assert.deepEqual(stage.due(100, 4_000).map((one) => one.id), [hex(2)]);
  assert.deepEqual(stage.due(1_200, 5_100).map((one) => one.id), [hex(1)]);
  assert.equal(stage.size, 0);
});

test('it waits eight seconds at most, not at all while the media time is unknown, and never once deleted', () => {
  const stage = new Stage();
  stage.push(said(1, 1e9), 0);
  assert.equal(stage.due(WAIT_MAX_MS - 1, 0).length, 0);
  assert.equal(stage.due(WAIT_MAX_MS, 0).length, 1);
  stage.push(said(2, 1e9), 0);
  assert.equal(stage.due(0, null).length, 1);
  stage.push(said(3, 1e9), 0);
  stage.remove([hex(3)]);
  assert.equal(stage.due(0, null).length, 0);
});

test('what waits is bounded: a flood is shown early rather than kept', () => {
  const stage = new Stage();
  for (let i = 0; i < 1_000; i += 1) stage.push(said(i, 1e9), 0);
  assert.equal(stage.due(0, 0).length, 800);
  assert.equal(stage.size, 200);
});
