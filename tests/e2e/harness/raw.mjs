// A viewer with nothing between it and the socket: sees when the head came, when each chunk came, and how the answer ended.
// In → Out: an http URL → status, headers, chunks with arrival times, `clean` or `aborted`.
// Arrival times are Date.now() with the fraction of performance.now(), so they can be set against painted clocks.
// Spec: RFC 9112, "Chunked Transfer Coding", "Handling Incomplete Messages".

import { connect } from 'node:net';
import { within } from './processes.mjs';

export const now = () => performance.timeOrigin + performance.now();

export class RawGet {
  constructor(url, { headers = {}, method = 'GET' } = {}) {
    const { hostname, port, pathname, search } = new URL(url);
    this.url = url;
    this.asked = now();
    this.chunks = [];
    this.end = null;
    this.rest = Buffer.alloc(0);
    this.watchers = [];
    this.headed = new Promise((resolve, reject) => {
      this.resolveHead = resolve;
      this.rejectHead = reject;
    });
    this.headed.catch(() => {});
    this.ended = new Promise((resolve) => {
      this.resolveEnd = resolve;
    });
    this.socket = connect({ host: hostname, port: Number(port), noDelay: true }, () => {
      const lines = Object.entries({ host: `${hostname}:${port}`, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
      this.socket.write(`${method} ${pathname}${search} HTTP/1.1\r\n${lines.join('')}\r\n`);
    });
    this.socket.on('data', (data) => this.#handle(data));
    this.socket.on('error', (error) => this.#finish('aborted', error));
    this.socket.on('close', () => this.#finish(this.headers && this.length === undefined && !this.chunked ? 'clean' : 'aborted'));
  }

  get body() {
    return Buffer.concat(this.chunks.map((chunk) => chunk.data));
  }

  #finish(how, error) {
    if (this.end) return;
    this.end = how;
    this.endedAt = now();
    this.rejectHead(new Error(`${this.url}: closed before an answer ${error ?? ''}`));
    this.socket.destroy();
    for (const watcher of this.watchers.splice(0)) watcher.resolve();
    this.resolveEnd(how);
  }

  #handle(data) {
    this.rest = Buffer.concat([this.rest, data]);
    if (!this.headers && !this.#head()) return;
    if (this.chunked) this.#dechunk();
    else this.#plain();
  }

  #head() {
    const at = this.rest.indexOf('\r\n\r\n');
    if (at < 0) return false;
    const [first, ...lines] = this.rest.subarray(0, at).toString('latin1').split('\r\n');
    this.rest = this.rest.subarray(at + 4);
    this.status = Number(first.split(' ')[1]);
    this.headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
    this.headedAt = now();
    this.chunked = /chunked/i.test(this.headers['transfer-encoding'] ?? '');
    this.length = this.headers['content-length'] === undefined ? undefined : Number(this.headers['content-length']);
    this.resolveHead(this);
    return true;
  }

  #dechunk() {
    for (;;) {
      const at = this.rest.indexOf('\r\n');
      if (at < 0) return;
      const size = Number.parseInt(this.rest.subarray(0, at).toString('latin1'), 16);
      if (this.rest.length < at + 2 + size + 2) return;
      const data = this.rest.subarray(at + 2, at + 2 + size);
      this.rest = this.rest.subarray(at + 2 + size + 2);
      if (size === 0) return this.#finish('clean');
      this.#push(data);
    }
  }

  #plain() {
    if (this.rest.length > 0) this.#push(this.rest);
    this.rest = Buffer.alloc(0);
    const got = this.chunks.reduce((sum, chunk) => sum + chunk.data.length, 0);
    if (this.length !== undefined && got >= this.length) this.#finish('clean');
  }

  #push(data) {
    this.chunks.push({ at: now(), data });
    this.watchers = this.watchers.filter(({ count, resolve }) => {
      if (this.chunks.length < count) return true;
      resolve();
      return false;
    });
  }

  /** Until so many chunks are here (or the answer has ended). */
  async count(count, ms = 5000) {
    if (this.chunks.length < count && !this.end) {
      await within(ms, `${this.url}: chunk ${count}`, new Promise((resolve) => this.watchers.push({ count, resolve })));
    }
    return this.chunks.length;
  }

  head(ms = 3000) {
    return within(ms, `${this.url}: no answer`, this.headed);
  }

  async finish(ms = 15_000) {
    await this.head(ms);
    return within(ms, `${this.url}: no end`, this.ended);
  }

  close() {
    this.socket.destroy();
  }
}

/** The type and size of each box at the top of some bytes. */
export function boxes(bytes) {
  const found = [];
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    found.push({ type: bytes.subarray(at + 4, at + 8).toString('latin1'), size });
    if (size < 8) break;
    at += size;
  }
  return found;
}
