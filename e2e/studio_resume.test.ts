/**
 * A tab that is closed in the middle of a run: the next one finds the run, loads its model from the cache with the Hub gone, and
 * ends with the curve that was never interrupted. While it trains, another tab may look and no more.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { ROOT } from './command_line.ts';
import { startHub, type TestHub } from './hub/server.ts';
import { fill, goTo, loadFromHub, openFiles, preparePage, readCsv, saved, serveStudio } from './studio_page.ts';

const CASE = path.join(ROOT, 'e2e/golden/llama-text');
const ID = 'nibble/llama-text';
/** Checkpoints are at every 20th step unless told otherwise. */
const STEPS = 36;

let browser: Browser;
let context: BrowserContext;
let hub: TestHub;
let studio: Awaited<ReturnType<typeof serveStudio>>;

beforeAll(async () => {
  hub = await startHub({ repositories: [{ id: ID, directory: path.join(CASE, 'model') }] });
  studio = await serveStudio(hub.apiUrl, hub.cdnUrl);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
  context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await studio?.close();
  // Closed in the middle where all went well.
  await hub?.close().catch(() => undefined);
});

async function open(screen = ''): Promise<Page> {
  const page = await context.newPage();
  await preparePage(page);
  await page.goto(`${studio.address}#${screen}`);
  return page;
}

async function startRun(page: Page): Promise<void> {
  await goTo(page, 'Train');
  await fill(page, { max_steps: String(STEPS), learning_rate: '0.002', gradient_accumulation_steps: '1' });
  await page.getByRole('button', { name: /Start training/ }).click();
}

const shownStep = async (page: Page) =>
  Number(/Step (\d+)/.exec(await page.getByLabel('Progress').first().innerText())?.[1] ?? 0);

async function curve(page: Page): Promise<number[]> {
  const file = await saved(page, /CSV/);
  return readCsv(readFileSync(file, 'utf8')).map(({ loss }) => loss);
}

it('a closed tab loses nothing: resumed without the Hub, the curve is the uninterrupted one', async () => {
  const first = await open();
  await loadFromHub(first, ID);
  await goTo(first, 'Data');
  await fill(first, { max_length: '64', validation_share: '0' });
  await openFiles(first, 'Choose a file', [path.join(CASE, 'data.jsonl')]);
  await first.getByRole('heading', { name: 'data.jsonl' }).waitFor();
  await startRun(first);
  await first.getByText('Trained', { exact: true }).waitFor({ timeout: 120_000 });
  const whole = await curve(first);
  expect(whole).toHaveLength(STEPS);
  await first.getByRole('button', { name: 'New run' }).click();
  await startRun(first);

  // Another tab sees it, and cannot take it.
  const second = await open('runs');
  const row = second.getByRole('listitem').filter({ hasText: 'Training in a tab' });
  await row.waitFor();
  expect(await row.getByRole('button', { name: /Resume/ }).count()).toBe(0);
  await expect.poll(() => shownStep(first), { timeout: 120_000, interval: 20 }).toBeGreaterThan(20);
  expect(await shownStep(first)).toBeLessThan(STEPS);
  await first.close({ runBeforeUnload: false });
  await second.close();

  await hub.close();
  const third = await open('runs');
  const interrupted = third.getByRole('listitem').filter({ hasText: 'Interrupted' });
  // Of the last save_steps, or a later one that the page had still time for when it was closed.
  const resume = interrupted.getByRole('button', { name: /^Resume from step [23]\d$/ });
  const step = /\d+/.exec(await resume.innerText())?.[0];
  await resume.click();
  await third.getByText(`Resumed from step ${step}.`).waitFor({ timeout: 60_000 });
  await third.getByText('Trained', { exact: true }).waitFor({ timeout: 120_000 });
  expect(await curve(third)).toEqual(whole);
}, 300_000);
