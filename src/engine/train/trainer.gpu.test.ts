/** A whole trainer on the GPU: against the float64 decoder, its memory, and that a result does not depend on chance. */

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type AdaptedLinear, adaptedLinears, type LoraSettings } from '../../formats/lora.ts';
import { layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import { dropoutReference } from '../kernels/dropout.reference.ts';
import { dequantizeReference, doubleDequantizeReference } from '../kernels/nf4_quantize.reference.ts';
import { decoderReference, type ReferenceAdapter } from '../model/decoder.reference.ts';
import { fitsHalves } from '../model/decoder.ts';
import { NonFiniteWeightsError } from '../model/float_tensor.ts';
import type { QuantizedTensor } from '../model/weights.ts';
import { ModelWeights } from '../model/weights.ts';
import type { TokenBatch } from '../token_batch.ts';
import type { WeightSource } from '../weight_source.ts';
import type { TensorValues } from './flat_state.ts';
import { KEEP_ALL, KEEP_NONE, type KeepLayers } from './kept_layers.ts';
import { RESIDENT } from './paging/moments.ts';
import { randomBatch, randomWeights, richSpec, tinySpec } from './testing.ts';
import { Trainer, type TrainerOptions } from './trainer.ts';

// Compiling a decoder's kernels takes a software adapter many seconds.
vi.setConfig({ testTimeout: 180_000 });

const RATE = 1e-3;
const OPTIMIZER = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 0.5, loraPlusRatio: 1 };
const LORA = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' } satisfies LoraSettings;

interface Settings extends Partial<Omit<TrainerOptions, 'model'>> {
  readonly spec?: ModelSpec;
  readonly doubleQuant?: boolean;
  readonly weights?: WeightSource;
}

/** Runs `use` on a trainer over random weights; fails when anything stays allocated. */
async function withTrainer<T>(
  gpu: Gpu,
  settings: Settings,
  use: (trainer: Trainer, model: ModelWeights) => Promise<T>,
) {
  const spec = settings.spec ?? tinySpec();
  const doubleQuant = settings.doubleQuant ?? true;
  const model = await ModelWeights.load(gpu, spec, settings.weights ?? randomWeights(spec, 1), { doubleQuant });
  const trainer = await Trainer.create(gpu, {
    lora: { adapters: adaptedLinears(spec, LORA), dora: false, dropout: 0 },
    adapter: null,
    seed: 3,
    init: true,
    capacity: 128,
    positions: 128,
    keepLayers: KEEP_ALL,
    precision: 'f32',
    tune: null,
    moments: RESIDENT,
    optimizer: OPTIMIZER,
    ...settings,
    model,
  });
  try {
    return await use(trainer, model);
  } finally {
    trainer.dispose();
    model.dispose();
    expect(gpu.ledger.leaks()).toEqual([]);
  }
}

const bits = (tensors: ReadonlyMap<string, TensorValues>) =>
  new Map([...tensors].map(([name, { data }]) => [name, [...new Uint32Array(data.buffer)]]));

async function trained(trainer: Trainer, windows: readonly (readonly TokenBatch[])[]) {
  for (const window of windows) await trainer.step(window, RATE);
  return { log: await trainer.readLog(), adapter: bits(await trainer.readAdapter()) };
}

const relative = (ours: ArrayLike<number>, theirs: ArrayLike<number>) => {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < theirs.length; i++) {
    difference += (ours[i] - theirs[i]) ** 2;
    size += theirs[i] ** 2;
  }
  return Math.sqrt(difference / size);
};

let gpu: Gpu;
beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
});
afterAll(() => gpu.dispose());

const batches = [
  [randomBatch([9, 30, 1, 17], 96, 5), randomBatch([40], 96, 6)],
  [randomBatch([3, 3, 50], 96, 7)],
  [randomBatch([70], 96, 8), randomBatch([2, 65], 96, 9)],
];

