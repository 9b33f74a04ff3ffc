import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { type Browser, chromium } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { ROOT } from './command_line.ts';

let browser: Browser;
let address = '';
let server: ReturnType<typeof spawn>;

beforeAll(async () => {
  server = spawn(process.execPath, [path.join(ROOT, 'scripts/start.mjs'), '--no-open', '--port', '0'], { cwd: ROOT });
  for await (const chunk of server.stdout!) {
    const found = /http:\/\/localhost:\d+\//.exec(String(chunk));
    if (!found) continue;
    address = found[0];
    break;
  }
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  const ended = once(server, 'exit');
  server.kill('SIGINT');
  expect((await ended)[0]).toBe(0);
});

it('trains the built-in case on the GPU and shows how it goes', async () => {
  const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  const problems: string[] = [];
  page.on('pageerror', ({ message }) => problems.push(message));
  await page.goto(`${address}#self-test`);
  await page
    .getByRole('status')
    .getByText(/Step [2-9] of 20/)
    .waitFor({ timeout: 90_000 });
  expect(await page.locator('.device').textContent()).toMatch(/swiftshader/i);
  expect(await page.locator('circle.reference').count()).toBe(20);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390);
  expect(problems).toEqual([]);
  await page.close();
}, 120_000);

it('says what to do where there is no WebGPU', async () => {
  const page = await browser.newPage();
  await page.addInitScript(() => Object.defineProperty(navigator, 'gpu', { value: undefined }));
  await page.goto(address);
  await page.getByRole('heading', { name: 'This browser has no WebGPU' }).waitFor();
  await page.getByText('You are here').waitFor();
  await page.getByText('Firefox on Windows and macOS').click();
  await page.close();
});

it('shows why a run failed', async () => {
  const page = await browser.newPage();
  await page.goto(`${address}#self-test`);
  await page.route('**/case/case.json', (route) => route.fulfill({ status: 404 }));
  await page.reload();
  await page.getByRole('status').getByText('The run did not finish').waitFor();
  await page.getByText(/FileMissingError: case has no file case\.json/).waitFor();
  await page.close();
});
