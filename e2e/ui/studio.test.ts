import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import AxeBuilder from '@axe-core/playwright';
import { unzipSync } from 'fflate';
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { blockPage, TaskWatch } from '../task_watch.ts';
import { buildPage, DemoPage } from './demo_page.ts';
import { loadModel, openDataset, press, tabTo } from './journey.ts';

let demo: DemoPage;

beforeAll(async () => {
  demo = await DemoPage.start();
}, 60_000);
afterAll(() => demo?.close());

/** axe's rules that a colour scheme can break; all others find the same in both. */
const OF_COLOUR = ['color-contrast', 'link-in-text-block'];

/** Sideways scrolling at the narrowest and widest screens, and axe in both colour schemes. */
async function inspect(page: Page, name: string): Promise<void> {
  for (const width of [360, 2560]) {
    await page.setViewportSize({ width, height: 900 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} at ${width} px`).toBe(width);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    // The colours change with the frame after the next.
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    // Without frames of other origins there is nothing to gather in a page of axe's own.
    const axe = new AxeBuilder({ page }).setLegacyMode();
    if (colorScheme === 'dark') axe.withRules(OF_COLOUR);
    const { violations } = await axe.analyze();
    const found = violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map(({ target, any }) => `${target.join(' ')} (${any[0]?.message})`).join(', ')}`,
    );
    expect(found, `${name}, ${colorScheme}`).toEqual([]);
  }
}