/** What the GPU trains on, in float64: quantized linears decoded, the rest as it is. */
async function float64Weights(spec: ModelSpec, source: WeightSource, model: ModelWeights) {
  const weights = new Map<string, Float64Array<ArrayBuffer>>();
  const read = async (name: string) => {
    const info = source.info(name);
    if (info)
      weights.set(name, Float64Array.from(new Float32Array((await source.read(name, 0, info.byteLength)).buffer)));
  };
  const { embedding, head, finalNorm, layerPrefix } = spec.tensors;
  for (const name of [embedding, head, finalNorm]) await read(name);
  for (let i = 0; i < spec.layers.length; i++) {
    for (const norm of Object.values(spec.norm.names)) await read(`${layerPrefix}${i}.${norm}.weight`);
    for (const { name } of layerLinears(spec)) await read(`${layerPrefix}${i}.${name}.bias`);
  }
  for await (const tensor of model.quantized()) {
    weights.set(`${tensor.name}.weight`, decoded(tensor));
  }
  return weights;
}

function decoded({ packed, absmax, nestedAbsmax, nestedOffset }: QuantizedTensor): Float64Array<ArrayBuffer> {
  const codes = Uint8Array.from(
    { length: packed.length * 2 },
    (_, i) => (packed[i >> 1] >> (i % 2 === 0 ? 4 : 0)) & 15,
  );
  if (nestedAbsmax === null || nestedOffset === null) {
    return dequantizeReference({ codes, absmax: Float32Array.from(absmax) });
  }
  const quantized = Uint8Array.from(absmax);
  const scales = doubleDequantizeReference({
    offset: nestedOffset,
    quantized,
    nestedAbsmax: Float32Array.from(nestedAbsmax),
  });
  return dequantizeReference({ codes, absmax: scales });
}

function float64Adapters(tensors: ReadonlyMap<string, TensorValues>, shapes: ReadonlyMap<string, AdaptedLinear>) {
  const adapters = new Map<string, ReferenceAdapter>();
  for (const [name, { shape, data }] of tensors) {
    if (!name.endsWith('.lora_A')) continue;
    const path = name.slice(0, -'.lora_A'.length);
    const b = Float64Array.from(tensors.get(`${path}.lora_B`)!.data);
    const magnitude = tensors.get(`${path}.lora_magnitude_vector`);
    adapters.set(path, {
      rank: shape[0],
      scale: shapes.get(path)!.scale,
      a: Float64Array.from(data),
      b,
      magnitude: magnitude && Float64Array.from(magnitude.data),
    });
  }
  return adapters;
}

const F32_LIMITS = { logits: 1e-5, loss: 1e-6, gradient: 2e-5 };
/** Of golden cases with f16 (golden/README.md). */
const STORED_LIMITS = { logits: 2e-3, loss: 2e-3, gradient: 2e-2 };

/** Logits, loss and gradients of a trainer that has trained a little, so that B is not zero and with it A's gradient. */
async function matchesFloat64(
  spec: ModelSpec,
  settings: Settings,
  lora: LoraSettings & { use_dora?: boolean },
  modules: number,
  { logits: logitsLimit, loss: lossLimit, gradient: gradientLimit } = F32_LIMITS,
) {
  const source = randomWeights(spec, 11);
  const adapters = adaptedLinears(spec, lora);
  const dora = lora.use_dora ?? false;
  await withTrainer(
    gpu,
    { ...settings, spec, weights: source, lora: { adapters, dora, dropout: 0 } },
    async (trainer, model) => {
      for (const window of batches) await trainer.step(window, 1e-2);
      await trainer.readLog();
      const batch = batches[0][0];
      const reference = decoderReference({
        spec,
        weights: await float64Weights(spec, source, model),
        adapters: float64Adapters(await trainer.readAdapter(), adapters),
        batch,
      });
      expect(relative(await trainer.logits(batch), reference.logits)).toBeLessThan(logitsLimit);
      const { lossSum, tokens } = await trainer.evaluate([batch]);
      expect(tokens).toBe(batch.trainedTokens);
      expect(Math.abs(lossSum / reference.loss - 1)).toBeLessThan(lossLimit);
      const gradients = await trainer.gradients(batch);
      expect(reference.gradients.size).toBe(modules);
      expect(gradients.size).toBe((dora ? 3 : 2) * modules);
      for (const [path, { a, b, magnitude }] of reference.gradients) {
        expect(relative(gradients.get(`${path}.lora_A`)!.data, a), path).toBeLessThan(gradientLimit);
        expect(relative(gradients.get(`${path}.lora_B`)!.data, b), path).toBeLessThan(gradientLimit);
        if (!dora) continue;
        expect(relative(gradients.get(`${path}.lora_magnitude_vector`)!.data, magnitude!), path).toBeLessThan(
          gradientLimit,
        );
      }
    },
  );
}

