/**
 * The built-in demo, timed: from the press to the last step, and to both answers. For a machine with a GPU, where no other
 * program asks for the page's port:
 *
 *   npx vite build --ssr e2e/measure_demo.ts --outDir .demo && node .demo/measure_demo.js [--page DIR] [--adapter nvidia] [--repeats N]
 *
 * `--page` is a built page, for a machine that cannot build.
 */
import { parseArgs } from 'node:util';
import { chromium } from 'playwright';
import { type Adapter, chromiumFlags } from '../src/cli/chromium_flags.ts';
import { preparePage, serveBuilt, serveStudio } from './studio_page.ts';

const { values } = parseArgs({
  options: {
    page: { type: 'string' },
    adapter: { type: 'string', default: 'nvidia' },
    repeats: { type: 'string', default: '3' },
  },
});

const studio = values.page ? await serveBuilt(values.page, []) : await serveStudio();
const args = chromiumFlags(values.adapter as Adapter);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args });
for (let i = 0; i < Number(values.repeats); i++) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const problems = await preparePage(page);
  await page.goto(studio.address);
  const press = performance.now();
  const seconds = () => Math.round((performance.now() - press) / 10) / 100;
  await page.getByRole('button', { name: 'Try the demo' }).click();
  await page.getByText(/^Step \d+$/).waitFor({ timeout: 120_000 });
  const firstStep = seconds();
  await page.getByRole('heading', { name: 'Try it' }).waitFor({ timeout: 600_000 });
  const trained = seconds();
  await page
    .getByText(/^Snuffle!/)
    .first()
    .waitFor({ timeout: 120_000 });
  // Not before: the first request can come to nothing while the GPU process starts.
  const adapter = await page.evaluate(async () => {
    const { vendor, architecture, description } = (await navigator.gpu.requestAdapter())?.info ?? {};
    return [vendor, architecture, description].filter(Boolean).join(' ');
  });
  console.log(JSON.stringify({ adapter, firstStep, trained, answered: seconds(), problems }));
  await context.close();
}
await browser.close();
await studio.close();
