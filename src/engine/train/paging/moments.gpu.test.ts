/** Paged moments: the same numbers wherever the pages are, within their budgets, and with nothing lost on the way. */
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { adaptedLinears } from '../../../formats/lora.ts';
import { acquireGpu, type Gpu } from '../../device/gpu.ts';
import { UploadBuffer } from '../../device/host_visible.ts';
import { GpuMemoryError } from '../../device/ledger.ts';
import { limitRoom } from '../../device/testing/limited_room.ts';
import { ModelWeights } from '../../model/weights.ts';
import { type PageVersion, StorageFullError } from '../../page_store.ts';
import { KEEP_ALL } from '../kept_layers.ts';
import type { RestoredPage } from '../snapshot.ts';
import { randomBatch, randomWeights, tinySpec } from '../testing.ts';
import { Trainer, type TrainerOptions } from '../trainer.ts';
import { MemoryPageStore } from './memory_page_store.ts';
import { type MomentsOptions, RESIDENT } from './moments.ts';

vi.setConfig({ testTimeout: 180_000 });

const PAGE = { 32: 131072, 8: 33280 } as const;
const spec = tinySpec({ layers: 3 });
let gpu: Gpu;
let model: ModelWeights;

beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
  model = await ModelWeights.load(gpu, spec, randomWeights(spec, 1), { doubleQuant: true });
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(() => {
  model.dispose();
  expect(gpu.ledger.leaks()).toEqual([]);
  gpu.dispose();
});

const LORA = { r: 64, lora_alpha: 64, use_rslora: false, target_modules: 'all-linear' };

function options(moments: MomentsOptions, more: Partial<TrainerOptions> = {}): TrainerOptions {
  return {
    model,
    lora: { adapters: adaptedLinears(spec, LORA), dora: false, dropout: 0.1 },
    adapter: null,
    seed: 3,
    init: true,
    capacity: 64,
    positions: 64,
    keepLayers: KEEP_ALL,
    precision: 'f32',
    tune: null,
    optimizer: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 0.5, loraPlusRatio: 4 },
    moments,
    ...more,
  };
}

/** One that is read, one that waits, one that leaves, one that is written: whatever the budget. */
const LEAST_HOST_PAGES = 4;

/** GPU and host memory in pages. */
function paged(bits: 8 | 32, gpuPages: number, hostPages: number, store = new MemoryPageStore()): MomentsOptions {
  const paging = { pageBytes: PAGE[bits], gpuBytes: gpuPages * PAGE[bits], hostBytes: hostPages * PAGE[bits], store };
  return { bits, paging };
}

/** Windows of one, then two micro-batches. */
const windows = Array.from({ length: 6 }, (_, i) =>
  Array.from({ length: 1 + (i % 2) }, (__, j) => randomBatch([9 + i, 20], spec.vocabSize, 10 * i + j)),
);

const bitsOf = async (trainer: Trainer) =>
  [...(await trainer.readAdapter())].map(([name, { data }]) => [name, new Uint32Array(data.buffer).join()]);

interface Outcome {
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly adapter: unknown;
}