describe('against the float64 decoder', () => {
  const specs = {
    tied: tinySpec({ tiedHead: true }),
    untied: tinySpec({ tiedHead: false }),
    'all that other architectures add': richSpec(),
  };
  for (const [title, spec] of Object.entries(specs)) {
    for (const doubleQuant of [true, false]) {
      test(`logits, loss and gradients, ${title}, ${doubleQuant ? 'with' : 'without'} double quantization`, async () => {
        await matchesFloat64(spec, { doubleQuant }, LORA, spec.layers.length * layerLinears(spec).length);
      });
    }
  }

  test('ranks and scales that differ between modules and layers, some modules without an adapter', async () => {
    const lora = {
      ...LORA,
      target_modules: ['q_proj', 'v_proj', 'layers.1.self_attn.o_proj', 'up_proj', 'down_proj'],
      rank_pattern: { q_proj: 7, 'layers.1.mlp.*': 2 },
      alpha_pattern: { v_proj: 3, 'layers.0.mlp.up_proj': 20 },
    };
    await matchesFloat64(tinySpec(), {}, lora, 9);
  });

  test('activations in 16 bits, of all that other architectures add', async () => {
    const spec = richSpec();
    const modules = spec.layers.length * layerLinears(spec).length;
    await matchesFloat64(spec, { stored: 'f16' }, LORA, modules, STORED_LIMITS);
  });

  test.runIf(import.meta.env.NIBBLE_FULL)('activations in 16 bits, with DoRA', async () => {
    const dora = { ...LORA, use_dora: true };
    await matchesFloat64(tinySpec(), { stored: 'f16', keepLayers: KEEP_NONE }, dora, 14, STORED_LIMITS);
  });

  for (const keepLayers of [KEEP_ALL, KEEP_NONE]) {
    test(`DoRA, ${keepLayers === KEEP_ALL ? 'kept' : 'recomputed'}`, async () => {
      const lora = { ...LORA, use_dora: true, rank_pattern: { k_proj: 3 }, alpha_pattern: { up_proj: 3 } };
      await matchesFloat64(tinySpec(), { keepLayers }, lora, 14);
      const some = {
        ...LORA,
        use_dora: true,
        target_modules: ['k_proj', 'v_proj', 'up_proj', 'layers.0.mlp.down_proj'],
      };
      await matchesFloat64(tinySpec(), { keepLayers, doubleQuant: false }, some, 7);
    });
  }
});

describe.each([
  ['dropout', false, LORA.target_modules],
  // Beside a linear with an adapter one without, in front of it and behind it.
  ['dropout with DoRA', true, ['k_proj', 'o_proj', 'up_proj', 'down_proj']],
] as const)('%s', (_, dora, modules) => {
  const spec = tinySpec();
  const target_modules = typeof modules === 'string' ? modules : [...modules];
  const patterns = { rank_pattern: { k_proj: 3 }, alpha_pattern: { up_proj: 3 } };
  const adapters = adaptedLinears(spec, { ...LORA, ...patterns, target_modules });
  const lora = { adapters, dora, dropout: 0.3 };

  test('against the float64 decoder with the same masks; evaluation drops nothing', async () => {
    const source = randomWeights(spec, 11);
    await withTrainer(gpu, { spec, weights: source, lora }, async (trainer, model) => {
      for (const window of batches) await trainer.step(window, 1e-2);
      const batch = batches[0][0];
      const plain = float64Adapters(await trainer.readAdapter(), adapters);
      const names = layerLinears(spec).map(({ name }) => name);
      const masked = new Map(
        [...plain].map(([path, adapter]) => {
          const [, layer, name] = /layers\.(\d+)\.(.*)/.exec(path)!;
          const module = Number(layer) * names.length + names.indexOf(name);
          const width = adapters.get(path)!.linear.inFeatures;
          const state = { seed: 3, step: batches.length, microBatch: 0 };
          const mask = dropoutReference(state, { probability: 0.3, module, width }, batch.ids.length);
          return [path, { ...adapter, mask }] as const;
        }),
      );
      const decoder = { spec, weights: await float64Weights(spec, source, model), batch };
      const reference = decoderReference({ ...decoder, adapters: masked });
      const gradients = await trainer.gradients(batch);
      expect(reference.gradients.size).toBe(adapters.size);
      for (const [path, { a, b, magnitude }] of reference.gradients) {
        expect(relative(gradients.get(`${path}.lora_A`)!.data, a), path).toBeLessThan(2e-5);
        expect(relative(gradients.get(`${path}.lora_B`)!.data, b), path).toBeLessThan(2e-5);
        if (!magnitude) continue;
        expect(relative(gradients.get(`${path}.lora_magnitude_vector`)!.data, magnitude), path).toBeLessThan(2e-5);
      }
      const whole = decoderReference({ ...decoder, adapters: plain });
      expect(Math.abs((await trainer.evaluate([batch])).lossSum / whole.loss - 1)).toBeLessThan(1e-6);
      expect(relative(await trainer.logits(batch), whole.logits)).toBeLessThan(1e-5);
      expect(Math.abs(reference.loss / whole.loss - 1)).toBeGreaterThan(1e-5);
    });
  });

  test('the same bits from two runs, and with layers recomputed; others from another seed', async () => {
    const run = (settings: Settings) =>
      withTrainer(gpu, { spec, lora, adapter: null, ...settings }, (trainer) => trained(trainer, batches));
    const first = await run({});
    expect(await run({})).toEqual(first);
    expect(await run({ keepLayers: KEEP_NONE })).toEqual(first);
    expect((await run({ seed: 4 })).log).not.toEqual(first.log);
    expect((await run({ lora: { ...lora, dropout: 0 } })).log).not.toEqual(first.log);
  });
});

