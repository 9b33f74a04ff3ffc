/**
 * The second start, measured: a model of a published shape is loaded from a Hub, beside a plain fetch of its bytes, and trained a little; then, in a new page of the
 * same browser and with the Hub gone, it is loaded from the cache, beside what this browser's storage reads, and the run
 * goes on from its checkpoint. For a machine with a GPU:
 *
 *   npx vite build --ssr e2e/measure_cache.ts --outDir .cache && node .cache/measure_cache.js …
 *
 *   [--model Qwen2.5-0.5B] [--page DIR] [--adapter nvidia] [--steps N] [--length N]
 *
 * `--page` is a page that was built with NIBBLE_HUB naming the two PORTS below, for a machine that cannot build.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chromium, type Page } from 'playwright';
import { type Adapter, chromiumFlags } from '../src/cli/chromium_flags.ts';
import { BENCH_CONFIGS } from '../src/worker/bench_configs.ts';
import { startHub } from './hub/server.ts';
import { fill, goTo, loadFromHub, openFiles, preparePage, serveBuilt, serveStudio } from './studio_page.ts';

const PORTS = [18001, 18002] as const;
const ID = 'nibble/measured';
const CASE = path.resolve('e2e/golden/qwen2-chat');
/** Below it a file's size says more of opening it than of reading. */
const LEAST_PROBE = 64 * 2 ** 20;

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'Qwen2.5-0.5B' },
    page: { type: 'string' },
    adapter: { type: 'string', default: 'nvidia' },
    steps: { type: 'string', default: '24' },
    length: { type: 'string', default: '512' },
  },
});
/** Without steps only loading is measured: for where a CPU plays the GPU. */
const trains = Number(values.steps) > 0;
const config = BENCH_CONFIGS[values.model as keyof typeof BENCH_CONFIGS];
if (!config) throw new Error(`--model is one of ${Object.keys(BENCH_CONFIGS).join(', ')}.`);

const synthetic = { config, dtype: 'BF16' as const, seed: 7 };
const directory = path.join(CASE, 'model');
const hub = await startHub({ repositories: [{ id: ID, directory, synthetic, shards: 2 }], ports: PORTS });
const origins = [hub.apiUrl, hub.cdnUrl];
const studio = values.page ? await serveBuilt(values.page, origins) : await serveStudio(...origins);
const args = chromiumFlags(values.adapter as Adapter);
// With a profile, as a person's browser has it: without one the private file system lies in another process's memory.
const profile = mkdtempSync(path.join(tmpdir(), 'nibble-profile-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM,
  args,
  viewport: { width: 1280, height: 900 },
});
const problems: string[][] = [];
const seconds = (from: number) => Math.round((performance.now() - from) / 10) / 100;

async function open(screen: string): Promise<Page> {
  const page = await context.newPage();
  problems.push(await preparePage(page));
  await page.goto(`${studio.address}#${screen}`);
  return page;
}

/** Seconds for a plain fetch of the weights, one file after the other in ranges of 64 MiB, looked at by nobody. */
async function plainFetch(page: Page): Promise<number> {
  return page.evaluate(
    async ([api, id]) => {
      const tree: { path: string; size: number }[] = await (await fetch(`${api}/api/models/${id}/tree/main`)).json();
      const start = performance.now();
      for (const { path, size } of tree.filter((file) => file.path.endsWith('.safetensors'))) {
        for (let at = 0; at < size; at += 2 ** 26) {
          const range = `bytes=${at}-${Math.min(size, at + 2 ** 26) - 1}`;
          const response = await fetch(`${api}/${id}/resolve/main/${path}`, { headers: { range } });
          if (!response.ok) throw new Error(`${path}: ${response.status}`);
          for (const reader = response.body!.getReader(); !(await reader.read()).done; );
        }
      }
      return (performance.now() - start) / 1000;
    },
    [hub.apiUrl, ID],
  );
}

const first = await open('model');
const fetchSeconds = await plainFetch(first);
const fromHub = performance.now();
await loadFromHub(first, ID, 600_000);
const hubSeconds = seconds(fromHub);
const reached = (page: Page, step: number) =>
  page.waitForFunction((least) => Number(/Step (\d+)/.exec(document.body.innerText)?.[1] ?? 0) >= least, step, {
    timeout: 600_000,
    polling: 10,
  });