/** Trains; `between` may interfere before a step, and is told its number. */
async function train(
  moments: MomentsOptions,
  between: (trainer: Trainer, step: number) => Promise<unknown> = async () => {},
) {
  const trainer = await Trainer.create(gpu, options(moments));
  const hostBudget = moments.paging && Math.max(moments.paging.hostBytes, LEAST_HOST_PAGES * moments.paging.pageBytes);
  let [hostMost, ledgerHostMost] = [0, 0];
  try {
    const log: { lossSum: number; gradNorm: number }[] = [];
    for (const [i, window] of windows.entries()) {
      await between(trainer, i);
      await trainer.step(window, 1e-2);
      if (i % 2 === 1) log.push(...(await trainer.readLog()));
      const budget = moments.paging?.gpuBytes ?? Number.POSITIVE_INFINITY;
      expect(gpu.ledger.byCategory().optimizer).toBeLessThanOrEqual(budget);
      hostMost = Math.max(hostMost, trainer.paging?.hostBytes ?? 0);
      ledgerHostMost = Math.max(ledgerHostMost, gpu.ledger.hostBytes);
    }
    expect(hostMost).toBeGreaterThanOrEqual(ledgerHostMost);
    if (hostBudget !== null) expect(hostMost).toBeLessThanOrEqual(hostBudget);
    const outcome: Outcome = {
      losses: log.map(({ lossSum }) => lossSum),
      norms: log.map(({ gradNorm }) => gradNorm),
      adapter: await bitsOf(trainer),
    };
    return { outcome, figures: trainer.paging, state: await captured(trainer) };
  } finally {
    trainer.dispose();
  }
}

/** A snapshot with all its pages read; versions stay held. */
async function captured(trainer: Trainer) {
  const { state, pages, versions, dispose } = await trainer.snapshot();
  const read: RestoredPage[] = versions.map((version) => ({ page: version.page, bytes: null, version }));
  for await (const { page, bytes } of pages()) read.push({ page, bytes, version: null });
  dispose();
  return { state, pages: read };
}

async function* from(pages: readonly RestoredPage[]) {
  yield* pages;
}

const resident = new Map<8 | 32, Promise<Outcome>>();
const expected = (bits: 8 | 32) => {
  const known = resident.get(bits) ?? train({ ...RESIDENT, bits }).then(({ outcome }) => outcome);
  resident.set(bits, known);
  return known;
};

describe('budgets', () => {
  test.each([
    ['all resident', 32, 100, 0],
    ['half on the GPU, the rest in host memory', 32, 4, 100],
    ['two pages, the rest in host memory', 32, 2, 100],
    ['two pages, some in host memory, the rest stored', 32, 2, 4],
    ['two pages, everything else stored', 32, 2, 0],
    ['8 bits, two pages, some in host memory, the rest stored', 8, 2, 4],
  ] as const)('%s: the same numbers', async (_, bits, gpuPages, hostPages) => {
    const store = new MemoryPageStore();
    const { outcome, figures } = await train(paged(bits, gpuPages, hostPages, store));
    expect(outcome).toEqual(await expected(bits));
    expect(figures!.pages).toBeGreaterThanOrEqual(5);
    const streamed = Math.max(0, figures!.pages - Math.max(0, gpuPages - 2));
    const all = gpuPages >= figures!.pages;
    expect(figures!.bytesOut).toBe(all ? 0 : streamed * windows.length * PAGE[bits]);
    // Zeros are not copied in at the first step.
    expect(figures!.bytesIn).toBe(all ? 0 : streamed * (windows.length - 1) * PAGE[bits]);
    expect(figures!.storeWritten > 0).toBe(!all && hostPages < streamed);
  });
});

test('8 bits are not 32', async () => {
  expect((await expected(8)).losses).not.toEqual((await expected(32)).losses);
  const wide = (await expected(32)).losses;
  (await expected(8)).losses.forEach((loss, i) => {
    expect(Math.abs(loss / wide[i] - 1), `step ${i}`).toBeLessThan(0.02);
  });
});

test('budgets lowered during a run change no number', async () => {
  const moments = paged(32, 100, 100);
  const { pageBytes } = moments.paging!;
  const optimizer: number[] = [];
  const { outcome, figures } = await train(moments, async (trainer, step) => {
    if (step === 2) await trainer.lowerOptimizerBudgets({ gpuBytes: 4 * pageBytes, hostBytes: 100 * pageBytes });
    if (step === 4) await trainer.lowerOptimizerBudgets({ gpuBytes: 2 * pageBytes, hostBytes: 2 * pageBytes });
    optimizer.push(gpu.ledger.byCategory().optimizer / pageBytes);
  });
  expect(outcome).toEqual(await expected(32));
  expect(optimizer[1]).toBe(figures!.pages);
  expect(optimizer[2]).toBeLessThanOrEqual(4);
  expect(optimizer[4]).toBe(2);
  expect(figures!.storedBytes).toBeGreaterThan(0);
});

