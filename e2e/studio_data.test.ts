/** The Data step with the real worker: files of every kind, columns mapped, what is wrong with them, and rows as the model sees them. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import AxeBuilder from '@axe-core/playwright';
import { type Browser, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { ROOT } from './command_line.ts';
import { startHub, type TestHub } from './hub/server.ts';
import { fill, goTo, loadFromHub, preparePage, saved, serveStudio } from './studio_page.ts';

const ID = 'nibble/qwen2-chat';
const PARQUET = path.join(ROOT, 'src/data/fixtures/parquet');
const EXAMPLES = path.join(ROOT, 'public/examples');

let browser: Browser;
let hub: TestHub;
let studio: Awaited<ReturnType<typeof serveStudio>>;
let page: Page;
let problems: string[];

beforeAll(async () => {
  const parquet = readFileSync(path.join(PARQUET, 'messages.parquet'));
  hub = await startHub({
    repositories: [
      { id: ID, directory: path.join(ROOT, 'e2e/golden/qwen2-chat/model') },
      {
        id: 'nibble/questions',
        files: {},
        converted: { 'default/train/0000.parquet': parquet, 'default/test/0000.parquet': 'not asked for' },
      },
    ],
  });
  studio = await serveStudio(hub.apiUrl, hub.cdnUrl);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
  page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
  page.setDefaultTimeout(20_000);
  problems = await preparePage(page);
  await page.goto(studio.address);
  await loadFromHub(page, ID);
  await goTo(page, 'Data');
  await fill(page, { max_length: '128', validation_share: '0.1' });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await studio?.close();
  await hub?.close();
});

/** Chooses files as the dataset, in the place of what was there. */
async function open(...files: (string | { name: string; content: string | Uint8Array })[]): Promise<void> {
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: /^(Choose a file|Other files)$/ }).click();
  const given = files.map((file) =>
    typeof file === 'string'
      ? { name: path.basename(file), mimeType: '', buffer: readFileSync(file) }
      : { name: file.name, mimeType: '', buffer: Buffer.from(file.content) },
  );
  await (await chooser).setFiles(given);
}

/** Other programs may have the cores. */
const SLOW = { timeout: 20_000 };

/** Waits until the rows are tokenized. */
const ready = () => page.getByRole('link', { name: 'Go on to training' }).waitFor();
const rowText = () => page.getByRole('region', { name: /^Row \d/ }).innerText();
const jsonl = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