if (trains) {
  await goTo(first, 'Data');
  await fill(first, { max_length: values.length, validation_share: '0' });
  await openFiles(first, 'Choose a file', [path.join(CASE, 'data.jsonl')]);
  await first.getByRole('heading', { name: 'As the model sees it' }).waitFor({ timeout: 60_000 });
  await goTo(first, 'Train');
  await fill(first, { max_steps: values.steps, gradient_accumulation_steps: '1' });
  await first.getByRole('button', { name: /Start training/ }).click();
  // The checkpoint of step 20 is whole when more steps have passed, or the run has been stopped.
  await reached(first, 22);
}
await first.close({ runBeforeUnload: false });
await hub.close();

/** Bytes a second that this browser reads from its storage, by pieces of 8 MiB as the cache does. */
async function storageRate(page: Page, size: number): Promise<number> {
  return page.evaluate(async (bytes) => {
    const worker = `onmessage = async ({ data: bytes }) => {
      const root = await navigator.storage.getDirectory();
      const handle = await (await root.getFileHandle('probe', { create: true })).createSyncAccessHandle();
      const piece = new Uint8Array(2 ** 23);
      for (let at = 0; at < piece.length; at += 65536) crypto.getRandomValues(piece.subarray(at, at + 65536));
      for (let at = 0; at < bytes; at += piece.length) handle.write(piece, { at });
      handle.flush();
      const rates = [];
      for (let round = 0; round < 3; round++) {
        const start = performance.now();
        for (let at = 0; at < bytes; at += piece.length) handle.read(piece, { at });
        rates.push((Math.ceil(bytes / piece.length) * piece.length) / ((performance.now() - start) / 1000));
      }
      handle.close();
      await root.removeEntry('probe');
      postMessage(rates.sort((a, b) => a - b)[1]);
    };`;
    const url = URL.createObjectURL(new Blob([worker], { type: 'text/javascript' }));
    const thread = new Worker(url);
    return new Promise<number>((resolve, reject) => {
      thread.onmessage = ({ data }) => resolve(data);
      thread.onerror = ({ message }) => reject(new Error(message));
      thread.postMessage(bytes);
    });
  }, size);
}

const second = await open('runs');
const cached = second
  .getByRole('listitem')
  .filter({ hasText: 'measured' })
  .filter({ hasText: /MB|GB|kB/ });
await cached.getByRole('button', { name: 'Use it' }).click();
await second.getByRole('button', { name: 'Load', exact: true }).click();
const load = performance.now();
await second.getByText('Loaded in 4 bits').waitFor({ timeout: 600_000 });
const cacheSeconds = seconds(load);
const cacheBytes = await second.evaluate(async () => {
  const sizes = async (folder: FileSystemDirectoryHandle): Promise<number> => {
    let sum = 0;
    for await (const entry of (folder as unknown as { values(): AsyncIterable<FileSystemHandle> }).values()) {
      if (entry.kind === 'directory') sum += await sizes(entry as FileSystemDirectoryHandle);
      else sum += (await (entry as FileSystemFileHandle).getFile()).size;
    }
    return sum;
  };
  const stored = await (await navigator.storage.getDirectory()).getDirectoryHandle('stored');
  const each: number[] = [];
  for await (const entry of (stored as unknown as { values(): AsyncIterable<FileSystemDirectoryHandle> }).values())
    each.push(await sizes(entry));
  // The model: the run's checkpoints beside it are smaller.
  return Math.max(...each);
});
await second.close();

/** From the press to the step after the checkpoint's. */
async function resume(): Promise<number> {
  const third = await open('runs');
  await third
    .getByRole('button', { name: /Resume from step/ })
    .first()
    .waitFor();
  const click = performance.now();
  await third
    .getByRole('button', { name: /Resume from step/ })
    .first()
    .click();
  await reached(third, 21);
  return seconds(click);
}
const resumeSeconds = trains ? await resume() : null;
// The studio's policy lets no worker be made of a text: this one is of a page of another origin, in the same browser.
const blank = await context.newPage();
await blank.route('http://localhost:18003/', (route) => route.fulfill({ contentType: 'text/html', body: '' }));
await blank.goto('http://localhost:18003/');
const rate = await storageRate(blank, Math.max(cacheBytes, LEAST_PROBE)).catch((error: Error) => error.message);

console.log(
  JSON.stringify(
    {
      model: values.model,
      fetchSeconds,
      hubSeconds,
      cacheBytes,
      cacheSeconds,
      cacheBytesPerSecond: Math.round(cacheBytes / cacheSeconds),
      storageBytesPerSecond: rate,
      resumeToNextStepSeconds: resumeSeconds,
      problems: problems.flat(),
    },
    null,
    1,
  ),
);
await context.close();
rmSync(profile, { recursive: true, force: true });
await studio.close();
