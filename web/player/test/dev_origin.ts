// A stand-in for the server while the player is worked on: painted clock → ffmpeg → growing segments.
//
// In → Out: port, options → HTTP with the paths of the design contract for one broadcast, `x`. Not shipped, not hardened.
// `POST /dev/stop` and `/dev/start` take the publisher away and bring it back with a new epoch; `/dev/end` ends it.
// Spec: design contract "Paths", "Segments", "Playlists"; docs/clock-strip.md for the painted clock.

import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readFileSync } from 'node:fs';
import { ChunkSplitter, type Chunk } from '../src/boxes.ts';

const WIDTH = 640;
const HEIGHT = 360;
const FPS = 30;
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'";

interface Segment {
  epoch: number;
  msn: number;
  chunks: Buffer[];
  done: boolean;
  aborted: boolean;
  wallMs: number;
  seconds: number;
  waiting: Set<ServerResponse>;
}

const options = {
  port: Number(process.env['PORT'] ?? 8090),
  dist: process.env['DIST'] ?? 'dist',
  audio: process.env['AUDIO'] !== 'off',
  gop: Number(process.env['GOP'] ?? 60),
};

const began = Date.now();
const segments = new Map<string, Segment>();
const inits = new Map<number, Buffer>();
let epoch = 0;
let msn = 0;
let current: Segment | null = null;
let encoder: ChildProcess | null = null;
let ended = false;

function segment(ofEpoch: number, ofMsn: number): Segment {
  const key = `${ofEpoch}.${ofMsn}`;
  const found = segments.get(key);
  if (found) return found;
  const made: Segment = {
    epoch: ofEpoch, msn: ofMsn, chunks: [], done: false, aborted: false, wallMs: 0, seconds: 0, waiting: new Set(),
  };
  segments.set(key, made);
  if (segments.size > 40) segments.delete(segments.keys().next().value as string);
  return made;
}

function crc8(value: number): number {
  let crc = 0xff;
  for (let shift = 24; shift >= 0; shift -= 8) {
    crc ^= (value >>> shift) & 0xff;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : (crc << 1) & 0xff;
  }
  return crc;
}

const frame = Buffer.alloc((WIDTH * HEIGHT * 3) / 2, 128);
function paint(index: number): Buffer {
  for (let y = 0; y < HEIGHT; y += 1) frame.fill(40 + ((y * 120) / HEIGHT), y * WIDTH, (y + 1) * WIDTH);
  const x = (index * 4) % (WIDTH - 60);
  for (let y = 150; y < 210; y += 1) frame.fill(235, y * WIDTH + x, y * WIDTH + x + 60);
  const millis = Date.now() >>> 0;
  const cell = WIDTH / 40;
  for (let i = 0; i < 40; i += 1) {
    const bit = i < 32 ? (millis >>> (31 - i)) & 1 : (crc8(millis) >> (39 - i)) & 1;
    for (let y = 0; y < cell * 2; y += 1) {
      const white = y < cell ? bit === 1 : bit === 0;
      frame.fill(white ? 235 : 16, y * WIDTH + i * cell, y * WIDTH + (i + 1) * cell);
    }
  }
  return frame;
}