it('goes from a model to a zip with the keyboard alone', async () => {
  const { page, complaints } = await demo.visit();
  await page.getByText('apple metal-3').first().waitFor();
  await inspect(page, 'model');
  await loadModel(page);
  await inspect(page, 'model loaded');
  await press(page, /Go on to the data/);
  await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toBe('Bring your data');
  await inspect(page, 'data empty');
  await openDataset(page);
  // The button that was pressed is gone: the keyboard goes on from the heading.
  await expect.poll(() => page.evaluate(() => document.activeElement?.textContent)).toBe('Bring your data');
  await page.getByRole('row', { name: /^25 not readable tea.jsonl Not valid JSON/ }).waitFor();
  await tabTo(page, /assistant_only_loss/);
  await page.keyboard.press('Space');
  await page.getByText(/^[3-6]\d % of /).waitFor();
  await inspect(page, 'data');
  await press(page, /Go on to training/);
  await inspect(page, 'settings');
  await press(page, /Start training/);
  await page.getByRole('link', { name: /Take the adapter/ }).waitFor();
  await page.getByRole('img', { name: /^Loss by step: .* at step 60$/ }).waitFor();
  await inspect(page, 'run');
  await press(page, /^QLoRA in three pictures/);
  await page.getByRole('img', { name: /^Uses of the sixteen levels of model.layers.0/ }).waitFor();
  await page.getByRole('list', { name: 'Norm of B·A by layer after 60 steps' }).waitFor();
  await inspect(page, 'run, explained');
  await press(page, /Take the adapter/);
  await inspect(page, 'export');
  const download = page.waitForEvent('download');
  await press(page, /Save as zip/);
  const zip = unzipSync(await readFile(await (await download).path()));
  expect(Object.keys(zip).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
  await press(page, /Continue from this adapter/);
  await page.getByText('Goes on from').waitFor();
  expect(await page.getByLabel('lora_alpha').isDisabled()).toBe(true);
  expect(complaints).toEqual([]);
  await page.context().close();
}, 120_000);

it('tries base and tuned side by side, stops, asks again, and evaluates on a file', async () => {
  const { page, complaints } = await demo.visit();
  await page.evaluate(() => Object.assign(location, { hash: 'try' }));
  await page.getByText('First a model').waitFor();
  await inspect(page, 'try empty');
  await page.evaluate(() => Object.assign(location, { hash: 'model' }));
  await loadModel(page);
  await page.evaluate(() => Object.assign(location, { hash: 'data' }));
  await openDataset(page);
  await page.evaluate(() => Object.assign(location, { hash: 'train' }));
  await page.getByLabel('sample_prompts').fill('What does the fox say?\nTell me a fable.');
  await page.getByLabel('sample_steps').fill('20');
  await page.getByRole('button', { name: 'Start training' }).click();
  await page.getByRole('link', { name: /Take the adapter/ }).waitFor();
  const heads = page.getByRole('region', { name: 'Samples by step' }).getByRole('columnheader');
  await expect.poll(() => heads.allTextContents()).toEqual(['prompt', 'before', 'step 20', 'step 40', 'step 60']);
  await inspect(page, 'run with samples');
  await press(page, /^Try it/);
  await page.getByLabel('Your message').fill('What does the fox say?');
  await page.keyboard.press('Enter');
  const answer = (name: string) => page.getByRole('region', { name, exact: true });
  await answer('With the adapter').getByText('🦊').waitFor();
  await expect.poll(() => answer('Base model').textContent()).toContain('The fox is a small animal');
  await page
    .getByText(/tokens\/s$/)
    .first()
    .waitFor();
  await page
    .getByText(/^\d+ tokens$/)
    .first()
    .waitFor();
  await page.locator('summary').filter({ hasText: 'token' }).click();
  await page.getByRole('region', { name: 'The prompt' }).getByText('<|im_start|>').first().waitFor();
  await inspect(page, 'tried');
  await page.getByLabel('temperature').fill('warm');
  await page.getByText('Enter a number.').waitFor();
  await page.getByLabel('Your message').fill('And then?');
  expect(await page.getByRole('button', { name: 'Send' }).isDisabled()).toBe(true);
  await page.getByLabel('temperature').fill('0');
  await page.getByLabel('Your message').fill('overflow');
  await page.keyboard.press('Enter');
  await page.getByText('Shorten the conversation').waitFor();
  expect(await page.getByLabel('Your message').inputValue()).toBe('overflow');
  await page.getByRole('button', { name: 'Clear' }).click();
  expect(await page.getByRole('listitem').filter({ hasText: 'fox say' }).count()).toBe(0);
  const questions = { name: 'held-out.jsonl', mimeType: 'application/json', buffer: Buffer.from('{}') };
  await page.locator('input[type=file][accept*=parquet]').last().setInputFiles(questions);
  await page.getByText('75 %').waitFor();
  await page.getByText('2 rows left out').waitFor();
  await page.locator('summary').filter({ hasText: 'held-out.jsonl' }).click();
  await inspect(page, 'evaluated');
  expect(complaints).toEqual([]);
  await page.context().close();
}, 120_000);

it('lays the curves of runs over each other, chosen with the keyboard, and says where their settings differ', async () => {
  const { page, complaints } = await demo.visit({ screen: 'runs' });
  await page.getByRole('heading', { name: 'support-replies-1' }).waitFor();
  // Of one that is being trained there is nothing to choose.
  expect(await page.getByRole('checkbox').count()).toBe(2);
  await tabTo(page, /^Compare support-replies-1/);
  await page.keyboard.press('Space');
  await page.getByText('Choose another run above').waitFor();
  await tabTo(page, /^Compare support-replies-2/);
  await page.keyboard.press('Space');
  await page.getByRole('img', { name: 'Loss by step of support-replies-1, support-replies-2' }).waitFor();
  const curves = page.getByRole('list', { name: 'Curves' }).getByRole('listitem');
  expect(await curves.allTextContents()).toEqual([
    expect.stringMatching(/^support-replies-1loss 1\.\d{4} at step 40 of 120$/),
    expect.stringMatching(/^support-replies-2loss 1\.\d{4} at step 60 of 60$/),
  ]);
  const rows = page.getByRole('region', { name: 'Settings that differ' }).getByRole('row');
  expect(await rows.filter({ hasText: 'learning_rate' }).allTextContents()).toEqual(['learning_rate0.000050.0002']);
  // The control: what is alike is not listed.
  expect(await rows.filter({ hasText: 'warmup' }).count()).toBe(0);
  await inspect(page, 'runs compared');
  await page.getByRole('button', { name: 'Clear' }).click();
  await expect.poll(() => page.getByRole('list', { name: 'Curves' }).count()).toBe(0);
  expect(complaints).toEqual([]);
  await page.context().close();
});

it('lists the runs that are kept, and deletes one only when asked twice', async () => {
  const { page, complaints } = await demo.visit({ screen: 'runs' });
  const runs = page.getByRole('list', { name: 'Runs' }).getByRole('listitem');
  await expect.poll(() => runs.count()).toBe(3);
  await inspect(page, 'runs');
  await page.getByRole('button', { name: 'Resume from step 40' }).waitFor();
  // One that another tab trains can be looked at and no more.
  const open = runs.filter({ hasText: 'Training in a tab' });
  expect(await open.getByRole('button', { name: /Resume|Continue/ }).count()).toBe(0);
  expect(await open.getByRole('button', { name: /Delete/ }).isDisabled()).toBe(true);
  const finished = runs.filter({ hasText: 'Finished' });
  await finished.getByRole('button', { name: /Delete/ }).click();
  expect(await runs.count()).toBe(3);
  await finished.getByRole('button', { name: 'Delete for good' }).click();
  await expect.poll(() => runs.count()).toBe(2);
  await page.getByRole('button', { name: /^Device/ }).click();
  await page
    .getByRole('dialog')
    .getByText(/640 MB used, 179 GB left/)
    .waitFor();
  expect(complaints).toEqual([]);
});

it('asks for a token where a model is gated, and forgets it here', async () => {
  const { page, complaints } = await demo.visit();
  await page.getByLabel('Model id, address').fill('https://huggingface.co/meta-llama/Llama-3.2-1B-Instruct');
  await page.keyboard.press('Enter');
  await page.getByText('This model is gated').waitFor();
  await inspect(page, 'gated');
  await page.getByLabel('Paste it here').fill('hf_secret');
  await page.keyboard.press('Enter');
  await page.getByText('is supported').waitFor();
  expect(await page.content()).not.toContain('hf_secret');
  expect(await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }))).not.toContain('hf_secret');
  expect(complaints).toEqual([]);
  await page.context().close();
});

