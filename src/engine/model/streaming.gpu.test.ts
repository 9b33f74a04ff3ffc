/** Layers that pass through slots: the same numbers as with all of them on the GPU, within the budget of their bytes. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { adaptedLinears } from '../../formats/lora.ts';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import { GpuMemoryError } from '../device/ledger.ts';
import { KEEP_ALL, KEEP_NONE, type KeepLayers } from '../train/kept_layers.ts';
import { RESIDENT } from '../train/paging/moments.ts';
import { predictMemory } from '../train/predict_memory.ts';
import { randomBatch, randomWeights, tinySpec } from '../train/testing.ts';
import { Trainer } from '../train/trainer.ts';
import { type SectionReader, type WeightCache, WeightCacheError } from '../weight_cache.ts';
import type { WeightSource } from '../weight_source.ts';
import { NonFiniteWeightsError } from './float_tensor.ts';
import { layerLayouts } from './layer_layout.ts';
import { SLABS_ON_THE_WAY } from './slabs.ts';
import { quantizedSource } from './testing.ts';
import { ModelWeights, WeightBudgetError } from './weights.ts';

vi.setConfig({ testTimeout: 180_000 });

const LAYERS = 5;
const spec = tinySpec({ layers: LAYERS });
const slab = layerLayouts(spec, { doubleQuant: true })[0].words * 4;
/** Embedding and final norm. */
const tables = 4 * spec.hiddenSize * (spec.vocabSize + 1);
const budget = (slots: number) => tables + slots * slab;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
});
afterAll(() => gpu.dispose());

interface Settings {
  readonly slots: number | null;
  /** Instead of so many slots. */
  readonly bytes?: number;
  readonly source?: WeightSource;
  readonly keep?: KeepLayers;
  readonly dora?: boolean;
  /** Loaded from it. */
  readonly cache?: SectionCache;
  readonly hostBudget?: number;
}

async function train(settings: Settings) {
  const { slots, bytes, source = randomWeights(spec, 1), keep = KEEP_ALL, dora = false, cache, hostBudget } = settings;
  const lora = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' };
  const options = {
    ...{ doubleQuant: true, hostBudget },
    budget: bytes ?? (slots === null ? undefined : budget(slots)),
  };
  const model = cache?.complete
    ? await ModelWeights.fromCache(gpu, spec, cache, { ...options, quantType: 'nf4', tableDtype: 'F32' })
    : await ModelWeights.load(gpu, spec, source, { ...options, cache });
  const { weights } = gpu.ledger.byCategory();
  const trainer = await Trainer.create(gpu, {
    ...{ model, lora: { adapters: adaptedLinears(spec, lora), dora, dropout: 0 }, adapter: null, seed: 3, init: true },
    ...{ capacity: 64, positions: 64, keepLayers: keep, precision: 'f32', tune: null, moments: RESIDENT },
    optimizer: { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1, loraPlusRatio: 1 },
  });
  try {
    const probe = await trainer.logits(randomBatch([7], spec.vocabSize, 2));
    for (let i = 0; i < 3; i++) {
      const window = [randomBatch([9 + i, 20], spec.vocabSize, i), randomBatch([30], spec.vocabSize, 10 + i)];
      await trainer.step(window, 1e-2);
    }
    cache?.opened();
    const before = model.streaming?.bytesIn ?? 0;
    await trainer.step([randomBatch([40], spec.vocabSize, 20)], 1e-2);
    const stepBytes = (model.streaming?.bytesIn ?? 0) - before;
    const { lossSum } = await trainer.evaluate([randomBatch([12], spec.vocabSize, 3)]);
    const log = await trainer.readLog();
    const adapter = [...(await trainer.readAdapter())].map(([name, { data }]) => [
      name,
      new Uint32Array(data.buffer).join(),
    ]);
    const { hostBytes } = gpu.ledger;
    return { numbers: { probe, lossSum, log, adapter }, weights, stepBytes, hostBytes, slots: model.slots.count };
  } finally {
    trainer.dispose();
    model.dispose();
    expect(gpu.ledger.leaks()).toEqual([]);
  }
}

/** A cache whose sections can be read after it is closed. */
class SectionCache implements WeightCache {
  readonly sections = new Map<string, Uint8Array<ArrayBuffer>>();
  complete = false;
  /** Readers that are open, and what they have read since training began. */
  open = 0;
  reads: string[] = [];
  opened() {
    this.complete = true;
    this.reads = [];
  }
  async read(section: string) {
    return this.sections.get(section)?.slice() ?? null;
  }
  async write(section: string, bytes: Uint8Array<ArrayBuffer>) {
    this.sections.set(section, bytes.slice());
  }
  async reader(): Promise<SectionReader> {
    this.open++;
    return {
      has: (section) => this.sections.has(section),
      read: async (section) => {
        this.reads.push(section);
        // As a disk would, not at once.
        await new Promise((resolve) => setTimeout(resolve, 1));
        return this.sections.get(section)!.slice();
      },
      close: async () => {
        this.open--;
      },
    };
  }
}

