// Debian's Varnish with the configuration that we ship, pointed at a test's origin.
// In → Out: an origin's port → a running varnishd on a port of its own, and every request that it sent to the origin.
// Spec: deploy/varnish/README.md.

import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, root } from './nearcast.mjs';
import { Child, delay, until } from './processes.mjs';

const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` };

export class Varnish {
  static async start(originPort, { threads = 300, threadsMax = 2000 } = {}) {
    const data = await mkdtemp(join(tmpdir(), 'varnish-'));
    await chmod(data, 0o755);
    const shipped = await readFile(join(root, 'deploy/varnish/default.vcl'), 'utf8');
    const vcl = shipped.replace('.port = "8080"', `.port = "${originPort}"`);
    if (vcl === shipped) throw new Error('the shipped VCL has another origin than 8080');
    await writeFile(join(data, 'default.vcl'), vcl);
    const port = await freePort();
    const name = join(data, 'run');
    const child = new Child('varnishd', [
      '-F', '-j', 'none', '-n', name, '-a', `127.0.0.1:${port}`, '-f', join(data, 'default.vcl'), '-s', 'malloc,256M', '-s', 'Transient=malloc,128M',
      '-p', `thread_pool_min=${threads}`, '-p', `thread_pool_max=${threadsMax}`, '-p', 'timeout_idle=30', '-p', 'send_timeout=60', '-p', 'idle_send_timeout=20',
    ], { env });
    await until('varnish answers', async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok, 15_000).catch((error) => {
      throw new Error(`${error.message}\n${child.tail()}`);
    });
    // One line for each request to the origin, written when its answer has ended or failed.
    const log = new Child('varnishncsa', ['-n', name, '-b', '-F', '%{Varnish:vxid}x %m %U%q %s'], { env });
    await delay(300);
    return Object.assign(new Varnish(), { child, log, data, port });
  }

  url(path) {
    return `http://127.0.0.1:${this.port}${path}`;
  }

  /** The requests that went to the origin for this path so far (those that have ended). */
  originRequests(path) {
    return this.log.lines.filter((line) => line.split(' ')[2] === path);
  }

  async stop() {
    await this.log.stop();
    await this.child.stop();
    await rm(this.data, { recursive: true, force: true });
  }
}