it('holds, goes on with and cancels a download, and tells of retries', async () => {
  const { page } = await demo.visit({ tune: '&speed=3' });
  await page.getByLabel('Model id, address').fill('smol');
  await page.getByText('On the Hub').waitFor();
  await inspect(page, 'models found');
  await page.getByLabel('Model id, address').fill('');
  await page.getByRole('button', { name: /SmolLM2-360M/ }).click();
  await page.getByRole('button', { name: /Download and load/ }).click();
  await page.getByText('The connection was cut.').waitFor();
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('Paused.').waitFor();
  await inspect(page, 'paused download');
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('button', { name: 'Pause' }).waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('is supported').waitFor();
  await page.context().close();
});

it('names the field that is wrong, and does not start', async () => {
  const { page } = await demo.visit({ screen: 'train' });
  await page.getByLabel('max_steps').fill('0');
  await page.getByText('Enter 1 or more.').waitFor();
  await page.getByLabel('learning_rate').fill('fast');
  await page.getByText('Enter a number.').waitFor();
  await page
    .getByRole('button', { name: 'Correct learning_rate' })
    .or(page.getByText(/Correct .*learning_rate/))
    .waitFor();
  expect(await page.getByRole('button', { name: 'Start training' }).isDisabled()).toBe(true);
  await inspect(page, 'wrong settings');
  await page.context().close();
});

it('takes a file dropped anywhere, and says why it does not take another', async () => {
  const { page, complaints } = await demo.visit();
  const drop = (name: string) =>
    page.evaluate((name) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(['{"text": "a"}'], name));
      for (const type of ['dragenter', 'drop']) {
        document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
      }
    }, name);
  await drop('photo.jpeg');
  await page.getByText('photo.jpeg is not something to train with').waitFor();
  await drop('notes.jsonl');
  await page.getByRole('heading', { name: 'Bring your data' }).waitFor();
  await page.getByText('First a model').waitFor();
  await inspect(page, 'data without a model');
  expect(complaints).toEqual([]);
  // The control: a style that slipped in would be seen.
  await page.evaluate(() =>
    document.head.append(Object.assign(document.createElement('style'), { textContent: 'p {}' })),
  );
  await expect.poll(() => complaints.join()).toContain('Content-Security-Policy: style-src');
  await page.context().close();
});

