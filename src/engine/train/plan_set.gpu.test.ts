/** Which layers keep their activations: what is predicted, what is then allocated, and a device without room for it. */

import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { adaptedLinears } from '../../formats/lora.ts';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import { GpuMemoryError } from '../device/ledger.ts';
import { SOFTWARE } from '../kernels/matmul_tile.ts';
import { ModelWeights } from '../model/weights.ts';
import { KEEP_ALL, type KeepLayers } from './kept_layers.ts';
import { RESIDENT } from './paging/moments.ts';
import { PlanRecorder } from './plan_set.ts';
import { randomBatch, randomWeights, tinySpec } from './testing.ts';
import { Trainer } from './trainer.ts';

vi.setConfig({ testTimeout: 180_000 });

const LAYERS = 6;
const spec = tinySpec({ layers: LAYERS });
let gpu: Gpu;
let model: ModelWeights;

beforeAll(async () => {
  gpu = await acquireGpu(navigator.gpu);
  model = await ModelWeights.load(gpu, spec, randomWeights(spec, 1), { doubleQuant: true });
});
afterEach(() => {
  vi.restoreAllMocks();
  gpu.matmulChoices.force(null);
});
afterAll(() => {
  model.dispose();
  expect(gpu.ledger.leaks()).toEqual([]);
  gpu.dispose();
});

const LORA = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' };

interface Made {
  readonly keptLayers: number;
  /** Of a step, without the inputs and other small buffers. */
  readonly arena: number;
  /** Of the whole trainer. */
  readonly activations: number;
  /** What it allocated before its plans. */
  readonly around: number;
  readonly loss: number;
}

/** Makes a trainer, lets it step once and frees it. */
async function make(keepLayers: KeepLayers, capacity = 256): Promise<Made> {
  const before = gpu.ledger.total();
  const trainer = await Trainer.create(gpu, {
    model,
    lora: { adapters: adaptedLinears(spec, LORA), dora: false, dropout: 0 },
    adapter: null,
    seed: 3,
    init: true,
    capacity,
    positions: capacity,
    keepLayers,
    precision: 'f32' as const,
    tune: null,
    moments: RESIDENT,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1, loraPlusRatio: 1 },
  });
  try {
    await trainer.step([randomBatch([20, 9], spec.vocabSize, 5)], 1e-3);
    const [{ lossSum }] = await trainer.readLog();
    const { activations, logits } = gpu.ledger.byCategory();
    const [arenaBytes, parameterBytes] = ['arena', 'plan parameters'].map((label) =>
      gpu.ledger
        .buffers()
        .filter((buffer) => buffer.label.startsWith(label))
        .reduce((sum, { size }) => sum + size, 0),
    );
    return {
      keptLayers: trainer.keptActivations.layers,
      arena: arenaBytes,
      around: gpu.ledger.total() - before - arenaBytes - parameterBytes,
      activations: activations + logits,
      loss: lossSum,
    };
  } finally {
    trainer.dispose();
  }
}

/** Bytes predicted for each number of kept layers that was asked about while `use` ran. */
async function predictions(use: () => Promise<unknown>): Promise<Map<number, number>> {
  const spy = vi.spyOn(PlanRecorder.prototype, 'bytes');
  await use();
  const known = new Map(spy.mock.calls.map(([kept], i) => [kept, spy.mock.results[i].value as number]));
  spy.mockRestore();
  return known;
}

