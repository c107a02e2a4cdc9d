// Builds everything under web/: the pages (dist/), the libraries (player/dist/, interaction/dist/), their API reports, and the tests.
//
// In → Out: `node build.mjs [build|test|api|run FILE]` → files, or a message and exit code 1.
// Pages name their assets by content hash, hold no inline script or style, and are checked against a size budget.
// Spec: none.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
process.chdir(here);

/** Compressed bytes that each page may load before its first picture. */
const BUDGET_GZIP = { 'watch.html': 30_000, 'embed.html': 28_000, 'index.html': 8_000, 'studio.html': 48_000 };
const PAGES = ['index', 'watch', 'embed', 'studio'];
/** Loaded by a page after its first picture, so not part of its budget. */
const LATER = ['site/src/room.ts'];
const STYLES = ['style', 'room', 'studio'];
const LIBRARIES = {
  player: ['index', 'element'],
  interaction: ['index'],
};
const TARGET = ['chrome94', 'firefox102', 'safari16.4'];

const commands = { build: buildAll, test, api: () => Object.keys(LIBRARIES).forEach((name) => report(name, { write: true })), run };
const command = commands[process.argv[2] ?? 'build'];
if (!command) fail(`unknown command; one of: ${Object.keys(commands).join(', ')}`);
await command();

async function buildAll() {
  await pages();
  for (const name of Object.keys(LIBRARIES)) {
    await library(name);
    report(name, { write: false });
  }
}

async function pages() {
  rmSync('dist', { recursive: true, force: true });
  mkdirSync('dist/assets', { recursive: true });
  const result = await build({
    entryPoints: [...PAGES.map((page) => `site/src/${page}.ts`), ...LATER, ...STYLES.map((style) => `site/src/${style}.css`), 'site/static/icon.svg'],
    bundle: true, minify: true, format: 'esm', target: TARGET, charset: 'utf8', legalComments: 'none',
    outdir: 'dist/assets', outbase: 'site/src', entryNames: '[name]-[hash]', assetNames: '[name]-[hash]',
    loader: { '.svg': 'copy' }, metafile: true, logLevel: 'warning',
  });
  const address = new Map();
  for (const [path, output] of Object.entries(result.metafile.outputs)) {
    if (output.entryPoint) address.set(basename(output.entryPoint), `/assets/${basename(path)}`);
  }
  for (const page of PAGES) {
    const html = readFileSync(`site/src/${page}.html`, 'utf8').replace(/\{\{([\w.]+)\}\}/g, (_, name) => {
      return address.get(name) ?? fail(`${page}.html names ${name}, which is not built`);
    });
    writeFileSync(`dist/${page}.html`, html);
    weigh(`${page}.html`, html);
  }
}

function weigh(name, html) {
  let bytes = gzipSync(html).byteLength;
  for (const [, path] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) bytes += gzipSync(readFileSync(join('dist', path))).byteLength;
  const budget = BUDGET_GZIP[name];
  console.log(`${name}: ${bytes} of ${budget} bytes compressed`);
  if (bytes > budget) fail(`${name} is over its budget`);
}

async function library(name) {
  const entryPoints = LIBRARIES[name].map((entry) => `${name}/src/${entry}.ts`);
  rmSync(`${name}/dist`, { recursive: true, force: true });
  await build({ entryPoints, bundle: true, splitting: true, format: 'esm', target: TARGET, outdir: `${name}/dist`, logLevel: 'warning' });
  for (const [file, text] of declarations(name)) {
    mkdirSync(dirname(join(`${name}/dist`, file)), { recursive: true });
    writeFileSync(join(`${name}/dist`, file), text);
  }
}

/** Emitted .d.ts files of a library by name, in memory. */
function declarations(name) {
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, here);
  const program = ts.createProgram(LIBRARIES[name].map((entry) => `${name}/src/${entry}.ts`), {
    ...options, noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: `${name}/src`, outDir: 'out',
    allowImportingTsExtensions: true, rewriteRelativeImportExtensions: false, types: [],
  });
  const files = new Map();
  program.emit(undefined, (path, text) => {
    files.set(path.split('out/')[1], text.replaceAll(/(from '|import\(")(\.[^'"]*)\.ts(['"])/g, '$1$2.js$3'));
  });
  return files;
}

/** Compares the public declarations with the library's api.md, or writes that file. */
function report(name, { write }) {
  const files = declarations(name);
  const exported = new Map();
  for (const entry of LIBRARIES[name]) collect(`${entry}.d.ts`, files, exported);
  const text = [
    `# API of @nearcast/${name}`, '',
    'Written by `npm run api`; a build fails when it is out of date. A change here is a change for users.', '',
    ...[...exported].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, code]) => `\`\`\`ts\n${code}\n\`\`\`\n`),
  ].join('\n');
  if (write) {
    writeFileSync(`${name}/api.md`, text);
  } else if (readSafe(`${name}/api.md`) !== text) {
    fail(`${name}/api.md is out of date: run \`npm run api\` and review the difference`);
  }
}

/** Adds what `name` declares or re-exports to `exported`. */
function collect(name, files, exported) {
  const source = ts.createSourceFile(name, files.get(name), ts.ScriptTarget.ES2022, true);
  const wanted = (statement) => statement.modifiers?.some((one) => one.kind === ts.SyntaxKind.ExportKeyword);
  for (const statement of source.statements) {
    if (ts.isExportDeclaration(statement) && statement.moduleSpecifier && statement.exportClause) {
      const from = join(dirname(name), statement.moduleSpecifier.text).replace(/\.js$/, '.d.ts');
      const inner = new Map();
      collect(from, files, inner);
      for (const { name: { text } } of statement.exportClause.elements) exported.set(text, inner.get(text) ?? text);
    } else if (wanted(statement)) {
      const id = statement.name?.text ?? statement.declarationList?.declarations[0].name.text;
      exported.set(id, statement.getText().replaceAll('export declare ', 'export '));
    }
  }
}

async function test() {
  const out = 'player/dist/test';
  rmSync(out, { recursive: true, force: true });
  const found = ['player/test', 'interaction/test', 'site/test'].flatMap((folder) => listSafe(folder).map((file) => join(folder, file)));
  const entryPoints = found.filter((file) => file.endsWith('.test.ts'));
  await build({
    entryPoints, bundle: true, platform: 'node', format: 'esm', target: 'node18', outdir: out, outbase: '.',
    outExtension: { '.js': '.mjs' }, sourcemap: 'inline', logLevel: 'warning', loader: { '.json': 'json' },
  });
  const files = entryPoints.map((file) => join(out, file.replace(/\.ts$/, '.mjs')));
  const run = spawnSync(process.execPath, ['--enable-source-maps', '--test', ...files], { stdio: 'inherit' });
  process.exit(run.status ?? 1);
}

/** Bundles one script of the tests and runs it, until it ends or is stopped. */
async function run() {
  const outfile = join('player/dist/run', basename(process.argv[3]).replace(/\.ts$/, '.mjs'));
  await build({ entryPoints: [process.argv[3]], bundle: true, platform: 'node', format: 'esm', target: 'node18', outfile });
  await import(join(here, outfile));
}

function listSafe(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function readSafe(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function fail(message) {
  console.error(`web: ${message}`);
  process.exit(1);
}