let allThere: ReturnType<typeof train> | undefined;
/** With all layers on the GPU. */
const resident = () => {
  allThere ??= train({ slots: null });
  return allThere;
};

describe('layers beyond the host budget', () => {
  test('come from the cache, to the same numbers: when it is written, and when it is read', async () => {
    const { numbers } = await resident();
    const cache = new SectionCache();
    for (const source of ['made', 'cached']) {
      const streamed = await train({ slots: 2, cache, hostBudget: 0 });
      expect(streamed.numbers, source).toEqual(numbers);
      expect(new Set(cache.reads).size, source).toBe(LAYERS);
      expect(streamed.hostBytes, source).toBeLessThanOrEqual(SLABS_ON_THE_WAY * slab);
      expect(cache.open).toBe(0);
    }
    // Control: with room for all of them nothing is read.
    const kept = await train({ slots: 2, cache });
    expect(kept.numbers).toEqual(numbers);
    expect([cache.reads, kept.hostBytes]).toEqual([[], LAYERS * slab]);
  });

  test('that the cache no longer has whole end in a named error', async () => {
    const cache = new SectionCache();
    await train({ slots: 2, cache, hostBudget: 0 });
    const read = cache.read.bind(cache);
    // Cut after it was loaded and checked.
    cache.read = async (section) => {
      const bytes = await read(section);
      if (section === 'layer/3') cache.sections.set(section, bytes!.slice(0, -4));
      return bytes;
    };
    const cut = train({ slots: 2, cache, hostBudget: 0 });
    await expect(cut).rejects.toThrow(WeightCacheError);
    await expect(cut).rejects.toThrow(/layer\/3/);
    expect(cache.open).toBe(0);
    expect(gpu.ledger.leaks()).toEqual([]);
  });
});

test('a host without memory that the GPU copies from streams plain bytes, to the same numbers', async () => {
  const { numbers } = await resident();
  const create = gpu.device.createBuffer.bind(gpu.device);
  vi.spyOn(gpu.device, 'createBuffer').mockImplementation((descriptor) => {
    if (/in host memory|through host memory/.test(descriptor.label ?? '')) throw new RangeError('injected');
    return create(descriptor);
  });
  try {
    const cache = new SectionCache();
    for (const settings of [{}, { cache, hostBudget: 0 }]) {
      const streamed = await train({ slots: 2, ...settings });
      expect(streamed).toMatchObject({ numbers, hostBytes: 0, slots: 2 });
    }
  } finally {
    vi.restoreAllMocks();
  }
});

const LAYERS_AGAIN: [string, Omit<Settings, 'slots'>] = [
  'layers computed again, DoRA',
  { keep: KEEP_NONE, dora: true },
];

test.each<[string, Omit<Settings, 'slots'>]>([
  ['all activations kept', {}],
  ...(import.meta.env.NIBBLE_FULL ? [LAYERS_AGAIN] : []),
])('%s: two slots, three or all: the same numbers', async (_, settings) => {
  const all = settings.dora ? await train({ slots: null, ...settings }) : await resident();
  expect(all.slots).toBe(LAYERS);
  for (const slots of settings.dora ? [2] : [2, 3]) {
    const streamed = await train({ slots, ...settings });
    expect(streamed.slots).toBe(slots);
    expect(streamed.weights).toBeLessThanOrEqual(budget(slots));
    expect(streamed.numbers).toEqual(all.numbers);
    // Up and down, and what is there at the turns is not fetched again; DoRA's norms go up once more.
    if (!settings.dora) expect(streamed.stepBytes).toBe(2 * (LAYERS - slots) * slab);
  }
  const roomy = await train({ slots: LAYERS + 1, ...settings });
  expect(roomy.numbers).toEqual(all.numbers);
  expect(roomy.stepBytes).toBe(0);
});

test('a source in 4 bits is read whenever a layer comes, to the same numbers', async () => {
  const { source, reads } = await quantizedSource(gpu, spec);
  const { numbers } = await resident();
  const streamed = await train({ slots: 2, source });
  expect(streamed.numbers).toEqual(numbers);
  expect(reads.get('model.layers.2.mlp.down_proj.weight')).toBeGreaterThan(8);
});

const FLOATS = ['1.mlp.down_proj', '3.self_attn.q_proj', '4.mlp.gate_proj', '4.self_attn.o_proj'].map(
  (path) => `model.layers.${path}`,
);

