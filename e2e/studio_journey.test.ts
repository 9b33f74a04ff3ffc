/**
 * The used-by line: a model from the Hub, a file, 20 steps, the curve, the adapter; and the adapter as a new start. No task
 * over 50 ms between the click and the end is the page's own work, though the software GPU computes on its cores.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { type Browser, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { readPeftAdapter } from '../src/formats/peft.ts';
import { droppedFolder } from '../src/hub/dropped_folder.ts';
import { ROOT } from './command_line.ts';
import { startHub, type TestHub } from './hub/server.ts';
import { fill, goTo, loadFromHub, openFiles, preparePage, readCsv, saved, serveStudio } from './studio_page.ts';
import { TaskWatch } from './task_watch.ts';

/** Its expected adapter is what PyTorch trained. */
const CASE = path.join(ROOT, 'e2e/golden/qwen2-chat');
const ID = 'nibble/qwen2-chat';
const SHARDS = 3;

const config = JSON.parse(readFileSync(path.join(CASE, 'case.json'), 'utf8'));
const expected = JSON.parse(readFileSync(path.join(CASE, 'expected/expected.json'), 'utf8'));

let browser: Browser;
let hub: TestHub;
let studio: Awaited<ReturnType<typeof serveStudio>>;

beforeAll(async () => {
  hub = await startHub({ repositories: [{ id: ID, directory: path.join(CASE, 'model'), shards: SHARDS }] });
  studio = await serveStudio(hub.apiUrl, hub.cdnUrl);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await studio?.close();
  await hub?.close();
});

async function readAdapter(files: Record<string, Uint8Array>) {
  const dropped = Object.entries(files).map(([name, bytes]) => ({ path: name, file: new Blob([bytes.slice()]) }));
  return (await readPeftAdapter(droppedFolder('adapter', dropped))).tensors;
}

async function setUp(page: Page): Promise<void> {
  const { training } = config;
  await goTo(page, 'Data');
  await fill(page, { max_length: String(training.max_length), validation_share: '0' });
  await page.getByRole('switch', { name: 'assistant_only_loss' }).click();
  await openFiles(page, 'Choose a file', [path.join(CASE, 'data.jsonl')]);
  await page.getByRole('heading', { name: 'data.jsonl' }).waitFor();
  await goTo(page, 'Train');
  await fill(page, {
    max_steps: String(training.max_steps),
    lr_scheduler_type: training.lr_scheduler_type,
    warmup_steps: String(training.warmup_steps),
    per_device_train_batch_size: String(training.per_device_train_batch_size),
    gradient_accumulation_steps: String(training.gradient_accumulation_steps),
    train_sampling_strategy: training.train_sampling_strategy,
    learning_rate: String(training.learning_rate),
    weight_decay: String(training.weight_decay),
    max_grad_norm: String(training.max_grad_norm),
  });
}

it('trains in the page what PyTorch trains, and goes on from what it exported', async () => {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const problems = await preparePage(page);
  await page.goto(studio.address);
  await loadFromHub(page, ID);
  const weights = [...new Set(hub.log.reads(/\.safetensors$/).map(({ file }) => file!))];
  expect(weights.length).toBe(SHARDS);
  hub.log.expectEachByteOnce(weights);

  await setUp(page);
  const init = ['adapter_config.json', 'adapter_model.safetensors'].map((name) =>
    path.join(CASE, 'adapter_init', name),
  );
  await openFiles(page, 'Start from an adapter', init);
  await page.getByText(/Goes on from/).waitFor();
  const watch = await TaskWatch.start(page);
  await page.getByRole('button', { name: 'Start training' }).click();
  await page.getByText('Trained', { exact: true }).waitFor({ timeout: 300_000 });
  const { own, all } = await watch.stop();
  expect(own, `the page's own among ${JSON.stringify(all)}`).toEqual([]);
  expect(await page.locator('canvas').count()).toBe(4);

  const rows = readCsv(readFileSync(await saved(page, /CSV/), 'utf8'));
  expect(rows.length).toBe(expected.steps.length);
  for (const [i, { loss, grad_norm }] of expected.steps.entries()) {
    expect(Math.abs(rows[i].loss / loss - 1), `loss of step ${i + 1}`).toBeLessThan(2e-5);
    expect(Math.abs(rows[i].grad_norm / grad_norm - 1), `grad_norm of step ${i + 1}`).toBeLessThan(2e-4);
  }

  await goTo(page, 'Export');
  const zip = await saved(page, /Save as zip/);
  const ours = await readAdapter(unzipSync(readFileSync(zip)));
  const folder = (name: string) => ({
    'adapter_config.json': readFileSync(path.join(CASE, 'adapter_init/adapter_config.json')),
    'adapter_model.safetensors': readFileSync(path.join(CASE, name, 'adapter_model.safetensors')),
  });
  const theirs = await readAdapter(folder('expected'));
  const start = await readAdapter(folder('adapter_init'));
  let [difference, moved] = [0, 0];
  for (const [name, { data }] of theirs) {
    data.forEach((value, i) => {
      difference += (ours.get(name)!.data[i] - value) ** 2;
      moved += (value - start.get(name)!.data[i]) ** 2;
    });
  }
  expect(ours.size).toBe(theirs.size);
  expect(Math.sqrt(difference / moved)).toBeLessThan(1e-3);

  // The saved zip as a start: its first loss is that of the trained adapter on the first window, not of a fresh one.
  await page.getByRole('button', { name: 'Continue from this adapter' }).click();
  await fill(page, { max_steps: '1', warmup_steps: '0', learning_rate: '0', lr_scheduler_type: 'constant' });
  const lossOfOneStep = async () => {
    await page.getByRole('button', { name: 'Start training' }).click();
    await page.getByText('Trained', { exact: true }).waitFor({ timeout: 60_000 });
    const [{ loss }] = readCsv(readFileSync(await saved(page, /CSV/), 'utf8'));
    await page.getByRole('button', { name: /New run/ }).click();
    return loss;
  };
  const continued = await lossOfOneStep();
  await openFiles(page, 'Another adapter', [zip]);
  await page
    .getByText(/\.zip|Goes on from/)
    .first()
    .waitFor();
  const fromZip = await lossOfOneStep();
  expect(fromZip).toBe(continued);
  expect(continued).toBeLessThan(0.999 * expected.steps[0].loss);
  expect(problems).toEqual([]);
  await page.close();
}, 420_000);
