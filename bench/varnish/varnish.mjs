// What a cache in front costs and saves: the same viewers on the origin and then behind Debian's Varnish, in one run.
// In → Out: a number of viewers → lateness of chunks in both, the difference, and how often the origin was asked for each segment.
// Use: cargo xtask bench varnish [--viewers 1000] [--seconds 20] [--bitrate 1200k]
// Lateness counts from the stamp that the pattern paints: encoder, origin, cache and the viewer's own wake-up are inside.
// Spec: bench/README.md, "Varnish"; design "Numbers to reach".

import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { Nearcast, binary, root } from '../../tests/e2e/harness/nearcast.mjs';
import { delay, run } from '../../tests/e2e/harness/processes.mjs';
import { pattern } from '../../tests/e2e/harness/publishers.mjs';
import { Varnish } from '../../tests/e2e/harness/varnish.mjs';

const options = { viewers: 1000, seconds: 20, bitrate: '1200k' };
for (let args = process.argv.slice(2); args.length > 0; ) {
  const name = args.shift().replace(/^--/, '');
  if (!(name in options)) throw new Error(`no option --${name}; there are: ${Object.keys(options).map((key) => `--${key}`).join(' ')}`);
  options[name] = typeof options[name] === 'number' ? Number(args.shift()) : args.shift();
}

async function watchers(url) {
  const lines = await run(join(dirname(binary), 'loadgen'), [
    'viewers', '--url', url, '--count', String(options.viewers), '--seconds', String(options.seconds), '--ramp', '200', '--json',
  ], { ms: (options.seconds + 60) * 1000 });
  const text = lines.join('\n');
  return JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1));
}

const server = await Nearcast.start();
const publisher = pattern(server.rtmp('bench'), { args: ['--bitrate', options.bitrate] });
const cache = await Varnish.start(server.httpPort, { threads: Math.max(300, options.viewers) });
try {
  await server.live('bench');
  await delay(4000);
  console.log(`… ${options.viewers} viewers on the origin, ${options.seconds} s`);
  const direct = await watchers(server.url('/b/bench'));
  await delay(3000);
  console.log(`… ${options.viewers} viewers behind Varnish, ${options.seconds} s`);
  const cached = await watchers(cache.url('/b/bench'));
  await delay(1000);
  const asked = new Map();
  for (const line of cache.log.lines) {
    const path = line.split(' ')[2] ?? '';
    if (/\.m4s$/.test(path) && line.endsWith(' 200')) asked.set(path, (asked.get(path) ?? 0) + 1);
  }
  const counts = [...asked.values()];
  const row = (name, { deep, light }) => [name, deep.lateness_ms?.p50, deep.lateness_ms?.p99, deep.join_ms?.p50, light.stalls, light.segments, light.aborted, light.refused];
  console.log(`\n${options.viewers} viewers, ${cpus().length} × ${cpus()[0].model}, load ${loadavg()[0].toFixed(1)}\n`);
  console.log('| | late p50, ms | late p99 | join p50 | stalls | segments | aborted | refused |\n| --- | --- | --- | --- | --- | --- | --- | --- |');
  for (const cells of [row('origin', direct), row('Varnish', cached)]) console.log(`| ${cells.map((cell) => (typeof cell === 'number' ? Math.round(cell * 10) / 10 : (cell ?? '–'))).join(' | ')} |`);
  console.log(`\nVarnish asked the origin for ${counts.length} objects, at most ${Math.max(...counts)} times each, ${(counts.reduce((sum, count) => sum + count, 0) / counts.length).toFixed(2)} on average`);
  const folder = join(root, 'bench/results');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'varnish-latest.json'), `${JSON.stringify({ options, direct, cached, origin_requests: Object.fromEntries(asked) }, null, 1)}\n`);
  console.log('saved bench/results/varnish-latest.json');
} finally {
  await cache.stop();
  await publisher.stop();
  await server.stop();
}
process.exit();
