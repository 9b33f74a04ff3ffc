/**
 * The journey with a real model, measured: time from the click to the first step, tokens a second, the worker's heap, tasks
 * of the page over 50 ms, with screenshots. For a machine with a GPU:
 *
 *   npx vite build --ssr e2e/measure_studio.ts --outDir dist/measure && node dist/measure/measure_studio.js …
 *
 *   --model DIR --data FILE.jsonl --out DIR [--page DIR] [--adapter nvidia] [--steps N]
 *
 * `--page` is a page that was built with NIBBLE_HUB naming the two PORTS below, for a machine that cannot build.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright';
import { type Adapter, chromiumFlags } from '../src/cli/chromium_flags.ts';
import { HeapWatch } from './heap_watch.ts';
import { startHub } from './hub/server.ts';
import { fill, goTo, loadFromHub, longTasks, openFiles, preparePage, serveBuilt, serveStudio } from './studio_page.ts';

const PORTS = [18001, 18002] as const;
const ID = 'nibble/measured';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string' },
    out: { type: 'string' },
    page: { type: 'string' },
    adapter: { type: 'string', default: 'nvidia' },
    steps: { type: 'string', default: '60' },
  },
});
const { model, data, out, page: built, adapter, steps } = values;
if (!model || !data || !out) throw new Error('Give --model DIR, --data FILE.jsonl and --out DIR.');
mkdirSync(out, { recursive: true });

const hub = await startHub({ repositories: [{ id: ID, directory: model }], ports: PORTS });
const origins = [hub.apiUrl, hub.cdnUrl];
const studio = built ? await serveBuilt(built, origins) : await serveStudio(...origins);
const flags = chromiumFlags(adapter as Adapter);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: flags });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const problems = await preparePage(page);
const shot = (name: string) => page.screenshot({ path: path.join(out, `${name}.png`), fullPage: true });
const seconds = (from: number) => Math.round((performance.now() - from) / 10) / 100;

const heap = await HeapWatch.start(page);
await page.goto(studio.address);
await page.waitForTimeout(1000);
await shot('1-model');
const load = performance.now();
await loadFromHub(page, ID);
const loadSeconds = seconds(load);
await shot('2-loaded');
await goTo(page, 'Data');
await fill(page, { max_length: '512', validation_share: '0' });
await page.getByRole('switch', { name: 'assistant_only_loss' }).click();
await openFiles(page, 'Choose a file', [data]);
await page.getByRole('heading', { name: 'As the model sees it' }).waitFor();
await shot('3-data');
await goTo(page, 'Train');
await fill(page, {
  max_steps: steps,
  per_device_train_batch_size: '4',
  gradient_accumulation_steps: '1',
  warmup_steps: '6',
});
await shot('4-settings');
await longTasks(page);
const click = performance.now();
await page.getByRole('button', { name: 'Start training' }).click();
await page
  .getByText(/^Step 1$|^Step [2-9]/)
  .first()
  .waitFor({ timeout: 120_000 });
const firstStepSeconds = seconds(click);
await page.waitForTimeout(3000);
await shot('5-training');
await page.getByText('Trained', { exact: true }).waitFor({ timeout: 400_000 });
const trainSeconds = seconds(click);
const tasks = await longTasks(page);
await shot('6-trained');
await goTo(page, 'Export');
await shot('7-export');
const device = await page.evaluate(async () => {
  const info = (await navigator.gpu.requestAdapter())?.info;
  return info ? `${info.vendor} ${info.architecture} ${info.device} ${info.description}`.trim() : 'none';
});
const weights = [...new Set(hub.log.reads(/\.safetensors$/).map(({ file }) => file ?? ''))];
hub.log.expectEachByteOnce(weights);
const report = {
  device,
  loadSeconds,
  firstStepSeconds,
  trainSeconds,
  steps: Number(steps),
  ...heap.stop(),
  longTasks: tasks,
  problems,
};
writeFileSync(path.join(out, 'report.json'), JSON.stringify(report, null, 1));
console.log(JSON.stringify(report));
await browser.close();
await studio.close();
await hub.close();
