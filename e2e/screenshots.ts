/**
 * Pictures of every screen with a worker that plays its part, light and dark, wide and narrow, in docs/screenshots/screens.
 * For eyes: nothing compares them.
 *
 *   npm run screenshots [-- NAME…]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Page } from 'playwright';
import { ROOT } from './command_line.ts';
import { DemoPage, type VisitOptions } from './ui/demo_page.ts';
import { loadModel, openDataset } from './ui/journey.ts';

interface Shot extends VisitOptions {
  readonly name: string;
  readonly play?: (page: Page) => Promise<unknown>;
}

const go = (page: Page, screen: string) => page.evaluate((hash) => Object.assign(location, { hash }), screen);

async function ready(page: Page): Promise<void> {
  await loadModel(page);
  await go(page, 'data');
  await openDataset(page);
}

async function train(page: Page, settings: Readonly<Record<string, string>> = {}): Promise<void> {
  await ready(page);
  await go(page, 'train');
  await page.getByLabel('sample_prompts').fill('Tell me the fable of the fox and the grapes.');
  for (const [name, value] of Object.entries(settings)) await page.getByLabel(name, { exact: true }).fill(value);
  await page.getByRole('button', { name: 'Start training' }).click();
}

const finished = async (page: Page) => {
  await train(page);
  await page.getByText('Trained', { exact: true }).waitFor();
};

const comparing = async (page: Page) => {
  for (const number of [1, 2]) await page.getByLabel(`Compare support-replies-${number}`).check();
  await page.getByRole('img', { name: /^Loss by step of support-replies-1, support-replies-2/ }).waitFor();
};

const SHOTS: readonly Shot[] = [
  { name: 'model', play: (page) => page.getByText('apple metal-3').first().waitFor() },
  {
    name: 'model-found',
    play: async (page) => {
      await page.getByLabel('Model id, address').fill('smol');
      await page.getByText('SmolLM2-360M').first().waitFor();
    },
  },
  {
    name: 'model-gated',
    play: async (page) => {
      await page.getByRole('button', { name: /Llama-3.2-1B/ }).click();
      await page.getByText('This model is gated').waitFor();
    },
  },
  {
    name: 'model-loading',
    tune: '&speed=0.4',
    play: async (page) => {
      await page.getByRole('button', { name: /SmolLM2-360M/ }).click();
      await page.getByRole('button', { name: /Download and load/ }).click();
      await page.getByText('The connection was cut.').waitFor({ timeout: 30_000 });
    },
  },
  { name: 'model-loaded', play: loadModel },
  { name: 'data-empty', screen: 'data' },
  { name: 'data', play: ready },
  {
    name: 'data-mapped',
    play: async (page) => {
      await loadModel(page);
      await go(page, 'data');
      await page.getByRole('button', { name: /^A messy table/ }).click();
      await page.getByRole('button', { name: 'Map columns by hand' }).click();
      await page.getByLabel('title', { exact: true }).selectOption('user');
      await page.getByLabel('moral', { exact: true }).selectOption('assistant');
      await page.getByRole('link', { name: 'Go on to training' }).waitFor();
    },
  },
  {
    name: 'train',
    play: async (page) => {
      await ready(page);
      await go(page, 'train');
      await page.getByText('GPU memory, predicted').waitFor();
    },
  },
  {
    name: 'train-budgets',
    play: async (page) => {
      await loadModel(page, 'Qwen/Qwen2.5-0.5B-Instruct');
      await go(page, 'data');
      await openDataset(page);
      await go(page, 'train');
      await page.getByLabel('optim', { exact: true }).selectOption('paged_adamw_8bit');
      await page.getByLabel('optimizer_memory_budget').fill('130');
      await page.getByLabel('optimizer_page_size').fill('large');
      await page.getByRole('button', { name: 'Stream the layers' }).waitFor();
      await page.evaluate(() => scrollTo(0, 0));
    },
  },
  {
    name: 'run',
    // As fast as can be until the pause, which holds the picture still.
    tune: '&speed=20&steps=2',
    play: async (page) => {
      await train(page, { max_steps: '120' });
      await page.getByRole('img', { name: /^Loss by step: .* at step (7[2-9]|[89]\d)/ }).waitFor({ timeout: 60_000 });
      await page.getByRole('button', { name: 'Pause' }).click();
      await page.getByText('Paused', { exact: true }).first().waitFor();
    },
  },
  {
    name: 'run-failed',
    play: async (page) => {
      await train(page, { learning_rate: '0.5' });
      await page.getByText('The loss is no longer a number').waitFor();
    },
  },
  { name: 'run-finished', play: finished },
  {
    name: 'export',
    play: async (page) => {
      await finished(page);
      await go(page, 'export');
    },
  },
  { name: 'export-empty', screen: 'export' },
  {
    name: 'try',
    play: async (page) => {
      await finished(page);
      await go(page, 'try');
      await page.getByLabel('Your message').fill('Tell me the fable of the fox and the grapes.');
      await page.keyboard.press('Enter');
      await page.getByText('🦊').waitFor();
      await page
        .getByText(/tokens\/s$/)
        .first()
        .waitFor();
      await page.locator('summary').filter({ hasText: 'token' }).click();
      const questions = { name: 'held-out.jsonl', mimeType: 'application/json', buffer: Buffer.from('{}') };
      await page.locator('input[type=file][accept*=parquet]').last().setInputFiles(questions);
      await page.getByText('75 %').waitFor();
      await page.locator('summary').filter({ hasText: 'held-out.jsonl' }).click();
    },
  },
  { name: 'try-empty', screen: 'try' },
  { name: 'runs', screen: 'runs', play: comparing },
  {
    name: 'model-evicted',
    play: async (page) => {
      await loadModel(page, 'HuggingFaceTB/SmolLM2-360M-Instruct');
      await page.getByText('Room was made on the disk').first().waitFor();
      await page.evaluate(() => scrollTo(0, 0));
    },
  },
  {
    name: 'no-webgpu',
    before: (page) => page.addInitScript(() => Object.defineProperty(navigator, 'gpu', { value: undefined })),
  },
  { name: 'no-adapter', tune: '&gpu=none' },
];

/** The whole page as WebP, which Playwright does not write: half the bytes of JPEG here. */
async function picture(page: Page, name: string): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const { cssContentSize: clip } = await session.send('Page.getLayoutMetrics');
  const { data } = await session.send('Page.captureScreenshot', {
    format: 'webp',
    quality: 40,
    captureBeyondViewport: true,
    clip: { ...clip, scale: 1 },
  });
  await session.detach();
  writeFileSync(path.join(OUT, `${name}.webp`), Buffer.from(data, 'base64'));
}

const OUT = path.join(ROOT, 'docs/screenshots/screens');
mkdirSync(OUT, { recursive: true });
const wanted = process.argv.slice(2);
const demo = await DemoPage.start();
for (const { name, play, ...visit } of SHOTS) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const { page } = await demo.visit(visit);
  await page.getByRole('heading', { level: 1 }).waitFor();
  await play?.(page);
  // What was just clicked would keep its ring and its colour.
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.mouse.move(0, 0);
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      // The charts are made anew, a frame each.
      await page.waitForTimeout(name.startsWith('run') ? 1500 : 200);
      await picture(page, `${name}-${width}-${colorScheme}`);
    }
  }
  await page.context().close();
  console.log(name);
}
await demo.close();