describe('a budget', () => {
  test.for([
    { what: 'whole matmuls', splits: 1, capacity: 256 },
    ...(import.meta.env.NIBBLE_FULL ? [{ what: 'matmuls with partial sums', splits: 3, capacity: 1000 }] : []),
  ])('keeps as many layers as fit, $what', async ({ splits, capacity }) => {
    gpu.matmulChoices.force({ tile: SOFTWARE, splits });
    const made: Made[] = [];
    for (let layers = 0; layers <= LAYERS; layers++) made.push(await make({ layers }, capacity));
    for (const [kept, { arena }] of made.entries()) {
      const predicted = await predictions(() => make({ bytes: arena }, capacity));
      const chosen = await make({ bytes: arena }, capacity);
      expect(chosen.arena).toBe(arena);
      // More layers where they cost nothing.
      expect(chosen.keptLayers).toBe(made.findLastIndex((other) => other.arena <= arena));
      expect(chosen.loss).toBe(made[kept].loss);
      expect(predicted.size).toBeGreaterThan(0);
      for (const [asked, bytes] of predicted) {
        expect(bytes, `${asked} layers`).toBe(made[asked].arena);
        // Inputs and parameters of dispatches are small change, but for a tiny model.
        if (capacity === 1000) expect(bytes / made[asked].activations, `${asked} layers`).toBeGreaterThan(0.95);
      }
    }
    // A byte too little, and one layer less is kept.
    const less = await make({ bytes: made[4].arena - 1 }, capacity);
    expect([less.keptLayers, less.arena]).toEqual([3, made[3].arena]);
  });

  test('of everything leaves what the model and the adapter take', async () => {
    const three = await make({ layers: 3 });
    const around = gpu.ledger.total() + three.around;
    expect(await make({ totalBytes: around + three.arena })).toEqual(three);
    expect((await make({ totalBytes: around + three.arena - 1 })).keptLayers).toBe(2);
  });

  test('that not even recomputing keeps to is no error: the device may have more', async () => {
    expect((await make({ bytes: 1 })).keptLayers).toBe(0);
  });
});

/** The device has room for so many bytes of such buffers: beyond, what it makes is reported as out of memory. */
function withRoomFor(bytes: number, label = 'arena'): { attempts: () => number[] } {
  const create = gpu.device.createBuffer.bind(gpu.device);
  const pop = gpu.device.popErrorScope.bind(gpu.device);
  const attempts: number[] = [];
  let asked = 0;
  vi.spyOn(gpu.device, 'createBuffer').mockImplementation((descriptor) => {
    if (descriptor.label?.startsWith(label)) asked += descriptor.size;
    return create(descriptor);
  });
  vi.spyOn(gpu.device, 'popErrorScope').mockImplementation(async () => {
    const error = await pop();
    if (asked > 0) attempts.push(asked);
    const injected = asked > bytes ? new GPUOutOfMemoryError('injected') : null;
    asked = 0;
    return error ?? injected;
  });
  return { attempts: () => attempts };
}

describe('a device without room', () => {
  test('keeps fewer layers, to the same numbers; with room it keeps them all', async () => {
    const all = await make(KEEP_ALL);
    const room = (await make({ layers: 3 })).arena;
    const enough = withRoomFor(all.arena);
    expect(await make(KEEP_ALL)).toEqual(all);
    expect(enough.attempts()).toEqual([all.arena]);
    vi.restoreAllMocks();

    const { attempts } = withRoomFor(room);
    const fewer = await make(KEEP_ALL);
    expect(fewer.keptLayers).toBeLessThanOrEqual(3);
    expect(fewer.arena).toBeLessThanOrEqual(room);
    expect(fewer.loss).toBe(all.loss);
    expect(attempts().length).toBeGreaterThan(1);
    expect(attempts()[0]).toBe(all.arena);
  });

  test('says so when not even the adapter has room', async () => {
    withRoomFor(0, 'parameters');
    const making = make(KEEP_ALL);
    await expect(making).rejects.toThrow(GpuMemoryError);
    await expect(making).rejects.toThrow(/no memory left \(injected\).*smaller r, fewer target_modules/);
  });

  test('says what to change when there is no room with every layer recomputed, and nothing stays', async () => {
    const before = gpu.ledger.total();
    const least = (await make({ layers: 0 })).arena;
    const { attempts } = withRoomFor(least - 1);
    const making = make(KEEP_ALL);
    await expect(making).rejects.toThrow(GpuMemoryError);
    await expect(making).rejects.toThrow(/beside the model.*Lower max_length or per_device_train_batch_size/);
    expect(attempts().at(-1)).toBe(least);
    expect(gpu.ledger.total()).toBe(before);
    vi.restoreAllMocks();
    expect((await make(KEEP_ALL)).keptLayers).toBe(LAYERS);
  });
});
