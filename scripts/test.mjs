/**
 * `npm test`: everything that says whether the studio works, one stage after the other, closing with a line
 * `N passed, N failed`. `--full` takes all golden cases, those beside the repository too, both runtimes, every mutant and
 * the longest tests; `--only types,unit` runs some stages.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ensureBuilt } from './lib/build.mjs';
import { ensureChromium } from './lib/chromium.mjs';
import { ensureDependencies } from './lib/dependencies.mjs';
import { giveUp, root } from './lib/root.mjs';

const full = process.argv.includes('--full');
const onlyAt = process.argv.indexOf('--only');
const only = onlyAt < 0 ? null : (process.argv[onlyAt + 1] ?? '').split(',');

ensureDependencies();
ensureChromium();
// Tests that can be longer are.
if (full) process.env.NIBBLE_FULL = '1';
const scratch = mkdtempSync(path.join(os.tmpdir(), 'nibble-test-'));

/**
 * The golden cases of a quick run: what data and training can do, and of the architectures those that have most of their own.
 * qwen2-chat is trained in the page by e2e/studio_journey.test.ts.
 */
const QUICK_CASES = ['llama-text', 'qwen2-template', 'gemma3-window', 'phi3-partial', 'llama-bnb-mixed'];

/** These are trained with every sibling of the kernels forced. */
const SIBLING_CASES = ['llama-text', 'qwen2-template', 'gemma3-window'];

const inRepository = (name) => `e2e/golden/${name}`;
const goldenCases = () => (full ? allCases(['e2e/golden', '../shared/golden']) : QUICK_CASES.map(inRepository));

/** Name and what to run; each returns how many checks passed and failed, and what it said if it did not say it itself. */
const stages = [
  ['types', () => tool('typescript/bin/tsc', ['--noEmit'])],
  ['lint', () => tool('@biomejs/biome/bin/biome', ['check', '--error-on-warnings', '.'])],
  [
    'boundaries',
    () => tool('dependency-cruiser/bin/dependency-cruise.mjs', ['--config', '.dependency-cruiser.cjs', 'src', 'e2e']),
  ],
  ['unused', () => tool('knip/bin/knip.js', [])],
  ['size', size],
  ['unit', () => vitest('unit')],
  ['gpu', () => vitest('gpu')],
  ['e2e', e2e],
  ['parity', () => parity(goldenCases(), '--runtime', 'chromium')],
  ...(full
    ? [
        ['parity-node', () => parity(goldenCases(), '--runtime', 'node')],
        ['siblings', () => parity(SIBLING_CASES.map(inRepository), '--variant', 'all')],
      ]
    : []),
  // Every mutant in the full run; that each shader file has some, and that their page is up to date, always.
  ['mutation', () => vitest('mutation', full ? [] : ['-t', 'every shader file|docs/mutants.md'])],
];

/** Stages one after the other; the rows of a group go beside each other, since each of these tools keeps one core busy. */
const ONE_CORE = [['types'], ['lint', 'boundaries', 'unused', 'size']];
const groups = [ONE_CORE, ...stages.filter(([name]) => !ONE_CORE.flat().includes(name)).map(([name]) => [[name]])];

const unknown = only?.find((name) => !stages.some(([stage]) => stage === name));
if (unknown !== undefined)
  giveUp(`There is no stage ${unknown}. There are ${stages.map(([name]) => name).join(', ')}.`);

const started = performance.now();
const results = [];
for (const rows of groups) await Promise.all(rows.map(inOrder));
rmSync(scratch, { recursive: true, force: true });

// At the very end, where whoever sees only that can see it.
const failures = results.flatMap(({ name, failures = [] }) => failures.map((failure) => `${name}: ${failure}`));
if (failures.length > 0) console.log(`\n=== failures\n${failures.join('\n')}`);

