/** What is predicted, against what the ledger then says. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { adaptedLinears, type LoraSettings } from '../../formats/lora.ts';
import type { ModelSpec } from '../../formats/model_spec.ts';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import { quantizedSource } from '../model/testing.ts';
import { ModelWeights } from '../model/weights.ts';
import { KEEP_ALL, KEEP_NONE, type KeepLayers } from './kept_layers.ts';
import { type MomentsOptions, RESIDENT } from './paging/moments.ts';
import { predictMemory } from './predict_memory.ts';
import { randomBatch, randomWeights, tinySpec } from './testing.ts';
import { Trainer } from './trainer.ts';

vi.setConfig({ testTimeout: 180_000 });

let gpu: Gpu;
let weak: Gpu;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
  weak = await acquireGpu(navigator.gpu, { defaultLimits: true });
});
afterAll(() => {
  gpu.dispose();
  weak.dispose();
});

const LORA: NonNullable<Case['lora']> = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' };

interface Case {
  readonly spec?: ModelSpec;
  readonly doubleQuant?: boolean;
  readonly lora?: LoraSettings & { readonly use_dora?: boolean; readonly dropout?: number };
  readonly capacity?: number;
  readonly keep?: KeepLayers;
  readonly loraPlusRatio?: number;
  readonly device?: () => Gpu;
  readonly tablesInBytes?: boolean;
  readonly moments?: MomentsOptions;
  readonly stored?: 'f16';
  /** Linears of a checkpoint in 4 bits that are not. */
  readonly floats?: readonly string[];
}

/** Kernels of their own to compile, and little that the others do not say. */
const LONG: [string, Case][] = [
  [
    'few linears, ranks of their own',
    { lora: { ...LORA, target_modules: ['q_proj', 'down_proj'], rank_pattern: { q_proj: 9 } } },
  ],
  ['DoRA with dropout', { lora: { ...LORA, use_dora: true, dropout: 0.1 } }],
  ['a large vocabulary at default limits', { spec: tinySpec({ vocabSize: 50_000 }), device: () => weak }],
  ['what fits a budget', { spec: tinySpec({ layers: 6 }), capacity: 512, keep: { bytes: 3_000_000 } }],
];

test.each<[string, Case]>([
  ['all linears', {}],
  [
    'a head of its own, f32 absmax, a longer batch',
    { spec: tinySpec({ tiedHead: false }), doubleQuant: false, capacity: 700 },
  ],
  ['DoRA and LoRA+', { lora: { ...LORA, use_dora: true }, loraPlusRatio: 4 }],
  ['all layers recomputed', { spec: tinySpec({ layers: 5 }), keep: KEEP_NONE }],
  ['all that the device may hold', { spec: tinySpec({ layers: 6 }), capacity: 512, keep: { totalBytes: 4_000_000 } }],
  ['activations in 16 bits', { stored: 'f16', lora: { ...LORA, use_dora: true, dropout: 0.1 } }],
  ['moments in 8 bits', { moments: { bits: 8, paging: null } }],
  [
    'moments in pages that pass through host memory',
    {
      spec: tinySpec({ layers: 4 }),
      moments: {
        bits: 32,
        paging: { pageBytes: 131072, gpuBytes: 3 * 131072, hostBytes: Number.POSITIVE_INFINITY, store: null },
      },
    },
  ],
  ['tables in 8 bits', { spec: tinySpec({ tiedHead: false }), tablesInBytes: true }],
  [
    'some linears in 16 bits',
    { spec: tinySpec({ layers: 3 }), floats: ['model.layers.0.mlp.down_proj', 'model.layers.2.self_attn.k_proj'] },
  ],
  ...(import.meta.env.NIBBLE_FULL ? LONG : []),
])('%s: the same bytes', async (_, one) => {
  const {
    spec = tinySpec(),
    doubleQuant = true,
    lora = LORA,
    capacity = 100,
    keep = KEEP_ALL,
    loraPlusRatio = 1,
    tablesInBytes = false,
    moments = RESIDENT,
    floats: paths,
  } = one;
  const device = one.device?.() ?? gpu;
  const run = {
    lora: { adapters: adaptedLinears(spec, lora), dora: lora.use_dora ?? false, dropout: lora.dropout ?? 0 },
    ...{ capacity, positions: capacity, precision: 'f32' as const, stored: one.stored },
  };
  const floats = paths && { dtype: 'BF16' as const, paths };
  const model = { spec, doubleQuant, floats, tableDtype: tablesInBytes ? ('I8' as const) : ('F32' as const) };
  const predicted = predictMemory(device.capabilities, model, { ...run, keep, loraPlusRatio, moments });
  const source = paths ? (await quantizedSource(device, spec, paths)).source : randomWeights(spec, 1);
  const weights = await ModelWeights.load(device, spec, source, { doubleQuant, tablesInBytes });
  expect(device.ledger.byCategory()).toEqual(predictMemory(device.capabilities, model, null).bytes);
  const trainer = await Trainer.create(device, {
    ...run,
    ...{ model: weights, adapter: null, seed: 1, init: true, keepLayers: keep, tune: null, moments },
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1, loraPlusRatio },
  });
  expect(device.ledger.byCategory()).toEqual(predicted.bytes);
  expect(trainer.keptActivations.layers).toBe(predicted.keptLayers);
  await trainer.step([randomBatch([9, 30], 96, 5)], 1e-3);
  await trainer.readLog();
  // Dispatches that turn out to take long get parameters of their own.
  expect(device.ledger.total() / predicted.total).toBeLessThan(1.05);
  trainer.dispose();
  weights.dispose();
  expect(device.ledger.leaks()).toEqual([]);
});