test.each([
  ['pinned, in host memory and stored', paged(32, 3, 4)],
  ['all resident', RESIDENT],
])('what was captured goes on to the same numbers, with other budgets too: %s', async (_, moments) => {
  let kept: Awaited<ReturnType<typeof captured>> | undefined;
  const { outcome } = await train(moments, async (trainer, step) => {
    if (step === 3) kept = await captured(trainer);
  });
  const { state, pages } = kept!;
  expect(state.steps).toBe(3);
  const budgets = moments.paging ? { ...moments.paging, gpuBytes: 2 * PAGE[32], hostBytes: 100 * PAGE[32] } : null;
  const trainer = await Trainer.create(gpu, options({ ...moments, paging: budgets }));
  await trainer.restore(state, from(pages));
  for (const window of windows.slice(3)) await trainer.step(window, 1e-2);
  const log = await trainer.readLog();
  expect(log.map(({ lossSum }) => lossSum)).toEqual(outcome.losses.slice(3));
  expect(log.map(({ step }) => step)).toEqual([4, 5, 6]);
  expect(await bitsOf(trainer)).toEqual(outcome.adapter);
  trainer.dispose();
});

test('a store that is full stops the run between two steps with nothing lost: it goes on when there is room', async () => {
  class FullStore extends MemoryPageStore {
    full = false;
    override async write(page: string, bytes: Uint8Array<ArrayBuffer>): Promise<PageVersion> {
      if (this.full) throw new StorageFullError('the disk is full');
      return super.write(page, bytes);
    }
  }
  const store = new FullStore();
  const { outcome } = await train(paged(32, 2, 0, store), async (trainer, step) => {
    if (step !== 3) return;
    store.full = true;
    await trainer.step([randomBatch([5], spec.vocabSize, 1)], 0);
    await trainer.readLog();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await expect(trainer.step(windows[3], 1e-2)).rejects.toThrow(StorageFullError);
    store.full = false;
  });
  const control = await train(paged(32, 2, 0), async (trainer, step) => {
    if (step !== 3) return;
    await trainer.step([randomBatch([5], spec.vocabSize, 1)], 0);
    await trainer.readLog();
  });
  expect(outcome).toEqual(control.outcome);
});

test('a trainer that is disposed of leaves no version behind', async () => {
  const store = new MemoryPageStore();
  const { state } = await train(paged(32, 2, 0, store));
  await vi.waitFor(() => {
    expect(store.versions).toBe(state.pages.filter(({ version }) => version).length);
  });
});