const IN_FLOATS = { doubleQuant: true, floats: { dtype: 'BF16' as const, paths: FLOATS } };
const SIZES = layerLayouts(spec, IN_FLOATS).map(({ words }) => words * 4);
/** Bytes of the weights where each slot fits the largest of the layers that go through it. */
const THREE = tables + Math.max(SIZES[0], SIZES[3]) + Math.max(SIZES[1], SIZES[4]) + SIZES[2];
const TWO = tables + Math.max(SIZES[0], SIZES[2], SIZES[4]) + Math.max(SIZES[1], SIZES[3]);

test.runIf(import.meta.env.NIBBLE_FULL)(
  'layers with linears in floats pass through slots that fit the largest of theirs',
  async () => {
    expect(new Set(SIZES).size).toBe(4);
    const { source } = await quantizedSource(gpu, spec, FLOATS);
    const all = await train({ slots: null, source });
    expect(all.weights).toBe(SIZES.reduce((sum, bytes) => sum + bytes, tables));
    const streamed = await train({ slots: null, bytes: THREE - 1, source });
    expect(streamed).toMatchObject({ slots: 2, weights: TWO, numbers: all.numbers });
    const predicted = (budget?: number) =>
      predictMemory(gpu.capabilities, { spec, ...IN_FLOATS, tableDtype: 'F32', budget }, null).bytes.weights;
    expect([predicted(), predicted(THREE), predicted(THREE - 1)]).toEqual([all.weights, THREE, TWO]);
  },
);

test('elements that are not numbers are found when their layer comes', async () => {
  const { source } = await quantizedSource(gpu, spec, FLOATS);
  const broken: WeightSource = {
    ...source,
    async read(name, begin, end) {
      const bytes = await source.read(name, begin, end);
      if (name.includes('layers.4.mlp.gate')) bytes.set([0x80, 0x7f], 2);
      return bytes;
    },
  };
  await expect(train({ slots: null, bytes: TWO, source: broken })).rejects.toThrow(NonFiniteWeightsError);
  await expect(train({ slots: null, source: broken })).rejects.toThrow(
    /layers\.4\.mlp\.gate_proj\.weight contains NaN/,
  );
  expect(gpu.ledger.leaks()).toEqual([]);
});

test('scales that are not numbers are found when their layer comes', async () => {
  const { source } = await quantizedSource(gpu, spec);
  const scales = source.scales!.bind(source);
  const broken: WeightSource = {
    ...source,
    async scales(name, ...rest) {
      const found = await scales(name, ...rest);
      if (name.includes('layers.4.')) found.nested!.absmax[0] = Number.NaN;
      return found;
    },
  };
  await expect(train({ slots: 2, source: broken })).rejects.toThrow(NonFiniteWeightsError);
  await expect(train({ slots: null, source: broken })).rejects.toThrow(NonFiniteWeightsError);
});

test('a budget that two layers do not fit is refused with what would', async () => {
  await expect(train({ slots: 1.9 })).rejects.toThrow(WeightBudgetError);
  await expect(train({ slots: 1.9 })).rejects.toThrow(/two layers need .*weight_memory_budget/);
  expect(gpu.ledger.leaks()).toEqual([]);
});

test('memory is predicted to the byte', async () => {
  const source = randomWeights(spec, 1);
  const model = await ModelWeights.load(gpu, spec, source, { doubleQuant: true, budget: budget(3) });
  const { bytes } = predictMemory(
    gpu.capabilities,
    { spec, doubleQuant: true, tableDtype: 'F32', budget: budget(3) },
    null,
  );
  expect(gpu.ledger.byCategory()).toEqual(bytes);
  model.dispose();
});

test('a device without room for all layers streams them, to the same numbers; with room it does not', async () => {
  const { numbers } = await resident();
  const create = gpu.device.createBuffer.bind(gpu.device);
  const pop = gpu.device.popErrorScope.bind(gpu.device);
  const roomFor = (slots: number) => {
    let asked = 0;
    vi.spyOn(gpu.device, 'createBuffer').mockImplementation((descriptor) => {
      if (descriptor.label?.startsWith('layer slot')) asked++;
      return create(descriptor);
    });
    vi.spyOn(gpu.device, 'popErrorScope').mockImplementation(async () => {
      const error = await pop();
      const injected = asked > slots ? new GPUOutOfMemoryError('injected') : null;
      asked = 0;
      return error ?? injected;
    });
  };
  try {
    roomFor(LAYERS);
    expect((await train({ slots: null })).slots).toBe(LAYERS);
    vi.restoreAllMocks();
    roomFor(LAYERS - 1);
    const streamed = await train({ slots: null });
    expect(streamed.slots).toBe(2);
    expect(streamed.numbers).toEqual(numbers);
    vi.restoreAllMocks();
    roomFor(1);
    await expect(train({ slots: null })).rejects.toThrow(GpuMemoryError);
    expect(gpu.ledger.leaks()).toEqual([]);
  } finally {
    vi.restoreAllMocks();
  }
});
