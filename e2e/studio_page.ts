/** The built studio, served and driven as a person would: for journeys in Chromium. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Download, Page } from 'playwright';
import { LocalServer } from '../src/cli/local_server.ts';
import { securityHeaders } from '../src/hub/hosts.ts';
import { ROOT } from './command_line.ts';

export interface ServedStudio {
  readonly address: string;
  close(): Promise<void>;
}

/** Builds the page for a Hub at these origins (the policy names them) and serves it. */
export async function serveStudio(...hubOrigins: string[]): Promise<ServedStudio> {
  const folder = mkdtempSync(path.join(tmpdir(), 'nibble-page-'));
  const vite = path.join(ROOT, 'node_modules/vite/bin/vite.js');
  const args = [vite, 'build', '--outDir', folder, '--emptyOutDir', '--logLevel', 'warn'];
  const env = { ...process.env, NIBBLE_HUB: hubOrigins.join(' ') };
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, env });
  if (status !== 0) throw new Error(`the page was not built: ${stderr}`);
  const served = await serveBuilt(folder, hubOrigins);
  return {
    address: served.address,
    async close() {
      await served.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Serves a page that was built for a Hub at these origins. */
export async function serveBuilt(folder: string, hubOrigins: readonly string[]): Promise<ServedStudio> {
  const server = await LocalServer.start();
  return {
    address: server.mountRoot(folder, securityHeaders({ extraConnect: hubOrigins })),
    close: () => server.close(),
  };
}

/** Before the first script: notes tasks over 50 ms, and takes the file dialog away, so that what is saved is a download. */
export async function preparePage(page: Page): Promise<string[]> {
  const problems: string[] = [];
  page.on('pageerror', ({ message }) => problems.push(message));
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text());
  });
  await page.addInitScript(() => {
    Reflect.deleteProperty(window, 'showSaveFilePicker');
    const tasks: number[] = [];
    const note = (entries: PerformanceEntryList) => tasks.push(...entries.map(({ duration }) => duration));
    const observer = new PerformanceObserver((list) => note(list.getEntries()));
    observer.observe({ type: 'longtask' });
    const longTasks = () => {
      note(observer.takeRecords());
      return tasks.splice(0);
    };
    Object.assign(window, { longTasks });
  });
  return problems;
}

/** Durations of the page's tasks over 50 ms since the last call, milliseconds. */
export function longTasks(page: Page): Promise<number[]> {
  return page.evaluate(() => (window as unknown as { longTasks: () => number[] }).longTasks());
}

export async function loadFromHub(page: Page, id: string, timeout = 120_000): Promise<void> {
  await page.getByLabel('Model id, address, or words to search for').fill(id);
  await page.getByRole('button', { name: 'Look at it' }).click();
  await page.getByRole('button', { name: /Download and load/ }).click();
  await page.getByText('Loaded in 4 bits').waitFor({ timeout });
}

/** The steps along the top. */
export const goTo = (page: Page, step: 'Model' | 'Data' | 'Train' | 'Export') =>
  page
    .getByRole('navigation')
    .getByRole('link', { name: new RegExp(step) })
    .click();

export async function openFiles(page: Page, button: string, files: string[]): Promise<void> {
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: button }).click();
  await (await chooser).setFiles(files);
}

/** Numbers and choices by their field names, on the screen that has them. */
export async function fill(page: Page, settings: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, value] of Object.entries(settings)) {
    const field = page.getByLabel(name, { exact: true });
    if ((await field.evaluate(({ tagName }) => tagName)) === 'SELECT') await field.selectOption(value);
    else await field.fill(value);
  }
}

/** Clicks what saves a file; where it went. */
export async function saved(page: Page, button: RegExp): Promise<string> {
  const started: Promise<Download> = page.waitForEvent('download');
  await page.getByRole('button', { name: button }).click();
  const download = await started;
  // Under its own name: the page goes by the extension when it is given back.
  const file = path.join(mkdtempSync(path.join(tmpdir(), 'nibble-saved-')), download.suggestedFilename());
  await download.saveAs(file);
  return file;
}

/** The rows of the exported CSV as numbers, by column. */
export function readCsv(text: string): Record<string, number>[] {
  const [head, ...lines] = text.trim().split(/\r?\n/);
  const names = head.split(',');
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, i) => [names[i], Number(cell)])));
}