describe('pages on their way', () => {
  test('a step waits for a page that has left the GPU and is not back yet; stale bytes would be noticed', async () => {
    const moments = paged(32, 2, 100);
    const map = GPUBuffer.prototype.mapAsync;
    vi.spyOn(GPUBuffer.prototype, 'mapAsync').mockImplementation(async function (this: GPUBuffer, mode, ...rest) {
      await map.call(this, mode, ...rest);
      if (mode === GPUMapMode.READ) await new Promise((resolve) => setTimeout(resolve, 40));
    });
    expect((await train(moments)).outcome).toEqual(await expected(32));
    vi.restoreAllMocks();
    // As if a page's bytes of the step before were taken.
    const before = new Map<UploadBuffer, Uint8Array>();
    const fill = UploadBuffer.prototype.fill;
    vi.spyOn(UploadBuffer.prototype, 'fill').mockImplementation(function (this: UploadBuffer, bytes) {
      const stale = before.get(this);
      before.set(this, bytes.slice());
      return fill.call(this, stale ?? bytes);
    });
    const { losses, norms } = (await train(moments)).outcome;
    const right = await expected(32);
    expect(losses.slice(0, 2)).toEqual(right.losses.slice(0, 2));
    expect([losses, norms]).not.toEqual([right.losses, right.norms]);
  });

  test.each([
    ['fewer buffers to leave through than pages: the next page waits', 9],
    ['as many as pages', 100],
  ])('%s', async (_, hostPages) => {
    const { outcome, figures } = await train(paged(32, 2, hostPages));
    expect(outcome).toEqual(await expected(32));
    const { pages, pageBytes, hostBytes, storedBytes } = figures!;
    expect(storedBytes).toBe(0);
    expect(hostBytes / pageBytes).toBe(Math.min(2 * pages, hostPages));
  });

  test.each([
    ['as out of memory', 'device'],
    ['at once', 'browser'],
  ])('host memory that the GPU cannot copy from, told %s, is done without: the same numbers', async (_, how) => {
    const create = gpu.device.createBuffer.bind(gpu.device);
    const pop = gpu.device.popErrorScope.bind(gpu.device);
    let refused = 0;
    let pending = 0;
    vi.spyOn(gpu.device, 'createBuffer').mockImplementation((descriptor) => {
      // The first two ways out are made before there is a step.
      if (!/^pages/.test(descriptor.label ?? '') || ++refused <= 2) return create(descriptor);
      if (how === 'browser') throw new RangeError('injected');
      pending++;
      return create(descriptor);
    });
    vi.spyOn(gpu.device, 'popErrorScope').mockImplementation(async () => {
      const injected = pending > 0 ? new GPUOutOfMemoryError('injected') : null;
      pending = 0;
      return (await pop()) ?? injected;
    });
    const { outcome, figures } = await train(paged(32, 2, 100));
    expect(refused).toBeGreaterThan(2);
    expect(outcome).toEqual(await expected(32));
    const { pages, pageBytes, hostBytes } = figures!;
    expect(hostBytes).toBe((pages + 2) * pageBytes);
  });
});

describe('a device without room', () => {
  async function used(): Promise<number> {
    const taken = limitRoom(gpu, Number.POSITIVE_INFINITY);
    const trainer = await Trainer.create(gpu, options(paged(32, 100, 100)));
    const bytes = taken();
    trainer.dispose();
    vi.restoreAllMocks();
    return bytes;
  }

  test('pages more when a run begins, to the same numbers; with room it does not', async () => {
    const all = await used();
    limitRoom(gpu, all);
    const control = await train(paged(32, 100, 100));
    expect(control.figures!.bytesOut).toBe(0);
    vi.restoreAllMocks();
    limitRoom(gpu, all - 2 * PAGE[32]);
    const { outcome, figures } = await train(paged(32, 100, 100));
    expect(outcome).toEqual(await expected(32));
    expect(figures!.bytesOut).toBeGreaterThan(0);
  });

  test('says what to change when moments may not be paged', async () => {
    limitRoom(gpu, 4 * PAGE[32]);
    const making = Trainer.create(gpu, options(RESIDENT));
    await expect(making).rejects.toThrow(GpuMemoryError);
    await expect(making).rejects.toThrow(/smaller r/);
  });

  test('pages more for a probe in the middle of a run, to the same numbers', async () => {
    const { outcome, figures } = await train(paged(32, 100, 100), async (trainer, step) => {
      if (step !== 3) return;
      const pop = gpu.device.popErrorScope.bind(gpu.device);
      vi.spyOn(gpu.device, 'popErrorScope').mockImplementationOnce(async () => {
        await pop();
        return new GPUOutOfMemoryError('injected');
      });
      await trainer.logits(randomBatch([7], spec.vocabSize, 2));
    });
    expect(outcome).toEqual(await expected(32));
    expect(figures!.bytesOut).toBeGreaterThan(0);
  });
});