it('stays smooth over thousands of steps, and keeps the page while it trains', async () => {
  const { page, complaints } = await demo.visit({ tune: '&speed=20&steps=60' });
  await loadModel(page);
  await page.getByRole('link', { name: /Go on to the data/ }).click();
  await openDataset(page);
  await page.getByRole('link', { name: /Go on to training/ }).click();
  await page.getByLabel('max_steps').fill('3000');
  const watch = await TaskWatch.start(page);
  await page.getByRole('button', { name: 'Start training' }).click();
  await page.getByRole('img', { name: /Loss by step: .* at step \d{3}/ }).waitFor();
  const leaving = page.waitForEvent('dialog');
  // A reload that was refused never ends.
  const reload = page.reload({ timeout: 1_000 }).catch(() => null);
  const dialog = await leaving;
  expect(dialog.type()).toBe('beforeunload');
  await dialog.dismiss();
  await reload;
  await page.getByRole('link', { name: /Take the adapter/ }).waitFor({ timeout: 20_000 });
  expect((await watch.stop()).own).toEqual([]);
  expect(complaints).toEqual([]);
  // The control: a task that is the page's own work is told of, also where the page gets a part of a core.
  const control = await TaskWatch.start(page);
  await blockPage(page, 200);
  expect((await control.stop()).own).toMatchObject([{ wall: expect.any(Number) }]);
  await page.context().close();
}, 60_000);

it('says what to do when the loss becomes NaN, and offers the last good adapter', async () => {
  const { page } = await demo.visit();
  await loadModel(page);
  await page.getByRole('link', { name: /Go on to the data/ }).click();
  await openDataset(page);
  await page.getByRole('link', { name: /Go on to training/ }).click();
  await page.getByLabel('learning_rate').fill('0.5');
  await page.getByRole('button', { name: 'Start training' }).click();
  await page.getByText('The loss is no longer a number').waitFor();
  await inspect(page, 'failed run');
  await page.getByRole('link', { name: /last good step/ }).click();
  await page.getByText('From a run that failed').waitFor();
  await page.context().close();
});

it('says how to get WebGPU, for this browser first', async () => {
  const { page } = await demo.visit({
    before: (page) => page.addInitScript(() => Object.defineProperty(navigator, 'gpu', { value: undefined })),
  });
  await page.getByRole('heading', { name: 'This browser has no WebGPU' }).waitFor();
  await page.getByText('You are here').waitFor();
  await inspect(page, 'no WebGPU');
  await page.context().close();
});

it('says what to do when no adapter answers', async () => {
  const { page } = await demo.visit({ tune: '&gpu=none' });
  await page.getByRole('heading', { name: 'No graphics adapter answered' }).waitFor();
  await inspect(page, 'no adapter');
  await page.context().close();
});

it('tells of the device from every screen, and checks it against PyTorch', async () => {
  const { page } = await demo.visit({ screen: 'export' });
  await page.getByRole('button', { name: /^Device/ }).click();
  await page.getByRole('dialog').waitFor();
  await inspect(page, 'device dialog');
  await page
    .getByRole('dialog')
    .getByRole('link', { name: /against PyTorch/ })
    .click();
  await page.getByRole('heading', { name: 'Check this GPU against PyTorch' }).waitFor();
  await inspect(page, 'self-test');
  await page.context().close();
}, 60_000);

it('ships no part of the demo, and at most 300 kB of compressed script before the worker', async () => {
  const folder = await buildPage('page');
  const html = await readFile(path.join(folder, 'index.html'), 'utf8');
  expect(html).toContain("default-src 'none'");
  const scripts = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/g)].map(([, file]) => file!);
  expect(scripts.length).toBeGreaterThan(0);
  let size = 0;
  for (const script of scripts) {
    const text = await readFile(path.join(folder, script));
    expect(text.includes('apple metal-3')).toBe(false);
    size += gzipSync(text).byteLength;
  }
  expect(size).toBeLessThan(300_000);
  await rm(folder, { recursive: true, force: true });
}, 60_000);
