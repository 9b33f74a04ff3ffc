/** Generation step by step against the training forward over the whole sequence. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { adaptedLinears, type LoraSettings } from '../../formats/lora.ts';
import type { ModelSpec } from '../../formats/model_spec.ts';
import { dryGpu } from '../device/dry_gpu.ts';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import { Random } from '../kernels/testing/random.ts';
import type { LoraOptions } from '../model/lora.ts';
import { ModelWeights } from '../model/weights.ts';
import type { TensorValues } from '../train/flat_state.ts';
import { KEEP_NONE } from '../train/kept_layers.ts';
import { RESIDENT } from '../train/paging/moments.ts';
import { randomBatch, randomWeights, richSpec, tinySpec } from '../train/testing.ts';
import { Trainer } from '../train/trainer.ts';
import { ContextFullError, Generator, MOST_PICKS, NonFiniteLogitsError, reserveGenerator } from './generator.ts';
import { LoadedAdapter } from './loaded_adapter.ts';

vi.setConfig({ testTimeout: 180_000 });

const SETTINGS = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' } satisfies LoraSettings;
const OPTIMIZER = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 0.5, loraPlusRatio: 1 };
const TOLERANCE = 1e-5;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
});
afterAll(() => gpu.dispose());

const trainerOf = (model: ModelWeights, lora: LoraOptions, adapter: ReadonlyMap<string, TensorValues> | null = null) =>
  Trainer.create(gpu, {
    ...{ model, lora, adapter, seed: 3, init: true, capacity: 128, positions: 128, keepLayers: KEEP_NONE },
    ...{ precision: 'f32', tune: null, optimizer: OPTIMIZER, moments: RESIDENT },
  });

const distance = (ours: ArrayLike<number>, theirs: ArrayLike<number>) => {
  let [difference, size] = [0, 0];
  for (let i = 0; i < theirs.length; i++) {
    difference += (ours[i] - theirs[i]) ** 2;
    size += theirs[i] ** 2;
  }
  return Math.sqrt(difference / size);
};

/** Logits behind the last of these tokens, by the forward pass that training has. */
async function lastLogits(trainer: Trainer, ids: readonly number[], vocab: number) {
  const count = ids.length;
  const logits = await trainer.logits({
    ids: Uint32Array.from(ids),
    targets: new Int32Array(count).fill(-1),
    positions: Uint32Array.from(ids.keys()),
    documents: Uint32Array.from(ids.flatMap(() => [0, count])),
    trainedTokens: 1,
  });
  return logits.subarray((count - 1) * vocab);
}

interface Case {
  readonly spec: ModelSpec;
  readonly settings?: Partial<LoraSettings>;
  readonly dora?: boolean;
}

/** A model, an adapter that a few steps have moved from its start, and the same model without one. */
async function withModel(
  { spec, settings, dora = false }: Case,
  use: (parts: { model: ModelWeights; tuned: Trainer; base: Trainer; lora: LoraOptions }) => Promise<void>,
) {
  const model = await ModelWeights.load(gpu, spec, randomWeights(spec, 1), { doubleQuant: true });
  const lora = { adapters: adaptedLinears(spec, { ...SETTINGS, ...settings }), dora, dropout: 0.1 };
  const tuned = await trainerOf(model, lora);
  for (let i = 0; i < 3; i++) await tuned.step([randomBatch([30, 17], spec.vocabSize, i)], 0.05);
  const base = await trainerOf(model, { ...lora, adapters: new Map(), dora: false });
  await use({ model, tuned, base, lora });
  tuned.dispose();
  base.dispose();
  model.dispose();
  expect(gpu.ledger.leaks()).toEqual([]);
}

const CASES: [string, Case][] = [
  // 48 inner features are no whole runs: its last linear goes the general way.
  ['a model like Llama', { spec: tinySpec() }],
  ['all that others add', { spec: richSpec() }],
  ['DoRA', { spec: tinySpec({ tiedHead: false, vocabSize: 97 }), dora: true }],
  [
    'ranks of their own, few linears',
    { spec: tinySpec(), settings: { target_modules: ['q_proj', 'v_proj', 'o_proj'], rank_pattern: { v_proj: 3 } } },
  ],
];

