// The real server of this repository, on ports of its own and with a data folder that is thrown away.
// In → Out: flags → a running `nearcast serve` with its addresses; publishers for it.
// Spec: README.md, "nearcast serve" and "nearcast publish".

import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child, until } from './processes.mjs';

const here = dirname(fileURLToPath(import.meta.url));
export const root = resolve(here, '../../..');
export const binary = process.env.NEARCAST_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'debug/nearcast');

/** A port that is free now. */
export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

export class Nearcast {
  /** Starts `serve`; ready when `/readyz` says so. */
  static async start({ dev = true, args = [], env = {} } = {}) {
    const data = await mkdtemp(join(tmpdir(), 'nearcast-e2e-'));
    const [http, rtmp] = [await freePort(), await freePort()];
    const child = new Child(
      binary,
      ['serve', ...(dev ? ['--dev'] : []), '--http', `127.0.0.1:${http}`, '--rtmp', `127.0.0.1:${rtmp}`, '--data', data, ...args],
      { env: { ...process.env, ...env }, cwd: data },
    );
    const server = Object.assign(new Nearcast(), { child, data, httpPort: http, rtmpPort: rtmp });
    await until(
      'the server is ready',
      async () => {
        if (child.status !== undefined) throw new Error(`ended: ${child.status}\n${child.tail()}`);
        return (await fetch(server.url('/readyz'))).ok;
      },
      20_000,
    ).catch(async (error) => {
      await server.stop();
      throw error;
    });
    return server;
  }

  url(path = '/') {
    return `http://127.0.0.1:${this.httpPort}${path}`;
  }

  rtmp(name) {
    return `rtmp://127.0.0.1:${this.rtmpPort}/live/${name}`;
  }

  /** What the API says about a broadcast, or null. */
  async broadcast(name) {
    const answer = await fetch(this.url(`/api/v1/broadcasts/${name}`));
    return answer.ok ? answer.json() : null;
  }

  /** Process ids of the encoders that this server runs now. */
  encoders() {
    return readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
      try {
        const [, name, state, parent] = /\((.*)\) (\S) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'));
        const encodes = () => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('force_key_frames');
        return name === 'ffmpeg' && state !== 'Z' && Number(parent) === this.child.pid && encodes();
      } catch {
        // It ended while it was looked at.
        return false;
      }
    }).map(Number);
  }

  /** Until a broadcast is in this state and can be played. */
  live(name, ms = 15_000) {
    return until(
      `${name} is live`,
      async () => {
        const broadcast = await this.broadcast(name);
        if (broadcast?.state !== 'live') return null;
        const playlist = await fetch(this.url(`/live/${name}/source/index.m3u8`));
        return playlist.ok && /#EXTINF|EXT-X-PREFETCH|EXT-X-PART:/.test(await playlist.text()) ? broadcast : null;
      },
      ms,
    );
  }

  async stop() {
    const status = await this.child.stop();
    await rm(this.data, { recursive: true, force: true });
    return status;
  }
}