test('a fresh DoRA adapter changes nothing: its magnitudes are the norms of the weights', async () => {
  const logits = (dora: boolean) =>
    withTrainer(
      gpu,
      { lora: { adapters: adaptedLinears(tinySpec(), LORA), dora, dropout: 0 } },
      async (trainer, model) => {
        const [adapter, norms] = [await trainer.readAdapter(), new Map<string, number[]>()];
        for await (const tensor of model.quantized()) {
          const weight = decoded(tensor);
          const { inFeatures, outFeatures } = adaptedLinears(tinySpec(), LORA).get(tensor.name)!.linear;
          const rows = Array.from({ length: outFeatures }, (_, i) =>
            weight.subarray(i * inFeatures, (i + 1) * inFeatures),
          );
          norms.set(
            tensor.name,
            rows.map((row) => Math.hypot(...row)),
          );
        }
        for (const [path, norm] of norms) {
          if (dora) expect(relative(adapter.get(`${path}.lora_magnitude_vector`)!.data, norm)).toBeLessThan(1e-6);
        }
        return trainer.logits(batches[0][0]);
      },
    );
  expect(relative(await logits(true), await logits(false))).toBeLessThan(1e-6);
});

test('LoRA+ moves B, and only B, as if the learning rate were its ratio times as high', async () => {
  const first = (ratio: number, rate: number) =>
    withTrainer(gpu, { optimizer: { ...OPTIMIZER, loraPlusRatio: ratio } }, async (trainer) => {
      await trainer.step(batches[0], rate);
      return bits(await trainer.readAdapter());
    });
  const [once, fast, faster] = [await first(1, 1e-3), await first(8, 1e-3), await first(1, 8e-3)];
  for (const name of once.keys()) {
    expect(fast.get(name), name).toEqual((name.endsWith('.lora_A') ? once : faster).get(name));
  }
  expect(fast).not.toEqual(faster);
});