async function inspect(name: string): Promise<void> {
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} at ${width} px`).toBe(width);
  }
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    const { violations } = await new AxeBuilder({ page }).analyze();
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
    expect(found, `${name}, ${colorScheme}`).toEqual([]);
  }
  expect(problems).toEqual([]);
}

it('maps the columns of a messy table, and trains on the story told from the title', async () => {
  await open(path.join(EXAMPLES, 'fables-messy.csv'));
  // It has a column of that name; what is wanted is something else.
  await page.getByRole('heading', { name: 'Read as plain text' }).waitFor();
  await ready();
  await page.getByRole('button', { name: 'Map columns by hand' }).click();
  await page.getByText('Say which column holds what').waitFor();
  await page.getByLabel('title', { exact: true }).selectOption('user');
  await page.getByText('Say which column is the assistant’s').waitFor();
  await page.getByLabel('moral', { exact: true }).selectOption('assistant');
  await page.getByRole('switch', { name: 'assistant_only_loss' }).click();
  await ready();
  // Cells without a moral are named by file, line and column; the control: rows with one are used.
  await page.getByRole('row', { name: /^2 empty fables-messy\.csv moral moral is empty/ }).waitFor();
  const used = await page.getByText(/^\d+ examples read, \d+ rows left out$/).innerText();
  const [examples, left] = used.match(/\d+/g)!.map(Number);
  expect(examples + left).toBeGreaterThan(250);
  expect(examples).toBeGreaterThan(50);
  await inspect('columns mapped');
  const csv = readFileSync(await saved(page, /^CSV$/), 'utf8').split('\r\n');
  expect(csv[0]).toBe('file,line,field,kind,reason');
  expect(csv[1]).toMatch(/^fables-messy\.csv,2,moral,empty-field,/);
  await page.getByRole('button', { name: 'Next row' }).click();
  await expect.poll(rowText, SLOW).toContain('The Bat and the Weasels');
  expect(
    await page
      .locator('mark')
      .allInnerTexts()
      .then((marks) => marks.join('')),
  ).toContain('wise to turn');
  expect(
    await page
      .locator('mark')
      .allInnerTexts()
      .then((marks) => marks.join('')),
  ).not.toContain('Weasels');
  await page.getByRole('button', { name: 'Back to what was found' }).click();
  await page.getByRole('heading', { name: 'Read as plain text' }).waitFor();
  await open({ name: 'unclear.tsv', content: 'frage\tantwort\nWarum?\tDarum.\n' });
  await page.getByRole('heading', { name: 'Which column is what?' }).waitFor();
  await page.getByText('No shape that is known: the rows have frage, antwort.').waitFor();
  await inspect('columns unknown');
}, 120_000);

it('reads Parquet, gzip and several files at once', async () => {
  await open(path.join(PARQUET, 'messages.parquet'));
  await page.getByRole('heading', { name: 'Read as conversations' }).waitFor();
  await ready();
  await page.getByText('parquet, 20 rows').waitFor();
  await expect.poll(rowText, SLOW).toContain('Question 0');
  await open(path.join(PARQUET, 'zstd.parquet'), {
    name: 'more.jsonl.gz',
    content: gzipSync(jsonl(Array.from({ length: 5 }, (_, i) => ({ text: `More ${i}` })))),
  });
  await page.getByText('parquet, 600 rows').waitFor();
  await page.getByText('jsonl, 5 rows').waitFor();
  await ready();
  await page.getByRole('spinbutton', { name: 'Row' }).fill('605');
  await expect.poll(rowText, SLOW).toContain('More 4');
  await inspect('several files');
}, 60_000);

it('reads ShareGPT, refuses preference pairs with the reason, and takes a validation file', async () => {
  const turns = (i: number) => [
    { from: 'human', value: `Ask ${i}` },
    { from: 'gpt', value: `Tell ${i}` },
  ];
  await open({
    name: 'share.json',
    content: JSON.stringify(Array.from({ length: 40 }, (_, i) => ({ id: i, conversations: turns(i % 30) }))),
  });
  await page.getByRole('heading', { name: 'Read as conversations (ShareGPT)' }).waitFor();
  await ready();
  await page.getByText('on one side of the split').waitFor();
  expect(await rowText()).toContain('Ask 0');
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Add a validation file' }).click();
  const held = { name: 'held.jsonl', mimeType: '', buffer: Buffer.from(jsonl([{ conversations: turns(99) }])) };
  await (await chooser).setFiles(held);
  await page.getByText('for validation, 1 rows').waitFor();
  await ready();
  await open({ name: 'dpo.jsonl', content: jsonl([{ prompt: 'a', chosen: 'b', rejected: 'c' }]) });
  await page.getByText('Preference pairs are not trained on').waitFor();
  await page.getByText(/preference training \(DPO\)/).waitFor();
  await inspect('preference pairs');
}, 60_000);

it('says what is wrong with a broken file, row by row, and that an empty or masked one cannot be trained on', async () => {
  await open({
    name: 'broken.jsonl',
    content: `{"text": "fine"}\n{"text": "cut\n\n{"text": 5}\n{"body": "x"}\n${jsonl([{ text: 'fine too' }])}`,
  });
  await ready();
  await page.getByRole('row', { name: /^2 not readable broken\.jsonl Not valid JSON/ }).waitFor();
  await page.getByRole('row', { name: /^4 wrong type broken\.jsonl text text is a number/ }).waitFor();
  await page.getByRole('row', { name: /^5 field missing broken\.jsonl text/ }).waitFor();
  await page.getByText(/There are 2 sequences for an update of/).waitFor();
  await page.getByText('2 examples read, 3 rows left out').waitFor({ state: 'attached' });
  await inspect('broken file');
  await open({ name: 'empty.jsonl', content: '\n\n' });
  await page.getByText('empty.jsonl has no rows').waitFor();
  await open({ name: 'masked.jsonl', content: jsonl([{ messages: [{ role: 'user', content: 'only me' }] }]) });
  await page.getByText(/None of the 1 rows of masked\.jsonl can be trained on.*no assistant message/).waitFor();
  await open({ name: 'cut.parquet', content: readFileSync(path.join(PARQUET, 'none.parquet')).subarray(0, 5000) });
  await page.getByText(/cut\.parquet: The file does not end as Parquet does/).waitFor();
  await goTo(page, 'Train');
  expect(await page.getByRole('button', { name: 'Start training' }).isDisabled()).toBe(true);
  await goTo(page, 'Data');
}, 60_000);

