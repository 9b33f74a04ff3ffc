/**
 * The built-in demo as a visitor takes it, with every other host denied: one press, and the model has learned. How much it must
 * have learned is more than an adapter can reach that does not learn: the same page with AdamW's update taken out shows it.
 */
import { readFileSync } from 'node:fs';
import { unzipSync } from 'fflate';
import { type Browser, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { readPeftAdapter } from '../src/formats/peft.ts';
import { droppedFolder } from '../src/hub/dropped_folder.ts';
import { goTo, preparePage, readCsv, type ServedStudio, saved, serveStudio } from './studio_page.ts';

/** Nats by which the loss must have fallen after {@link EARLY} steps and at the end; the first steps' batches differ by 0.3. */
const FALL_EARLY = 0.8;
const FALL = 1.3;
const EARLY = 16;

let browser: Browser;
let studio: ServedStudio;

beforeAll(async () => {
  studio = await serveStudio();
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await studio?.close();
});

/** Opens the page where only its own server answers; `asked` collects what was asked of others. */
async function visit(change?: (script: string) => string) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, acceptDownloads: true });
  const asked: string[] = [];
  const fetched: string[] = [];
  await context.route('**/*', async (route) => {
    const address = route.request().url();
    if (!address.startsWith(studio.address)) {
      asked.push(address);
      return route.abort();
    }
    fetched.push(address.slice(studio.address.length));
    if (!change || !/\/studio_worker-[^/]*\.js$/.test(address)) return route.continue();
    const response = await route.fetch();
    return route.fulfill({ response, body: change(await response.text()) });
  });
  const page = await context.newPage();
  const problems = await preparePage(page);
  await page.goto(studio.address);
  return { page, asked, fetched, problems };
}

/** Mean loss of the first two steps minus that of eight that end at `last`. */
function fall(losses: readonly number[], last: number): number {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  return mean(losses.slice(0, 2)) - mean(losses.slice(last - 8, last));
}

async function lossesOf(page: Page): Promise<number[]> {
  await goTo(page, 'Train');
  return readCsv(readFileSync(await saved(page, /CSV/), 'utf8')).map(({ loss }) => loss);
}

it('shows the whole studio with no network, and what was learned is far beyond chance', async () => {
  const { page, asked, fetched, problems } = await visit();
  const start = page.getByRole('button', { name: 'Try the demo' });
  await start.waitFor();
  // Nothing of the demo is fetched before it is wanted.
  expect(fetched.filter((path) => /demo-model|examples/.test(path))).toEqual([]);
  await start.click();
  await page.getByRole('button', { name: 'Stop and keep' }).waitFor({ timeout: 60_000 });
  await page.getByRole('heading', { name: 'Try it' }).waitFor({ timeout: 540_000 });
  // Asked by itself, of both: in every row that she learned from she begins like this.
  await page
    .getByText(/^Snuffle!/)
    .first()
    .waitFor({ timeout: 90_000 });

  const losses = await lossesOf(page);
  expect(losses.length).toBe(48);
  expect(fall(losses, EARLY)).toBeGreaterThan(FALL_EARLY);
  expect(fall(losses, losses.length)).toBeGreaterThan(FALL);

  await goTo(page, 'Export');
  const files = unzipSync(readFileSync(await saved(page, /Save as zip/)));
  const dropped = Object.entries(files).map(([path, bytes]) => ({ path, file: new Blob([bytes.slice()]) }));
  const { tensors } = await readPeftAdapter(droppedFolder('bramble', dropped));
  expect(tensors.size).toBe(2 * 7 * 4);
  expect(asked).toEqual([]);
  expect(problems).toEqual([]);
  await page.context().close();
}, 660_000);

it.runIf(process.env.NIBBLE_FULL)(
  'notices an adapter that does not learn',
  async () => {
    let changed = 0;
    const { page } = await visit((script) =>
      script.replace(/parameters\[i\] \* decay - step_size \* m \/ denominator/, () => {
        changed++;
        return 'parameters[i]';
      }),
    );
    await page.getByRole('button', { name: 'Try the demo' }).click();
    await page.getByText(new RegExp(`Step ${EARLY}`)).waitFor({ timeout: 400_000 });
    await page.getByRole('button', { name: 'Stop and keep' }).click();
    await page.getByRole('heading', { name: 'Try it' }).waitFor({ timeout: 60_000 });
    expect(changed).toBe(1);
    const losses = await lossesOf(page);
    expect(losses.length).toBeGreaterThanOrEqual(EARLY);
    expect(fall(losses, EARLY)).toBeLessThan(FALL_EARLY / 2);
    await page.context().close();
  },
  540_000,
);