describe('the same bits', () => {
  test('from two runs, and others from another seed', async () => {
    const first = await withTrainer(gpu, {}, (trainer) => trained(trainer, batches));
    const second = await withTrainer(gpu, {}, (trainer) => trained(trainer, batches));
    const other = await withTrainer(gpu, { seed: 4 }, (trainer) => trained(trainer, batches));
    expect(second).toEqual(first);
    expect(other.adapter).not.toEqual(first.adapter);
    expect(first.log.every(({ gradNorm }) => gradNorm > 0)).toBe(true);
  });

  test('however many layers keep their activations, in memory that grows with them', async () => {
    const spec = tinySpec({ layers: 6 });
    const run = (layers: number) =>
      withTrainer(gpu, { spec, keepLayers: { layers } }, async (trainer) => {
        const gradients = bits(await trainer.gradients(batches[0][0]));
        const result = await trained(trainer, batches);
        return { result, gradients, activations: gpu.ledger.byCategory().activations };
      });
    const [none, one, four, all] = [await run(0), await run(1), await run(4), await run(6)];
    for (const { result, gradients } of [one, four, all]) {
      expect(result).toEqual(none.result);
      expect(gradients).toEqual(none.gradients);
    }
    expect([...none.gradients.values()].flat().some((word) => word !== 0)).toBe(true);
    // The last layer's are there when its backward pass begins, kept or made again.
    expect(one.activations).toBeLessThanOrEqual(none.activations);
    expect(one.activations).toBeLessThan(four.activations);
    expect(four.activations).toBeLessThan(all.activations);
    expect(none.activations).toBeLessThan(0.6 * all.activations);
  });

  test('with gradient checkpointing as without, of all that other architectures add', async () => {
    const spec = richSpec();
    const run = (keepLayers: KeepLayers) =>
      withTrainer(gpu, { spec, keepLayers }, (trainer) => trained(trainer, batches));
    expect(await run(KEEP_NONE)).toEqual(await run(KEEP_ALL));
  });

  test('with activations in 16 bits: recomputed as kept, in less memory than in 32, to other bits', async () => {
    const spec = richSpec();
    const run = (settings: Settings) =>
      withTrainer(gpu, { spec, ...settings }, async (trainer) => ({
        result: await trained(trainer, batches),
        activations: gpu.ledger.byCategory().activations,
      }));
    const kept = await run({ stored: 'f16' });
    const whole = await run({});
    expect((await run({ stored: 'f16', keepLayers: KEEP_NONE })).result).toEqual(kept.result);
    expect(kept.activations).toBeLessThan(whole.activations);
    expect(kept.result.adapter).not.toEqual(whole.result.adapter);
    // A head that is no whole groups of four stays as it was.
    const odd = { ...spec, attention: { ...spec.attention, headDim: 6 } };
    expect([fitsHalves(spec), fitsHalves(odd)]).toEqual([true, false]);
  });

  test('whatever lies in the memory that a step uses', async () => {
    const clean = await withTrainer(gpu, {}, (trainer) => trained(trainer, batches));
    const poisoned = await withTrainer(gpu, {}, async (trainer) => {
      for (const window of batches) {
        for (const buffer of gpu.ledger.buffers()) {
          if (!buffer.label.startsWith('arena')) continue;
          gpu.device.queue.writeBuffer(buffer, 0, new Uint32Array(buffer.size / 4).fill(0x7fc0dead));
        }
        await trainer.step(window, RATE);
      }
      return { log: await trainer.readLog(), adapter: bits(await trainer.readAdapter()) };
    });
    expect(poisoned).toEqual(clean);
  });
});

test('gradients and evaluation leave the adapter and the next step as they were', async () => {
  const plain = await withTrainer(gpu, {}, (trainer) => trained(trainer, batches));
  const probed = await withTrainer(gpu, {}, async (trainer) => {
    for (const window of batches) {
      await trainer.gradients(window[0]);
      await trainer.evaluate(window);
      await trainer.logits(window[0]);
      await trainer.step(window, RATE);
    }
    return { log: await trainer.readLog(), adapter: bits(await trainer.readAdapter()) };
  });
  expect(probed).toEqual(plain);
});

test('a step whose gradient is not a number changes nothing', async () => {
  await withTrainer(gpu, {}, async (trainer) => {
    await trainer.step(batches[0], RATE);
    await trainer.readLog();
    const before = bits(await trainer.readAdapter());
    // No trained token: 1 / 0 · 0.
    await trainer.step([{ ...batches[1][0], trainedTokens: 0 }], RATE);
    const [{ gradNorm }] = await trainer.readLog();
    expect(Number.isFinite(gradNorm)).toBe(false);
    expect(bits(await trainer.readAdapter())).toEqual(before);
    await trainer.step(batches[1], RATE);
    expect(bits(await trainer.readAdapter())).not.toEqual(before);
  });
});