function start(): void {
  if (encoder) return;
  epoch += 1;
  ended = false;
  const args = [
    '-hide_banner', '-loglevel', 'error', '-f', 'rawvideo', '-pix_fmt', 'yuv420p', '-s', `${WIDTH}x${HEIGHT}`, '-r', `${FPS}`, '-i', 'pipe:0',
    ...(options.audio ? ['-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000', '-map', '1:a', '-c:a', 'aac', '-b:a', '96k'] : []),
    '-map', '0:v', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-g', `${options.gop}`, '-bf', '0', '-b:v', '1500k',
    '-output_ts_offset', `${(Date.now() - began) / 1000}`, '-write_prft', 'wallclock', '-flush_packets', '1',
    '-f', 'mp4', '-movflags', 'frag_every_frame+empty_moov+default_base_moof', 'pipe:1',
  ];
  const child = spawn('ffmpeg', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  encoder = child;
  let index = 0;
  const first = performance.now();
  const timer = setInterval(() => {
    while (index * (1000 / FPS) <= performance.now() - first) {
      if (child.stdin.writable) child.stdin.write(Buffer.from(paint(index)));
      index += 1;
    }
  }, 2);
  child.stdin.on('error', () => undefined);
  let head = Buffer.alloc(0);
  const splitter = new ChunkSplitter();
  let pending: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => {
    let bytes: Buffer = data;
    if (!inits.has(epoch)) {
      head = Buffer.concat([head, data]);
      const at = head.indexOf('moof');
      if (at < 0) return;
      const prft = head.indexOf('prft');
      const end = (prft > 0 && prft < at ? prft : at) - 4;
      inits.set(epoch, Buffer.from(head.subarray(0, end)));
      bytes = Buffer.from(head.subarray(end));
    }
    for (const chunk of splitter.push(new Uint8Array(bytes))) {
      pending.push(Buffer.from(chunk.bytes));
      if (isVideo(chunk)) {
        add(Buffer.concat(pending), chunk.runs[0]?.keyframe ?? false);
        pending = [];
      }
    }
  });
  child.on('exit', () => {
    clearInterval(timer);
    encoder = null;
    if (current) finish(current);
    current = null;
    // What is held open for this epoch never comes.
    for (const one of segments.values()) if (!one.done && one.chunks.length === 0) abort(one);
  });
}

/** ffmpeg numbers the tracks in the order of `-map`: sound first where there is sound. */
function isVideo(chunk: Chunk): boolean {
  return chunk.runs.some((run) => run.trackId === (options.audio ? 2 : 1));
}

function add(bytes: Buffer, keyframe: boolean): void {
  if (keyframe || !current) {
    if (current) finish(current);
    current = segment(epoch, msn);
    msn += 1;
    current.wallMs = Date.now();
  }
  current.chunks.push(bytes);
  current.seconds += 1 / FPS;
  for (const response of current.waiting) response.write(bytes);
}

function finish(one: Segment): void {
  one.done = true;
  for (const response of one.waiting) response.end();
  one.waiting.clear();
}

function abort(one: Segment): void {
  one.aborted = true;
  for (const response of one.waiting) response.destroy();
  one.waiting.clear();
}

function playlist(): string {
  const complete = [...segments.values()].filter((one) => one.done).sort((a, b) => a.msn - b.msn).slice(-6);
  const lines = ['#EXTM3U', '#EXT-X-VERSION:9', '#EXT-X-TARGETDURATION:2', `#EXT-X-MEDIA-SEQUENCE:${complete[0]?.msn ?? msn}`];
  let last = -1;
  for (const one of complete) {
    if (last >= 0 && one.epoch !== last) lines.push('#EXT-X-DISCONTINUITY');
    if (one.epoch !== last) lines.push(`#EXT-X-MAP:URI="${one.epoch}.init.mp4"`);
    last = one.epoch;
    lines.push(`#EXT-X-PROGRAM-DATE-TIME:${new Date(one.wallMs).toISOString()}`, `#EXTINF:${one.seconds.toFixed(5)},`, `${one.epoch}.${one.msn}.m4s`);
  }
  if (ended) lines.push('#EXT-X-ENDLIST');
  else for (const n of current ? [current.msn, msn] : [msn, msn + 1]) lines.push(`#EXT-X-PREFETCH:${epoch}.${n}.m4s`);
  return `${lines.join('\n')}\n`;
}

const CORS = { 'access-control-allow-origin': '*', 'timing-allow-origin': '*' };

function send(response: ServerResponse, type: string, body: string | Buffer): void {
  response.writeHead(200, { ...CORS, 'content-type': type, 'cache-control': 'no-store' });
  response.end(body);
}

