/** What a Hub can do to a load in the page, with the real worker; each beside a load that nothing happens to. */
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { chromiumFlags } from '../src/cli/chromium_flags.ts';
import { ROOT } from './command_line.ts';
import { startHub, type TestHub } from './hub/server.ts';
import { loadFromHub, preparePage, serveStudio } from './studio_page.ts';

const TOKEN = 'hf_secretOfATest';
/** Weights of 9 MB in two shards: too large to be read in one go. */
const CONFIG = {
  model_type: 'llama',
  vocab_size: 600,
  hidden_size: 256,
  intermediate_size: 1024,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  tie_word_embeddings: true,
};
const model = (id: string, gated?: string[]) => ({
  id,
  directory: path.join(ROOT, 'e2e/golden/qwen2-chat/model'),
  synthetic: { config: CONFIG, dtype: 'BF16' as const, seed: 5 },
  shards: 2,
  ...(gated && { gated }),
});
const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];

let browser: Browser;
let hub: TestHub;
let studio: Awaited<ReturnType<typeof serveStudio>>;

beforeAll(async () => {
  hub = await startHub({ repositories: [model('nibble/open'), model('nibble/gated', [TOKEN])] });
  studio = await serveStudio(hub.apiUrl, hub.cdnUrl);
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: chromiumFlags('swiftshader') });
}, 120_000);

afterAll(async () => {
  await browser?.close();
  await studio?.close();
  await hub?.close();
});

beforeEach(() => {
  hub.faults.clear();
  hub.log.clear();
});

async function open(): Promise<Page> {
  const page = await browser.newPage();
  await preparePage(page);
  await page.goto(studio.address);
  return page;
}

/** How often the first shard was begun. */
const readsFromTheStart = () => hub.log.reads(SHARDS[0]).filter(({ begin }) => begin === 0).length;

it('reads each byte of an undisturbed model once (control)', async () => {
  const page = await open();
  await loadFromHub(page, 'nibble/open');
  hub.log.expectEachByteOnce(SHARDS);
  expect(readsFromTheStart()).toBe(1);
  await page.close();
});

it('goes on by range where the connection was cut at 80 %', async () => {
  const cut = hub.faults.add({ origin: 'cdn', path: SHARDS[1], cutAtFraction: 0.8 });
  const page = await open();
  await loadFromHub(page, 'nibble/open');
  expect(cut.hits).toBe(1);
  // What was on its way when it was cut may come twice; nothing starts anew.
  hub.log.expectEachByteOnce(SHARDS, 2 ** 20);
  await page.close();
});

it('starts again when a file changes under way', async () => {
  hub.faults.add({ origin: 'cdn', path: SHARDS[0], delayMs: 300, times: 1000 });
  const page = await open();
  const loading = loadFromHub(page, 'nibble/open');
  await expect.poll(() => hub.log.reads(SHARDS[0]).length, { timeout: 60_000 }).toBeGreaterThan(0);
  hub.faults.changeEtag(SHARDS[0]);
  await loading;
  expect(readsFromTheStart()).toBeGreaterThan(1);
  // The second attempt read the whole file, as if there had been no first.
  expect(hub.log.bytesServed(SHARDS[0]).again).toBeGreaterThan(0);
  await page.close();
});

it('asks for a token where the Hub answers 401, and sends it to the Hub alone', async () => {
  const page = await open();
  await page.getByLabel('Model id, address, or words to search for').fill('nibble/gated');
  await page.getByRole('button', { name: 'Look at it' }).click();
  await page.getByText('This model is gated').waitFor();
  expect(hub.log.reads(/safetensors$/)).toEqual([]);
  await page.getByLabel('Paste it here').fill(TOKEN);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: /Download and load/ }).click();
  await page.getByText('Loaded in 4 bits').waitFor({ timeout: 60_000 });
  hub.log.expectTokenOnlyAtApi(TOKEN);
  expect(hub.log.entries.filter(({ url }) => url.includes(TOKEN))).toEqual([]);
  const kept = await page.evaluate(async () =>
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, await indexedDB.databases(), document.cookie]),
  );
  expect(kept).not.toContain(TOKEN);
  expect(await page.content()).not.toContain(TOKEN);
  await page.close();
});
