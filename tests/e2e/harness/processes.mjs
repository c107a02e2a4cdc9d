// Child processes of a test: started, watched, and gone when the test is over, whatever happened.
// In → Out: a command → its lines as they come, a promise of its end, a way to stop it.
// Each child leads a process group, so that what it started ends with it.
// Spec: none.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const alive = new Set();

process.on('exit', () => {
  for (const child of alive) signal(child, 'SIGKILL');
});
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => process.exit(130));

function signal(child, name) {
  try {
    process.kill(-child.pid, name);
  } catch {
    // Already gone.
  }
}

export class Child {
  constructor(command, args, options = {}) {
    this.name = command.split('/').pop();
    this.lines = [];
    this.waiting = [];
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, ...options });
    alive.add(this.child);
    for (const stream of [this.child.stdout, this.child.stderr]) {
      if (stream) createInterface({ input: stream }).on('line', (line) => this.#handleLine(line));
    }
    this.ended = new Promise((resolve) => {
      const end = (code, by) => {
        alive.delete(this.child);
        this.status = by ?? code;
        for (const { reject } of this.waiting.splice(0)) reject(new Error(`${this.name} ended (${this.status})\n${this.tail()}`));
        resolve(this.status);
      };
      this.child.once('error', (error) => end(String(error), null));
      this.child.once('exit', end);
    });
  }

  get pid() {
    return this.child.pid;
  }

  #handleLine(line) {
    this.lines.push(line);
    if (this.lines.length > 2000) this.lines.shift();
    this.waiting = this.waiting.filter(({ pattern, resolve }) => {
      const match = line.match(pattern);
      if (match) resolve(match);
      return !match;
    });
  }

  /** The first line that matches, already said or still to come. */
  line(pattern, ms = 10_000) {
    for (const line of this.lines) {
      const match = line.match(pattern);
      if (match) return Promise.resolve(match);
    }
    if (this.status !== undefined) return Promise.reject(new Error(`${this.name} ended (${this.status})\n${this.tail()}`));
    return within(ms, `${this.name}: no line like ${pattern}`, new Promise((resolve, reject) => {
      this.waiting.push({ pattern, resolve, reject });
    }), () => this.tail());
  }

  tail(count = 20) {
    return this.lines.slice(-count).join('\n');
  }

  kill(name = 'SIGKILL') {
    signal(this.child, name);
    return this.ended;
  }

  /** A polite end; SIGKILL after five seconds. */
  async stop(name = 'SIGTERM') {
    if (this.status !== undefined) return this.status;
    const timer = setTimeout(() => signal(this.child, 'SIGKILL'), 5000);
    signal(this.child, name);
    const status = await this.ended;
    clearTimeout(timer);
    // What it left behind in its group.
    signal(this.child, 'SIGKILL');
    return status;
  }
}

/** Runs to the end; rejects unless the status is zero. */
export async function run(command, args, { ms = 60_000, ...options } = {}) {
  const child = new Child(command, args, options);
  const status = await within(ms, `${child.name} takes longer than ${ms} ms`, child.ended, () => child.tail()).catch(async (error) => {
    await child.kill();
    throw error;
  });
  if (status !== 0) throw new Error(`${child.name} ${args.join(' ')}: status ${status}\n${child.tail(40)}`);
  return child.lines;
}

export const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The promise, or an error that says what was waited for. */
export async function within(ms, what, promise, detail = () => '') {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} (waited ${ms} ms)\n${detail()}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks again and again until `ask` gives something truthy. */
export async function until(what, ask, ms = 10_000, every = 50) {
  const end = performance.now() + ms;
  let last;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) throw new Error(`${what} (waited ${ms} ms; last: ${last})`);
    await delay(every);
  }
}