function sendSegment(response: ServerResponse, ofEpoch: number, ofMsn: number): void {
  const known = segments.has(`${ofEpoch}.${ofMsn}`);
  if (ofEpoch !== epoch || ofMsn > msn + 1 || (!known && ofMsn < msn) || ended) {
    response.writeHead(404, CORS).end();
    return;
  }
  const one = segment(ofEpoch, ofMsn);
  response.writeHead(200, { ...CORS, 'content-type': 'video/mp4', 'cache-control': 'public, max-age=31536000, immutable' });
  response.flushHeaders();
  for (const bytes of one.chunks) response.write(bytes);
  if (one.aborted) response.destroy();
  else if (one.done) response.end();
  else {
    one.waiting.add(response);
    response.on('close', () => one.waiting.delete(response));
  }
}

function broadcast(): object {
  return {
    id: 'x', title: 'A walk by the sea', state: ended ? 'ended' : encoder ? 'live' : 'reconnecting', since: new Date(began).toISOString(),
    renditions: [], viewers: 3, publisher: null, watch_url: '/b/x', playlist_url: '/live/x/index.m3u8',
  };
}

function page(response: ServerResponse, name: string): void {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': CSP });
  response.end(readFileSync(`${options.dist}/${name}`));
}

const ASSET_KINDS: Record<string, string> = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };

function handle(request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  const wanted = /^\/live\/x\/source\/(\d+)\.(\d+)\.m4s$/.exec(pathname);
  const initial = /^\/live\/x\/source\/(\d+)\.init\.mp4$/.exec(pathname);
  const asset = /^\/assets\/[\w.-]+\.(js|css|svg)$/.exec(pathname);
  if (wanted) sendSegment(response, Number(wanted[1]), Number(wanted[2]));
  else if (initial && inits.has(Number(initial[1]))) send(response, 'video/mp4', inits.get(Number(initial[1])) as Buffer);
  else if (pathname === '/live/x/index.m3u8' && epoch > 0) {
    send(response, 'application/vnd.apple.mpegurl', '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1600000,CODECS="avc1.42c01e,mp4a.40.2"\nsource/index.m3u8\n');
  } else if (pathname === '/live/x/source/index.m3u8' && epoch > 0) send(response, 'application/vnd.apple.mpegurl', playlist());
  else if (pathname === '/api/v1/time') send(response, 'application/json', JSON.stringify({ unix_ms: performance.timeOrigin + performance.now() }));
  else if (pathname === '/api/v1/broadcasts') send(response, 'application/json', JSON.stringify({ broadcasts: epoch > 0 ? [broadcast()] : [] }));
  else if (pathname === '/api/v1/broadcasts/x' && epoch > 0) send(response, 'application/json', JSON.stringify(broadcast()));
  else if (pathname === '/dev/stop') encoder?.kill('SIGKILL'), send(response, 'text/plain', 'stopped');
  else if (pathname === '/dev/start') start(), send(response, 'text/plain', 'started');
  else if (pathname === '/dev/end') (ended = true), encoder?.kill('SIGKILL'), send(response, 'text/plain', 'ended');
  else if (asset) {
    response.writeHead(200, { 'content-type': ASSET_KINDS[asset[1] ?? ''] ?? '', 'cache-control': 'public, max-age=31536000, immutable' });
    response.end(readFileSync(`${options.dist}${pathname}`));
  } else if (pathname === '/') page(response, 'index.html');
  else if (/^\/b\/[^/]+$/.test(pathname)) page(response, 'watch.html');
  else if (/^\/b\/[^/]+\/embed$/.test(pathname)) page(response, 'embed.html');
  else response.writeHead(404, CORS).end();
}

const server = createServer((request, response) => {
  request.socket.setNoDelay(true);
  handle(request, response);
});
server.listen(options.port, '127.0.0.1', () => console.log(`http://127.0.0.1:${options.port}/b/x`));
if (process.env['START'] !== 'no') start();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    encoder?.kill('SIGKILL');
    process.exit(0);
  });
}
