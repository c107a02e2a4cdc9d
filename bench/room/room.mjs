// The room under load: an audience with real sockets behind Debian's Varnish, a flood of posts at the origin, and a million viewers in virtual time.
// In → Out: a number of viewers → times from a tap to screens, bytes a viewer, posts a core, memory of idle rooms, media with and without the flood.
// Use: cargo xtask bench room [--viewers 5000] [--seconds 20] [--tapping 10] [--simulated 1000000]
// Everything runs on one machine: the caches, the server, the publisher and all viewers share its processors.
// Spec: bench/README.md, "Room"; design "Numbers to reach"; docs/ix.md.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { dirname, join } from 'node:path';
import { Nearcast, binary, root } from '../../tests/e2e/harness/nearcast.mjs';
import { delay, run } from '../../tests/e2e/harness/processes.mjs';
import { pattern } from '../../tests/e2e/harness/publishers.mjs';
import { Varnish } from '../../tests/e2e/harness/varnish.mjs';

const options = { viewers: 5000, seconds: 20, tapping: 10, simulated: 1_000_000 };
for (let args = process.argv.slice(2); args.length > 0; ) {
  const name = args.shift().replace(/^--/, '');
  if (!(name in options)) throw new Error(`no option --${name}; there are: ${Object.keys(options).map((key) => `--${key}`).join(' ')}`);
  options[name] = Number(args.shift());
}

const json = (lines) => {
  const text = lines.join('\n');
  return JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1));
};
const loadgen = (args, seconds) => run(join(dirname(binary), 'loadgen'), args.map(String), { ms: (seconds + 120) * 1000 });
/** What viewers of the picture see meanwhile. */
const media = (server, seconds) => loadgen(['viewers', '--url', server.url('/b/bench'), '--count', 50, '--seconds', seconds, '--deep-every', 5, '--json'], seconds).then(json);
const resident = async (pid) => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
const round = (number) => Math.round(number * 10) / 10;

const server = await Nearcast.start({ env: { NEARCAST_DELIVERY_TRUSTED_PROXIES: '127.0.0.0/8', NEARCAST_LOG_FILTER: 'warn' } });
const publisher = pattern(server.rtmp('bench'), { args: ['--bitrate', '600k'] });
const cache = await Varnish.start(server.httpPort, { threads: Math.max(300, Math.ceil(options.viewers / 4)), threadsMax: Math.max(2000, options.viewers) });
try {
  await server.live('bench');
  await delay(3000);
  const pid = server.child.pid;
  console.log(`… media while the room is quiet, ${options.seconds} s`);
  const quiet = await media(server, options.seconds);
  console.log(`… ${options.viewers} viewers in the room behind Varnish, ${options.tapping} of a thousand tapping, ${options.seconds} s`);
  const audience = json(await loadgen(['room', '--url', cache.url('/b/bench'), '--origin', server.url('/b/bench'), '--viewers', options.viewers, '--tapping', options.tapping,
    '--seconds', options.seconds, '--json'], options.seconds + options.viewers / 500));
  await delay(2000);
  const asked = new Map();
  for (const line of cache.log.lines) {
    const path = line.split(' ')[2] ?? '';
    if (/\/ix\/.*\.jsonl$/.test(path)) asked.set(path, (asked.get(path) ?? 0) + 1);
  }
  console.log('… posts into one room, with media beside it');
  const [posts, flooded] = await Promise.all([
    loadgen(['posts', '--url', server.url('/b/bench'), '--pid', pid, '--seconds', options.seconds, '--json'], options.seconds + 30).then(json),
    delay(4000).then(() => media(server, options.seconds - 4)),
  ]);
  console.log(`… ${options.simulated} viewers in virtual time`);
  const simulated = await loadgen(['simulate-room', '--viewers', options.simulated], 300);

  const times = ({ p50, p99, count }) => `${round(p50)} / ${round(p99)} (${count})`;
  const counts = [...asked.values()];
  console.log(`\n${options.viewers} viewers behind Varnish, ${cpus().length} × ${cpus()[0].model}, load ${loadavg()[0].toFixed(1)}\n`);
  console.log('| what | measured | goal |\n| --- | --- | --- |');
  for (const [what, value, goal] of [
    ['tap → broadcaster, ms p50 / p99', times(audience.tap_to_broadcaster_ms), '200 / 500'],
    ['tap → every viewer, ms p50 / p99', times(audience.tap_to_viewer_ms), '400 / 1000'],
    ['POST → answer, ms p50 / p99', times(audience.post_ms), ''],
    ['each viewer, bytes/s', round(audience.bytes_per_second_a_viewer), '1000'],
    ['reads refused / cut', `${audience.refused_reads} / ${audience.aborted}`, '0'],
    ['requests to the origin for a segment, mean / most', counts.length ? `${(counts.reduce((a, b) => a + b, 0) / counts.length).toFixed(2)} / ${Math.max(...counts)}` : '–', '1'],
    ['POSTs/s, and a second of one processor', `${Math.round(posts.posts_per_second)}, ${Math.round(posts.posts_per_core_second)}`, '20000 a core'],
    ['POSTs accepted / refused', `${posts.accepted} / ${posts.refused}`, ''],
    ['media late, quiet, ms p50 / p99', times(quiet.deep.lateness_ms), ''],
    ['media late, room flooded', times(flooded.deep.lateness_ms), 'the same'],
    ['stalls, quiet and flooded', `${quiet.deep.stalls + quiet.light.stalls} and ${flooded.deep.stalls + flooded.light.stalls}`, 'the same'],
    ['server, resident MB', round((await resident(pid)) / 1e6), ''],
  ]) console.log(`| ${what} | ${value} | ${goal} |`);
  console.log(`\n${simulated.join('\n')}`);
  const folder = join(root, 'bench/results');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'room-latest.json'), `${JSON.stringify({ options, quiet, audience, posts, flooded, simulated, origin_requests: Object.fromEntries(asked) }, null, 1)}\n`);
  console.log('\nsaved bench/results/room-latest.json');
} finally {
  await cache.stop();
  await publisher.stop();
  await server.stop();
}
process.exit();
