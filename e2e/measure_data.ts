/**
 * A large dataset in the Data step, measured: time from the drop to the first rows, reading, tokenizing, the heap of page and
 * worker, tasks of the page over 50 ms.
 *
 *   npx vite build --ssr e2e/measure_data.ts --outDir .cache && node .cache/measure_data.js …
 *
 *   [--rows N] [--words N] [--file FILE.jsonl] [--tokenize-seconds S]
 *
 * Without --file, rows of 228 words (1 kB) each are written to the temporary folder first; a file that is there is used again.
 */

import { once } from 'node:events';
import { createWriteStream, existsSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { HeapWatch } from './heap_watch.ts';
import { startHub } from './hub/server.ts';
import { fill, goTo, loadFromHub, longTasks, preparePage, serveStudio } from './studio_page.ts';
import { TaskWatch } from './task_watch.ts';

const ID = 'nibble/measured';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '1000000' },
    words: { type: 'string', default: '228' },
    file: { type: 'string' },
    'tokenize-seconds': { type: 'string', default: '60' },
  },
});
const count = Number(values.rows);
const file = values.file ?? path.join(os.tmpdir(), `nibble-rows-${count}x${values.words}.jsonl`);
if (!existsSync(file)) await writeRows(file, count);

/** No two rows are the same. */
async function writeRows(target: string, rows: number): Promise<void> {
  const words =
    'the fox said to the crow that a fine voice is worth a piece of cheese and flew away over the hill'.split(' ');
  const out = createWriteStream(target);
  for (let row = 0; row < rows; row++) {
    const text = Array.from(
      { length: Number(values.words) },
      (_, i) => words[(row * 31 + i * (1 + (row % 7))) % words.length],
    ).join(' ');
    if (!out.write(`${JSON.stringify({ text: `Row ${row}. ${text}` })}\n`)) await once(out, 'drain');
  }
  out.end();
  await once(out, 'finish');
}

const hub = await startHub({ repositories: [{ id: ID, directory: path.resolve('e2e/golden/qwen2-chat/model') }] });
const studio = await serveStudio(hub.apiUrl, hub.cdnUrl);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
const problems = await preparePage(page);
const heap = await HeapWatch.start(page);
await page.goto(studio.address);
await loadFromHub(page, ID);
await goTo(page, 'Data');
await fill(page, { max_length: '128' });
const seconds = (from: number) => Math.round((performance.now() - from) / 10) / 100;

// A file handed over by its path is not copied through the browser's protocol.
const chooser = page.waitForEvent('filechooser');
await page.getByRole('button', { name: 'Choose a file' }).click();
const picker = await chooser;
await longTasks(page);
let watch = await TaskWatch.start(page);
const tasks = { own: 0, all: 0, longest: 0 };
/** A trace of half an hour would fill the memory of whoever reads it: it is put away and begun anew. */
async function countTasks(): Promise<void> {
  const { own, all } = await watch.stop();
  tasks.own += own.length;
  tasks.all += all.length;
  tasks.longest = Math.max(tasks.longest, ...all.map(({ wall }) => wall));
  for (const { wall, cpu } of own) console.error(`a task of the page's own: ${wall} ms, ${cpu} of the processor`);
}
const drop = performance.now();
await picker.setFiles([file]);
await page.getByRole('gridcell').nth(1).waitFor({ timeout: 60_000 });
const firstRowsSeconds = seconds(drop);
await page.getByRole('region', { name: 'Row 1', exact: true }).getByText('Row').first().waitFor({ timeout: 60_000 });
const firstTokensSeconds = seconds(drop);
await page
  .getByText(/Cutting rows into tokens/)
  .first()
  .waitFor({ timeout: 600_000 });
const readSeconds = seconds(drop);
const tokenizing = performance.now();
const grid = page.getByRole('grid', { name: 'Rows of the files' });
// A person looks around while it works.
await grid.focus();
for (const key of ['End', 'PageUp', 'Home', 'PageDown']) {
  await page.keyboard.press(key);
  await page.waitForTimeout(300);
}
for (let at = 0; at < 20; at++) {
  await grid.evaluate((element, share) => element.scrollTo(0, element.scrollHeight * share), at / 20);
  await page.waitForTimeout(100);
}
const finished = page.getByRole('link', { name: 'Go on to training' });
const told = page.getByText(/Cutting rows into tokens: /).or(page.getByRole('alert'));
const end = tokenizing + Number(values['tokenize-seconds']) * 1000;
while (performance.now() < end && !(await finished.isVisible()) && !(await page.getByRole('alert').isVisible())) {
  await finished.waitFor({ timeout: Math.min(20_000, end - performance.now()) }).catch(() => undefined);
  await countTasks();
  const status = (await told.allInnerTexts()).join(' ');
  console.error(`${seconds(tokenizing)} s: ${status}, ${Math.round(heap.now / 2 ** 20)} MiB, load ${os.loadavg()[0]}`);
  watch = await TaskWatch.start(page);
}
const status = (await finished.isVisible())
  ? 'done'
  : (await told.allInnerTexts()).join(' ') || 'neither done nor failed';
const tokenizeSeconds = seconds(tokenizing);
await countTasks();
const summary = status === 'done' ? await page.getByRole('main').innerText() : '';
console.log(
  JSON.stringify(
    {
      rows: count,
      bytes: statSync(file).size,
      firstRowsSeconds,
      firstTokensSeconds,
      readSeconds,
      tokenizing: { seconds: tokenizeSeconds, status, told: /^.*examples read.*$/m.exec(summary)?.[0] },
      ...heap.stop(),
      longTasks: tasks,
      problems,
    },
    null,
    1,
  ),
);
await browser.close();
await studio.close();
await hub.close();
