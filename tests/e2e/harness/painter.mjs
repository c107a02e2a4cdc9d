#!/usr/bin/env node
// A second painter of the clock pattern, for encoders that `nearcast publish` does not drive (GStreamer, odd flags).
// In → Out: size and rate → raw I420 pictures, each with the time at which it was made, on the standard input of an encoder.
// Use: painter.mjs WxH FPS SECONDS COMMAND ARG…   (SECONDS 0: until stopped; the encoder's status is ours)
// A picture is never early; if the encoder blocks, the stamps tell, because each is taken when its picture is written.
// Spec: docs/clock-strip.md.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { CELLS, encodeCells } from './strip.mjs';

const [size, rate, length, command, ...args] = process.argv.slice(2);
const [width, height] = size.split('x').map(Number);
const fps = Number(rate);
const WHITE = 235;
const BLACK = 16;

const encoder = spawn(command, args, { stdio: ['pipe', 'inherit', 'inherit'] });
encoder.on('exit', (code, signal) => process.exit(signal ? 1 : (code ?? 1)));
encoder.stdin.on('error', () => {});
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => encoder.kill(signal));

const luma = width * height;
const background = Buffer.alloc(luma + luma / 2, 128);
for (let y = 0; y < height; y += 1) {
  for (let x = 0; x < width; x += 1) background[y * width + x] = 40 + Math.floor((60 * (x + y)) / (width + height));
}

const fill = (picture, x0, x1, y0, y1, value) => {
  for (let y = y0; y < y1; y += 1) picture.fill(value, y * width + x0, y * width + x1);
};

/** The picture of this index, stamped with the present. */
function paint(index) {
  const picture = Buffer.from(background);
  const box = Math.floor(height / 6);
  const x = Math.floor(((width - box) * (1 + Math.sin(index / fps))) / 2);
  const y = Math.floor(height / 3);
  fill(picture, x, x + box, y, y + box, 200);
  const flash = index % Math.round(fps) < Math.max(1, Math.floor(Math.round(fps) / 10));
  fill(picture, Math.floor((3 * width) / 4), width, Math.floor((3 * height) / 4), height, flash ? WHITE : BLACK);
  const cell = Math.floor(width / CELLS);
  encodeCells(Date.now()).forEach((bit, i) => {
    const from = Math.floor((i * width) / CELLS);
    const to = Math.floor(((i + 1) * width) / CELLS);
    fill(picture, from, to, 0, cell, bit ? WHITE : BLACK);
    fill(picture, from, to, cell, 2 * cell, bit ? BLACK : WHITE);
  });
  return picture;
}

const started = performance.now();
const last = Number(length) > 0 ? Math.round(Number(length) * fps) : Infinity;
for (let index = 0; index < last; index += 1) {
  const due = started + (index * 1000) / fps - performance.now();
  if (due > 0) await new Promise((resolve) => setTimeout(resolve, due));
  if (!encoder.stdin.write(paint(index))) await once(encoder.stdin, 'drain');
}
encoder.stdin.end();
