/** What is predicted for a run of the studio, and what is offered where it is too much. */
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { assumedMemoryBytes } from '../engine/device/allocation.ts';
import type { Capabilities } from '../engine/device/capabilities.ts';
import type { ModelMemory } from '../engine/train/predict_memory.ts';
import { parseModelConfig } from '../formats/model_config.ts';
import { parseRunConfig, type TrainingConfig } from '../formats/run_config.ts';
import { runDiskBytes } from './room.ts';
import { cachedModelBytes, heldAs, memoryRemedy, predictStudioRun } from './studio_prediction.ts';

// A prediction takes a fraction of a second of an idle core.
vi.setConfig({ testTimeout: 30_000 });

// What a browser defines beside WebGPU.
beforeAll(() => {
  Object.assign(globalThis, { GPUBufferUsage: { COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 } });
});

/** A page may count on 2 GiB of it. */
const SMALL: Capabilities = {
  name: 'a small GPU',
  features: [],
  enabled: [],
  subgroupMatrixConfigs: [],
  software: false,
  subgroupSize: null,
  workgroupStorageBytes: 16384,
  maxBindingBytes: 2 ** 28,
  maxBufferBytes: 2 ** 30,
};
const ROOM = assumedMemoryBytes(SMALL.maxBufferBytes);

const llama = (hidden: number, ffn: number, layers: number, heads: number, vocab: number): ModelMemory => ({
  spec: parseModelConfig({
    model_type: 'llama',
    ...{ hidden_size: hidden, intermediate_size: ffn, num_hidden_layers: layers, vocab_size: vocab },
    ...{ num_attention_heads: heads, num_key_value_heads: heads, tie_word_embeddings: true },
  }),
  doubleQuant: true,
  tableDtype: 'BF16',
});
const SMOL = llama(576, 1536, 30, 9, 49152);
const LARGE = llama(4096, 14336, 16, 32, 49152);

const run = (training: Partial<TrainingConfig>, r = 16) => {
  const { lora, training: rest } = parseRunConfig({ model: '', data: '', lora: { r }, training });
  return { lora, training: rest };
};

const predict = (model: ModelMemory, what: ReturnType<typeof run>) => predictStudioRun(SMALL, model, what, null);

function remedy(model: ModelMemory, what: ReturnType<typeof run>) {
  const predicted = predict(model, what);
  const found = memoryRemedy(SMALL, model, what, null, predicted);
  if (!found?.settings) return { found, after: null };
  const { weight_memory_budget: budget = model.budget, ...moments } = found.settings;
  const after = predict({ ...model, budget }, { ...what, training: { ...what.training, ...moments } });
  return { found, after };
}

const SHORT = { max_length: 256 } as const;

it('falls with the budgets, by category', () => {
  const paged = { ...SHORT, optim: 'paged_adamw_32bit', optimizer_memory_budget: 10e6 } as const;
  const all = predict(SMOL, run(SHORT));
  const less = predict(SMOL, run(paged));
  expect(less.bytes.optimizer).toBeLessThanOrEqual(10e6);
  expect(all.bytes.optimizer).toBeGreaterThan(30e6);
  expect(less.moments!.hostBytes).toBeGreaterThan(all.bytes.optimizer - 10e6);
  const budget = Math.round(all.bytes.weights * 0.7);
  const streamed = predict({ ...SMOL, budget }, run(SHORT));
  expect(streamed.bytes.weights).toBeLessThanOrEqual(budget);
  expect(streamed.bytes.weights).toBeGreaterThan(0.9 * budget);
  expect(streamed.layersHostBytes).toBeGreaterThan(all.bytes.weights - budget);
  // The cache has all of it, whatever the GPU has.
  const held = { weight_memory_budget: budget, embeddings_in_8bit: false, bnb_4bit_use_double_quant: true } as never;
  expect(cachedModelBytes(SMALL, heldAs({ memory: SMOL, stored: false }, held))).toBeCloseTo(all.bytes.weights, -6);
});

it('needs the disk for three checkpoints, and for pages beyond both budgets', () => {
  const data = null;
  const { moments } = predict(SMOL, run(SHORT));
  const resident = runDiskBytes({ moments }, { save_strategy: 'steps', data });
  expect(resident).toBe(3 * moments!.checkpointBytes);
  const budgets = { optimizer_memory_budget: 20e6, optimizer_host_memory_budget: 0 };
  const paged = predict(SMOL, run({ ...SHORT, optim: 'paged_adamw_32bit', ...budgets }));
  expect(runDiskBytes(paged, { save_strategy: 'steps', data })).toBeGreaterThan(resident);
  expect(runDiskBytes(paged, { save_strategy: 'no', data })).toBe(paged.moments!.storedBytes);
  expect(runDiskBytes({ moments }, { save_strategy: 'no', data })).toBe(0);
  const part = (...lengths: number[]) => ({ lengths: Uint32Array.from(lengths), load: () => Promise.reject() });
  const known = { training: part(3, 4), validation: part(5), longest: 5 };
  expect(runDiskBytes({ moments }, { save_strategy: 'steps', data: known })).toBe(resident + 4 * (12 + 5));
});

describe('more than a page may count on', () => {
  it('is not said of what fits', () => {
    expect(remedy(SMOL, run(SHORT))).toEqual({ found: null, after: null });
  });

  it('pages the moments where that is enough', () => {
    const { found, after } = remedy(SMOL, run(SHORT, 512));
    expect(found).toMatchObject({ roomBytes: ROOM, settings: { optim: 'paged_adamw_32bit' } });
    expect(found!.neededBytes).toBeGreaterThan(ROOM);
    expect(found!.settings).not.toHaveProperty('weight_memory_budget');
    expect(after!.total / ROOM).toBeLessThan(1.03);
  });

  it('keeps 8 bits in 8 bits', () => {
    const { found } = remedy(SMOL, run({ ...SHORT, optim: 'adamw_8bit' }, 704));
    expect(found?.settings?.optim).toBe('paged_adamw_8bit');
  });

  it('streams layers where moments are not what is too much', () => {
    const { found, after } = remedy(LARGE, run(SHORT, 4));
    expect(Object.keys(found!.settings!)).toEqual(['weight_memory_budget']);
    expect(after!.total / ROOM).toBeLessThan(1.03);
  });

  it('does both where it takes both', () => {
    const { found, after } = remedy(LARGE, run(SHORT, 64));
    expect(Object.keys(found!.settings!).sort()).toEqual(['optim', 'optimizer_memory_budget', 'weight_memory_budget']);
    expect(after!.total / ROOM).toBeLessThan(1.03);
  });

  it('says so where not even that is enough', () => {
    const { found } = remedy(SMOL, run({ max_length: 4096, per_device_train_batch_size: 4 }));
    expect(found).toMatchObject({ settings: null });
  });
});
