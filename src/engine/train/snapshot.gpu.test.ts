/** A run that goes on from a snapshot computes what it would have computed, to the bit; the one it was taken of too. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { adaptedLinears, type LoraSettings } from '../../formats/lora.ts';
import type { ModelSpec } from '../../formats/model_spec.ts';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import { ModelWeights } from '../model/weights.ts';
import { KEEP_ALL } from './kept_layers.ts';
import { type RestoredPage, SnapshotMismatchError, type StatePage } from './snapshot.ts';
import { randomBatch, randomWeights, tinySpec } from './testing.ts';
import { Trainer, type TrainerOptions } from './trainer.ts';

vi.setConfig({ testTimeout: 180_000 });

const RATE = 1e-2;
const OPTIMIZER = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 0.5, loraPlusRatio: 4 };
const LORA = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' } satisfies LoraSettings;

/** The longest comes before the snapshot: a dynamic RoPE remembers it. */
const windows = [
  [randomBatch([9, 30, 1, 17], 96, 5), randomBatch([90], 96, 6)],
  [randomBatch([3, 40, 50], 96, 7)],
  [randomBatch([70], 96, 8), randomBatch([2, 65], 96, 9)],
  [randomBatch([60], 96, 10)],
];

function dynamicSpec(): ModelSpec {
  const spec = tinySpec();
  const [rope] = spec.ropes;
  return { ...spec, ropes: [{ ...rope, long: { kind: 'dynamic', beyond: 20, factor: 4, theta: 10000 } }] };
}

let gpu: Gpu;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
});
afterAll(() => gpu.dispose());

async function withTrainer<T>(
  {
    spec = tinySpec(),
    lora = LORA,
    ...settings
  }: Partial<Omit<TrainerOptions, 'lora'>> & {
    spec?: ModelSpec;
    lora?: LoraSettings & { readonly use_dora?: boolean; readonly dropout?: number };
  },
  use: (trainer: Trainer) => Promise<T>,
): Promise<T> {
  const model = await ModelWeights.load(gpu, spec, randomWeights(spec, 1), { doubleQuant: true });
  const { use_dora: dora = false, dropout = 0 } = lora;
  const trainer = await Trainer.create(gpu, {
    lora: { adapters: adaptedLinears(spec, lora), dora, dropout },
    adapter: null,
    seed: 3,
    init: true,
    capacity: 128,
    positions: 128,
    keepLayers: KEEP_ALL,
    precision: 'f32',
    tune: null,
    optimizer: OPTIMIZER,
    moments: { bits: 32, paging: null },
    ...settings,
    model,
  });
  try {
    return await use(trainer);
  } finally {
    trainer.dispose();
    model.dispose();
    expect(gpu.ledger.leaks()).toEqual([]);
  }
}

async function outcome(trainer: Trainer, rest: typeof windows) {
  for (const window of rest) await trainer.step(window, RATE);
  const adapter = [...(await trainer.readAdapter())].map(([name, { data }]) => [
    name,
    [...new Uint32Array(data.buffer)],
  ]);
  return { log: await trainer.readLog(), adapter };
}

async function* from(pages: readonly StatePage[]): AsyncGenerator<RestoredPage> {
  for (const page of pages) yield { ...page, version: null };
}

describe('goes on to the bit', () => {
  test.each([
    ['LoRA with dropout', { lora: { ...LORA, dropout: 0.3 } }],
    ['DoRA with dropout', { lora: { ...LORA, use_dora: true, dropout: 0.3 } }],
    ['a RoPE that remembers', { spec: dynamicSpec() }],
  ])('%s', async (_, settings) => {
    const whole = await withTrainer(settings, (trainer) => outcome(trainer, windows));
    const { state, pages, going } = await withTrainer(settings, async (trainer) => {
      for (const window of windows.slice(0, 2)) await trainer.step(window, RATE);
      const snapshot = await trainer.snapshot();
      // Training goes on before a page is read.
      const going = await outcome(trainer, windows.slice(2));
      const pages: StatePage[] = [];
      for await (const page of snapshot.pages()) pages.push(page);
      snapshot.dispose();
      return { state: JSON.parse(JSON.stringify(snapshot.state)), pages, going };
    });
    expect(going).toEqual(whole);
    const resumed = await withTrainer(settings, async (trainer) => {
      await trainer.restore(state, from(pages));
      return outcome(trainer, windows.slice(2));
    });
    expect(resumed.adapter).toEqual(whole.adapter);
    expect(resumed.log).toEqual(whole.log.slice(2));
    // The control: without its moments it would not have been the same.
    const without = await withTrainer(settings, async (trainer) => {
      const blank = pages.map(({ page, bytes }) => ({
        page,
        bytes: page.startsWith('moment') ? new Uint8Array(bytes.length) : bytes,
      }));
      await trainer.restore(state, from(blank));
      return outcome(trainer, windows.slice(2));
    });
    expect(without.adapter).not.toEqual(whole.adapter);
  });
});

test('refuses pages of another adapter, and too few', async () => {
  const { state, pages } = await withTrainer({}, async (trainer) => {
    await trainer.step(windows[0], RATE);
    const snapshot = await trainer.snapshot();
    const pages: StatePage[] = [];
    for await (const page of snapshot.pages()) pages.push(page);
    snapshot.dispose();
    return { state: snapshot.state, pages };
  });
  const [first, ...rest] = pages;
  const refused = [
    [state, rest],
    [{ ...state, bankBytes: [65536 * 99] }, pages],
    [state, [{ ...first, bytes: first.bytes.slice(4) }, ...rest]],
  ] as const;
  for (const [stored, damaged] of refused) {
    await withTrainer({}, async (trainer) => {
      await expect(trainer.restore(stored, from(damaged))).rejects.toThrow(SnapshotMismatchError);
    });
  }
  await withTrainer({}, (trainer) => trainer.restore(state, from(pages)));
});