const order = stages.map(([name]) => name);
results.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
const total = (field) => results.reduce((sum, result) => sum + result[field], 0);
console.log('\n=== summary');
for (const { name, passed, failed, skipped, seconds } of results) {
  const note = skipped > 0 ? `, ${skipped} skipped` : '';
  console.log(
    `${name.padEnd(12)} ${String(passed).padStart(5)} passed, ${failed} failed${note}  ${seconds.toFixed(1)} s`,
  );
}
console.log(`${((performance.now() - started) / 1000).toFixed(0)} s in all`);
console.log(`${total('passed')} passed, ${total('failed')} failed`);
process.exit(total('failed') === 0 ? 0 : 1);

async function inOrder(names) {
  for (const name of names) {
    if (only && !only.includes(name)) continue;
    const run = stages.find(([stage]) => stage === name)[1];
    if (!ONE_CORE.flat().includes(name)) console.log(`\n=== ${name}`);
    const started = performance.now();
    const { output, ...counts } = await run();
    if (output !== undefined) console.log(`\n=== ${name}\n${output.trim()}`);
    results.push({ name, ...counts, seconds: (performance.now() - started) / 1000 });
  }
}

function node(args, stdio = 'inherit') {
  return spawnSync(process.execPath, args, { cwd: root, stdio, maxBuffer: 2 ** 28 });
}

/** What a first visit downloads, against the limits in package.json. */
function size() {
  ensureBuilt('page');
  return tool('size-limit/bin.js', []);
}

/** A tool's own program: its exit code is one check. What it says comes in one piece, since others run beside it. */
async function tool(program, args) {
  const child = spawn(process.execPath, [path.join('node_modules', program), ...args], { cwd: root, stdio: 'pipe' });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  const good = (await once(child, 'close'))[0] === 0;
  return { passed: good ? 1 : 0, failed: good ? 0 : 1, skipped: 0, output };
}

/** Two test files at once: none may have to build what the other uses. */
function e2e() {
  for (const mode of ['node', 'headless']) ensureBuilt(mode);
  return vitest('e2e');
}

function vitest(project, extra = []) {
  const report = path.join(scratch, `${project}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
  const { status } = node(['node_modules/vitest/vitest.mjs', 'run', '--project', project, ...reporters, ...extra]);
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0 };
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
  // A file that does not load, or an error outside of any test, fails the run without failing a test.
  const failed = status !== 0 && numFailedTests === 0 ? 1 : numFailedTests;
  return { passed: numPassedTests, failed, skipped: numPendingTests, failures: testResults.flatMap(failuresOf) };
}

/** A file's failed tests with the beginning of their messages; its own message where it did not load. */
function failuresOf({ name, message, assertionResults }) {
  const file = path.relative(root, name);
  const failed = assertionResults.filter(({ status }) => status === 'failed');
  if (failed.length === 0 && message) return [`${file}: ${message.slice(0, 2000)}`];
  return failed.map(
    ({ fullName, failureMessages }) => `${file}: ${fullName}\n${failureMessages.join('\n').slice(0, 2000)}`,
  );
}

/** One check a golden case, and a variant where all are forced. */
function parity(cases, ...options) {
  const { stdout, stderr, status } = node(
    ['scripts/cli.mjs', 'parity', ...cases, ...options],
    ['ignore', 'pipe', 'pipe'],
  );
  console.log(String(stdout));
  if (status !== 0) console.log(String(stderr).slice(-10_000));
  // Dawn writes its warnings to stdout by itself.
  const lines = String(stdout)
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
  const passed = lines.filter(({ pass }) => pass).length;
  // Variants that this device has no room for.
  const skipped = lines.filter(({ pass }) => pass === null).length;
  const failed = Math.max(cases.length, lines.length - skipped) - passed;
  return { passed, failed: failed === 0 && status !== 0 ? 1 : failed, skipped };
}

/** The cases below these folders; a name counts once. */
function allCases(folders) {
  const byName = new Map();
  for (const folder of folders.map((one) => path.join(root, one)).filter(existsSync)) {
    for (const name of readdirSync(folder)) {
      const directory = path.join(folder, name);
      if (!byName.has(name) && existsSync(path.join(directory, 'case.json'))) byName.set(name, directory);
    }
  }
  return [...byName.values()];
}