describe('memory', () => {
  test('activations grow linearly with the length from 512 to 8,192', async () => {
    const spec = tinySpec({ layers: 1 });
    const bytesAt = (capacity: number) =>
      withTrainer(gpu, { spec, capacity, positions: capacity }, async () => {
        const { activations, logits } = gpu.ledger.byCategory();
        return activations + logits;
      });
    const lengths = [512, 1024, 2048, 4096, 8192];
    const bytes: number[] = [];
    for (const length of lengths) bytes.push(await bytesAt(length));
    // A line through the first two predicts the others; S² scores of 4 heads would need 1 GiB at 8,192.
    const slope = (bytes[1] - bytes[0]) / 512;
    for (const [i, length] of lengths.entries()) {
      const predicted = bytes[0] + slope * (length - 512);
      expect(Math.abs(bytes[i] / predicted - 1), `${length}: ${bytes[i]} bytes`).toBeLessThan(0.01);
    }
    expect(bytes[4]).toBeLessThan(32 * 2 ** 20);
  });

  test('nothing stays when loading fails, and the tensor is named', async () => {
    const spec = tinySpec();
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const name of ['model.layers.1.mlp.up_proj.weight', 'model.embed_tokens.weight', 'model.norm.weight']) {
        const weights = randomWeights(spec, 1, (tensor, values) => {
          if (tensor === name) values[values.length - 3] = value;
        });
        const loading = ModelWeights.load(gpu, spec, weights, { doubleQuant: true });
        await expect(loading).rejects.toThrow(NonFiniteWeightsError);
        await expect(loading).rejects.toThrow(name);
        expect(gpu.ledger.leaks()).toEqual([]);
      }
    }
  });
});

test('trains at WebGPU’s default limits, to the same numbers', async () => {
  const plain = await withTrainer(gpu, {}, (trainer) => trained(trainer, batches));
  const weak = await acquireGpu(navigator.gpu, { defaultLimits: true });
  const limited = await withTrainer(weak, {}, (trainer) => trained(trainer, batches));
  weak.dispose();
  for (const [i, { lossSum, gradNorm }] of limited.log.entries()) {
    expect(Math.abs(lossSum / plain.log[i].lossSum - 1)).toBeLessThan(1e-5);
    expect(Math.abs(gradNorm / plain.log[i].gradNorm - 1)).toBeLessThan(1e-4);
  }
});

test('profile times every dispatch of a step, and counts as no step', async () => {
  await withTrainer(gpu, { spec: tinySpec({ layers: 1 }) }, async (trainer, model) => {
    const batch = randomBatch([9, 5], model.spec.vocabSize, 6);
    await trainer.step([batch], RATE);
    const counts = Object.fromEntries(trainer.dispatchCounts);
    const profiled: Record<string, number> = {};
    for (const { kernel } of await trainer.profile(batch)) profiled[kernel.name] = (profiled[kernel.name] ?? 0) + 1;
    expect(profiled).toEqual(counts);
    expect(Object.fromEntries(trainer.dispatchCounts)).toEqual(counts);
    expect(await trainer.readLog()).toHaveLength(1);
  });
});

test('tables split over bindings: the same numbers', async () => {
  const spec = tinySpec({ tiedHead: false, vocabSize: 301 });
  const run = async (maxBindingBytes: number) => {
    const small: Gpu = { ...gpu, capabilities: { ...gpu.capabilities, maxBindingBytes } };
    const model = await ModelWeights.load(small, spec, randomWeights(spec, 1), { doubleQuant: true });
    const trainer = await Trainer.create(gpu, {
      ...{
        model,
        lora: { adapters: adaptedLinears(spec, LORA), dora: false, dropout: 0 },
        adapter: null,
        seed: 3,
        init: true,
      },
      ...{
        capacity: 128,
        positions: 128,
        keepLayers: KEEP_ALL,
        precision: 'f32' as const,
        tune: null,
        moments: RESIDENT,
      },
      optimizer: OPTIMIZER,
    });
    const shards = [model.embedding, model.head].map((table) => table.shards.map(({ count }) => count));
    const logits = await trainer.logits(batches[0][0]);
    const { log } = await trained(trainer, batches);
    trainer.dispose();
    model.dispose();
    return { shards, logits, log };
  };
  const whole = await run(gpu.capabilities.maxBindingBytes);
  // Rows of 32 f32: 97 a binding.
  const split = await run(97 * 128);
  expect(whole.shards).toEqual([[301], [301]]);
  expect(split.shards).toEqual([
    [97, 97, 97, 10],
    [97, 97, 97, 10],
  ]);
  expect(relative(split.logits, whole.logits)).toBeLessThan(1e-6);
  for (const [i, { lossSum, gradNorm }] of split.log.entries()) {
    expect(Math.abs(lossSum / whole.log[i].lossSum - 1)).toBeLessThan(1e-6);
    expect(Math.abs(gradNorm / whole.log[i].gradNorm - 1)).toBeLessThan(1e-5);
  }
});
