/** A run in a page that is hidden, frozen or about to be left; with a worker that plays one, so that only the page is tried. */
import type { Page } from 'playwright';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DemoPage } from './demo_page.ts';
import { loadModel, openDataset } from './journey.ts';

let demo: DemoPage;

beforeAll(async () => {
  demo = await DemoPage.start();
}, 60_000);
afterAll(() => demo?.close());

interface Controls {
  /** Screen wake locks that were asked for, and those that are held now. */
  locks: { asked: number; held: number };
  /** What a browser does with a page that is no longer seen, and when it is seen again. */
  hide(): void;
  show(): void;
}

/** Before the first script: locks that count, and a page that can be hidden: then it gets no frames, and its lock is taken. */
async function controls(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const locks = { asked: 0, held: 0 };
    const held = new Set<EventTarget & { release(): Promise<void> }>();
    const request = async () => {
      if (document.hidden) throw new DOMException('The page is hidden.', 'NotAllowedError');
      locks.asked++;
      locks.held++;
      const lock = Object.assign(new EventTarget(), {
        async release() {
          if (!held.delete(lock)) return;
          locks.held--;
          lock.dispatchEvent(new Event('release'));
        },
      });
      held.add(lock);
      return lock;
    };
    Object.defineProperty(navigator, 'wakeLock', { value: { request } });
    let hidden = false;
    Object.defineProperty(document, 'hidden', { get: () => hidden });
    Object.defineProperty(document, 'visibilityState', { get: () => (hidden ? 'hidden' : 'visible') });
    const frames: FrameRequestCallback[] = [];
    const draw = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (callback) => (hidden ? frames.push(callback) : draw(callback));
    const change = (to: boolean) => {
      hidden = to;
      if (hidden) for (const lock of held) void lock.release();
      document.dispatchEvent(new Event('visibilitychange'));
      if (!hidden) for (const callback of frames.splice(0)) draw(callback);
    };
    Object.assign(window, { controls: { locks, hide: () => change(true), show: () => change(false) } });
  });
}

const on = (page: Page) => ({
  locks: () => page.evaluate(() => (window as unknown as { controls: Controls }).controls.locks),
  hide: () => page.evaluate(() => (window as unknown as { controls: Controls }).controls.hide()),
  show: () => page.evaluate(() => (window as unknown as { controls: Controls }).controls.show()),
});

/** Ready to train a run of so many steps. */
async function prepared(steps: number, tune: string) {
  const { page, complaints } = await demo.visit({ tune, before: controls });
  await loadModel(page);
  await page.getByRole('link', { name: /Go on to the data/ }).click();
  await openDataset(page);
  await page.getByRole('link', { name: /Go on to training/ }).click();
  await page.getByLabel('max_steps').fill(String(steps));
  return { page, complaints, ...on(page) };
}

const start = async (page: Page) => {
  await page.getByRole('button', { name: 'Start training' }).click();
  await page
    .getByText(/^Step \d/)
    .first()
    .waitFor();
};

const shownStep = async (page: Page) =>
  Number(/Step (\d+)/.exec(await page.getByLabel('Progress').first().innerText())?.[1] ?? 0);

it('holds the screen awake while it trains and is seen, at no other time', async () => {
  const { page, complaints, locks, hide, show } = await prepared(2000, '&speed=4');
  expect(await locks()).toEqual({ asked: 0, held: 0 });
  await start(page);
  await expect.poll(locks).toEqual({ asked: 1, held: 1 });
  await page.getByRole('button', { name: 'Pause' }).click();
  await expect.poll(locks).toEqual({ asked: 1, held: 0 });
  await page.getByRole('button', { name: 'Resume' }).click();
  await expect.poll(locks).toEqual({ asked: 2, held: 1 });
  // The browser takes it from a page that is hidden, which does not ask for it before it is seen again.
  await hide();
  await expect.poll(locks).toEqual({ asked: 2, held: 0 });
  await show();
  await expect.poll(locks).toEqual({ asked: 3, held: 1 });
  await page.getByRole('button', { name: /Stop and keep/ }).click();
  await page.getByRole('link', { name: /Take the adapter/ }).waitFor();
  await expect.poll(locks).toEqual({ asked: 3, held: 0 });
  await hide();
  await show();
  expect(await locks()).toEqual({ asked: 3, held: 0 });
  expect(complaints).toEqual([]);
  await page.context().close();
}, 60_000);

it('goes on when the tab is hidden and gets no frames, and shows all of it when it is seen again', async () => {
  const { page, complaints, hide, show } = await prepared(120, '&speed=10');
  await start(page);
  await hide();
  const before = await shownStep(page);
  // Told twice a second, without a frame.
  await expect.poll(() => shownStep(page)).toBeGreaterThan(before + 20);
  await page.getByRole('link', { name: /Take the adapter/ }).waitFor({ timeout: 20_000 });
  expect(await shownStep(page)).toBe(120);
  await show();
  await page.getByRole('img', { name: /Loss by step: .* at step 120/ }).waitFor();
  expect(complaints).toEqual([]);
  await page.context().close();
}, 60_000);

it.each([
  ['frozen', () => document.dispatchEvent(new Event('freeze'))],
  ['left', () => window.dispatchEvent(new PageTransitionEvent('pagehide'))],
] as const)(
  'asks for a checkpoint when the page is %s while a run trains, and not without one',
  async (_, event) => {
    const { page, complaints } = await prepared(2000, '&speed=4');
    const checkpoint = page.getByText(/^checkpoint at step \d+$/);
    await page.evaluate(event);
    await start(page);
    // The control: what was asked for before it began, and while it went on, is no checkpoint.
    await expect.poll(() => shownStep(page)).toBeGreaterThan(8);
    expect(await checkpoint.count()).toBe(0);
    const step = await shownStep(page);
    await page.evaluate(event);
    await checkpoint.waitFor();
    expect(Number(/\d+/.exec(await checkpoint.innerText())![0])).toBeGreaterThanOrEqual(step);
    expect(complaints).toEqual([]);
    await page.context().close();
  },
  60_000,
);

it('asks before the page is left while a run trains, and lets it go when none does', async () => {
  const { page } = await prepared(2000, '&speed=4');
  let asked = 0;
  page.on('dialog', async (dialog) => {
    asked++;
    expect(dialog.type()).toBe('beforeunload');
    await dialog.dismiss();
  });
  await start(page);
  await page.close({ runBeforeUnload: true });
  await expect.poll(() => asked).toBe(1);
  expect(page.isClosed()).toBe(false);
  await page.getByRole('button', { name: /Stop and keep/ }).click();
  await page.getByRole('link', { name: /Take the adapter/ }).waitFor();
  await page.close({ runBeforeUnload: true });
  await expect.poll(() => page.isClosed()).toBe(true);
  expect(asked).toBe(1);
}, 60_000);