describe.each(CASES)('%s', (_, one) => {
  test('logits of every step are the training forward’s, base and tuned side by side', async () => {
    const { spec } = one;
    await withModel(one, async ({ model, tuned, base }) => {
      const generator = await Generator.create(gpu, { model, adapter: tuned.adapter, sequences: 3, context: 40 });
      const random = new Random(7);
      const prompts = [12, 12, 1].map((length) => [...random.integers(length, 0, spec.vocabSize)]);
      prompts[1] = prompts[0];
      const rows = prompts.map((ids, i) => ({ ids: [...ids], trainer: i === 0 ? base : tuned }));
      generator.begin(prompts.map((ids, i) => ({ ids, strength: i === 0 ? 0 : 1 })));
      // Past where the rich model's rotary embedding changes, and its window.
      for (let step = 0; step < 14; step++) {
        // The longest sequence decides what rotary embeddings there are: the short one is on its own.
        const slots = step < 12 ? [0, 1] : [2];
        const ours = await generator.logits(slots);
        for (const [i, slot] of slots.entries()) {
          const { ids, trainer } = rows[slot];
          expect(distance(ours[i], await lastLogits(trainer, ids, spec.vocabSize))).toBeLessThan(TOLERANCE);
          const next = random.integer(0, spec.vocabSize);
          ids.push(next);
          generator.push(slot, next);
        }
      }
      // Control: the adapter makes a difference.
      const [b, t] = [base, tuned].map((trainer) => lastLogits(trainer, prompts[0], spec.vocabSize));
      expect(distance(await b, await t)).toBeGreaterThan(100 * TOLERANCE);
      generator.dispose();
    });
  });
});

test('the likeliest tokens picked on the GPU are those of the logits, across several calls and another adapter of the same values', async () => {
  await withModel({ spec: richSpec() }, async ({ model, tuned, lora }) => {
    const { vocabSize } = model.spec;
    const prompts = [[5, 9, 11], [7]];
    const likeliest = (logits: Float32Array) => logits.reduce((best, x, i) => (x > logits[best] ? i : best), 0);
    const adapter = await LoadedAdapter.create(gpu, model, lora, await tuned.readAdapter());
    const expected: number[][] = [];
    for (const prompt of prompts) {
      const ids = [...prompt];
      while (ids.length < prompt.length + 30) ids.push(likeliest(await lastLogits(tuned, ids, vocabSize)));
      expected.push(ids.slice(prompt.length));
    }
    const generator = await Generator.create(gpu, { model, adapter, sequences: 2, context: 64 });
    for (const [i, prompt] of prompts.entries()) {
      generator.begin([{ ids: prompt, strength: 1 }]);
      const ours: number[] = [];
      while (ours.length < 30) ours.push(...(await generator.pickLikeliest([0], 30 - ours.length))[0]);
      expect(ours).toEqual(expected[i]);
      expect(generator.length(0)).toBe(prompt.length + 30);
      // What was picked behind the end is forgotten.
      generator.drop(0, 7);
      const [again] = await generator.pickLikeliest([0], 7);
      expect(again).toEqual(expected[i].slice(23, 23 + again.length));
    }
    generator.dispose();
    adapter.dispose();
  });
});

test('a full context and logits that are no numbers are said', async () => {
  const spec = tinySpec();
  const poison = randomWeights(spec, 1, (name, values) => {
    if (name === 'model.norm.weight') values.fill(3e38);
  });
  const model = await ModelWeights.load(gpu, spec, poison, { doubleQuant: false });
  const adapter = LoadedAdapter.none(gpu);
  const generator = await Generator.create(gpu, { model, adapter, sequences: 1, context: 64 });
  expect(() => generator.begin([{ ids: new Array(65).fill(1), strength: 0 }])).toThrow(ContextFullError);
  generator.begin([{ ids: new Array(64).fill(1), strength: 0 }]);
  await generator.logits([0]);
  generator.push(0, 1);
  await expect(generator.logits([0])).rejects.toThrow(ContextFullError);
  generator.begin([{ ids: [1], strength: 0 }]);
  await expect(generator.pickLikeliest([0], MOST_PICKS)).rejects.toThrow(NonFiniteLogitsError);
  for (const one of [generator, adapter, model]) one.dispose();
  expect(gpu.ledger.leaks()).toEqual([]);
});

test('what it takes is known before', async () => {
  const spec = richSpec();
  const model = await ModelWeights.load(gpu, spec, randomWeights(spec, 1), { doubleQuant: true });
  const adapter = LoadedAdapter.none(gpu);
  const before = gpu.ledger.byCategory();
  const generator = await Generator.create(gpu, { model, adapter, sequences: 2, context: 100 });
  generator.begin([{ ids: new Array(70).fill(1), strength: 0 }]);
  await generator.logits([0]);
  const dry = dryGpu(gpu.capabilities);
  reserveGenerator(dry, { model, adapter, sequences: 2, context: 100 }, 69);
  const predicted = dry.ledger.byCategory();
  const after = gpu.ledger.byCategory();
  expect(predicted.cache).toBe(2 * 2 * 2 * 2 * 8 * 128 * 4);
  for (const category of ['cache', 'logits'] as const) expect(after[category]).toBe(predicted[category]);
  expect((after.activations - before.activations) / predicted.activations).toBeCloseTo(1, 1);
  for (const one of [generator, adapter, model]) one.dispose();
});