it('has examples one click away, and shows a hundred thousand rows by keyboard', async () => {
  await page.getByRole('button', { name: 'Remove' }).click();
  await inspect('no data');
  await page.getByRole('button', { name: /^Aesop’s fables/ }).click();
  await page.getByRole('heading', { name: 'Read as instructions (Alpaca)' }).waitFor();
  await ready();
  const many = Array.from({ length: 100_000 }, (_, i) => `{"text":"Row number ${i}"}\n`).join('');
  await open({ name: 'many.jsonl', content: many });
  const grid = page.getByRole('grid', { name: 'Rows of the files' });
  await expect.poll(() => grid.getAttribute('aria-rowcount'), SLOW).toBe('100001');
  await grid.focus();
  await page.keyboard.press('End');
  await page.getByRole('gridcell', { name: 'Row number 99999' }).waitFor();
  await page.keyboard.press('ArrowUp');
  await expect.poll(rowText, SLOW).toContain('Row number 99998');
  expect(await grid.getByRole('row').count()).toBeLessThan(40);
  // So many go to workers of their own.
  await page.getByText('90,000 examples read, 0 rows left out').waitFor({ state: 'attached', timeout: 60_000 });
}, 120_000);

it('reads prompts of messages and what Windows saves, and says what a zip is', async () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({
    prompt: [{ role: 'user', content: [{ type: 'text', text: `Ask ${i}` }] }],
    completion: [{ role: 'assistant', content: `Tell ${i}` }],
  }));
  await open({ name: 'prompts.jsonl', content: Buffer.from(`\ufeff${jsonl(rows)}`, 'utf16le') });
  await page.getByRole('heading', { name: 'Read as prompt and completion' }).waitFor();
  await ready();
  await expect.poll(rowText, SLOW).toContain('Ask 0');
  const marks = (await page.locator('mark').allInnerTexts()).join('');
  expect(marks).toContain('Tell 0');
  expect(marks).not.toContain('Ask');
  await page.getByRole('gridcell', { name: 'assistant: Tell 0' }).waitFor();
  await open({ name: 'renamed.jsonl', content: 'PK\u0003\u0004 and so on' });
  await page.getByText('renamed.jsonl: The file is a zip archive. Unpack it, and give the files in it.').waitFor();
  await inspect('a zip');
}, 60_000);

it('downloads a dataset of the Hub by its id, once', async () => {
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByLabel('Dataset of the Hub').fill('nibble/questions');
  await page.getByLabel('Split').fill('dev');
  await page.keyboard.press('Enter');
  await page.getByText('nibble/questions has no split dev; it has test, train.').waitFor();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByLabel('Dataset of the Hub').fill('nibble/questions');
  await page.getByRole('button', { name: 'Download' }).click();
  await page.getByRole('heading', { name: 'Read as conversations' }).waitFor();
  await ready();
  await page.getByRole('spinbutton', { name: 'Row' }).fill('20');
  await expect.poll(rowText, SLOW).toContain('Question 19');
  hub.log.expectEachByteOnce(['default/train/0000.parquet']);
  expect(hub.log.reads(/^default\/test/)).toEqual([]);
  expect(problems).toEqual([]);
}, 60_000);
