/**
 * A model larger than its budget: the same steps with all layers on the GPU, and with layers that pass through slots, out of host
 * memory and out of the model's cache.
 */
import type { Gpu } from '../engine/device/gpu.ts';
import { UploadBuffer } from '../engine/device/host_visible.ts';
import { GpuMemoryError } from '../engine/device/ledger.ts';
import { hasMatrices } from '../engine/kernels/matmul_tile.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import { KEEP_NONE } from '../engine/train/kept_layers.ts';
import { Trainer } from '../engine/train/trainer.ts';
import { layerSection } from '../engine/weight_cache.ts';
import type { ModelSpec } from '../formats/model_spec.ts';
import { ModelCache } from '../storage/model_cache.ts';
import type { BenchContext } from './bench_context.ts';
import { benchModel, syntheticWeights } from './bench_models.ts';
import type { BenchBatch, PagingTier, StreamingLine } from './bench_report.ts';
import { meanLoss, randomRows, trainerOptions } from './bench_train.ts';

const SEED = 7;
const LEARNING_RATE = 2e-4;
const WARM_UP = 2;
const STEPS = 4;

/** A 1.7B shape within 600 MB, or a tiny one of six layers with room for three. */
const FULL = { model: 'SmolLM2-1.7B', batches: [4, 1].map((rows) => ({ rows, length: 512 })), budget: 600e6 };
const SMALL = { model: 'tiny', batches: [{ rows: 1, length: 32 }], budget: 200e3 };
const SMALL_LAYERS = 6;

type Cache = ModelCache<string>;

export async function benchStreaming(context: BenchContext): Promise<StreamingLine[]> {
  const { request, size, say, attempt, signal, openDisk } = context;
  const { model, batches, budget } = size === 'small' ? SMALL : FULL;
  const found = benchModel(model);
  const spec =
    size === 'small' ? { ...found, layers: Array.from({ length: SMALL_LAYERS }, () => found.layers[0]) } : found;
  const wanted = request.paging.tiers ?? (['host', 'disk'] as const);
  const tiers = wanted.filter((tier) => tier === 'host' || openDisk !== null);
  const cache = openDisk && (await ModelCache.open<string>(await openDisk()));
  const lines: StreamingLine[] = [];
  try {
    for (const batch of request.batches ?? batches) {
      if (signal.aborted) break;
      const name = `streaming ${model} ${batch.rows}×${batch.length}`;
      say(`${name}: all layers on the GPU`);
      const resident = await attempt(name, () => measure(context, spec, batch, cache, null));
      if (!resident) continue;
      for (const tier of tiers) {
        if (signal.aborted) break;
        say(`${name}: within ${budget / 1e6} MB, ${PLACES[tier]}`);
        const streamed = await attempt(`${name}, ${PLACES[tier]}`, () =>
          measure(context, spec, batch, cache, { budget, tier }),
        );
        if (streamed) lines.push(lineOf(model, batch, budget, tier, resident, streamed));
      }
    }
  } finally {
    await cache?.close();
  }
  return lines;
}

const PLACES = {
  host: 'the rest in host memory',
  tight: 'half of the rest in host memory',
  disk: 'the rest in the cache',
};

type Measured = Awaited<ReturnType<typeof measure>>;

function lineOf(
  model: string,
  batch: BenchBatch,
  budgetBytes: number,
  tier: PagingTier,
  resident: Measured,
  streamed: Measured,
): StreamingLine {
  const tokens = batch.rows * batch.length;
  const { ms, bytesIn, bytesRead, writeGbs, readGbs } = streamed;
  const tierMs = Math.max(bytesIn / 1e6 / writeGbs, bytesRead === 0 ? 0 : bytesRead / 1e6 / (readGbs ?? 1));
  return {
    model,
    ...batch,
    budgetBytes,
    tier,
    residentWeightBytes: resident.weightBytes,
    weightBytes: streamed.weightBytes,
    hostBytes: streamed.hostBytes,
    slots: streamed.slots,
    layers: resident.slots,
    residentMs: resident.ms,
    ms,
    residentTokensPerSecond: (1000 * tokens) / resident.ms,
    tokensPerSecond: (1000 * tokens) / ms,
    ...{ bytesIn, bytesRead, writeGbs, readGbs },
    stallMs: streamed.stallMs,
    ofBound: ms / Math.max(resident.ms, tierMs),
    losses: streamed.losses,
    same: streamed.losses.join() === resident.losses.join(),
  };
}

/** `within` null: with all layers on the GPU. */
async function measure(
  { gpu, request, signal }: BenchContext,
  spec: ModelSpec,
  batch: BenchBatch,
  cache: Cache | null,
  within: { readonly budget: number; readonly tier: PagingTier } | null,
) {
  const weights = await load(gpu, spec, cache, signal, within);
  const weightBytes = gpu.ledger.byCategory().weights;
  const precision = request.precision ?? (hasMatrices(gpu.capabilities) ? 'f16' : 'f32');
  const options = trainerOptions(gpu, request, weights, { ...batch, keep: KEEP_NONE, precision });
  // By rule: both runs must compute the same.
  const trainer = await Trainer.create(gpu, { ...options, tune: null });
  const window = [randomRows(batch.rows, batch.length, spec.vocabSize, SEED)];
  const step = () => trainer.step(window, LEARNING_RATE);
  const idle = () => gpu.device.queue.onSubmittedWorkDone();
  for (let i = 0; i < WARM_UP; i++) await step();
  await idle();
  const before = weights.streaming;
  const started = performance.now();
  for (let i = 0; i < STEPS; i++) await step();
  await idle();
  const ms = (performance.now() - started) / STEPS;
  const after = weights.streaming;
  const { hostBytes } = gpu.ledger;
  const losses = (await trainer.readLog()).map(meanLoss);
  trainer.dispose();
  const slots = weights.slots.count;
  const slabBytes = weights.layouts[0].words * 4;
  weights.dispose();
  const each = (figure: 'bytesIn' | 'bytesRead' | 'stallMs') =>
    ((after?.[figure] ?? 0) - (before?.[figure] ?? 0)) / STEPS;
  return {
    ...{ ms, losses, slots, weightBytes, hostBytes },
    ...{ bytesIn: each('bytesIn'), bytesRead: each('bytesRead'), stallMs: each('stallMs') },
    writeGbs: within ? await copyRate(gpu, slabBytes) : 0,
    readGbs: within && within.tier !== 'host' && cache ? await readRate(cache, spec.layers.length) : null,
  };
}

/** From the cache, which the first load fills. */
async function load(
  gpu: Gpu,
  spec: ModelSpec,
  cache: Cache | null,
  signal: AbortSignal,
  within: { readonly budget: number; readonly tier: PagingTier } | null,
): Promise<ModelWeights> {
  const source = syntheticWeights(spec, SEED);
  const budgets = { budget: within?.budget, hostBudget: Number.POSITIVE_INFINITY };
  if (!cache?.complete) {
    const weights = await ModelWeights.load(gpu, spec, source, { doubleQuant: true, cache, signal, ...budgets });
    await cache?.finish(weights.embedding.dtype);
    return weights;
  }
  const options = { ...budgets, quantType: 'nf4', doubleQuant: true, signal } as const;
  const tableDtype = cache.complete as ModelWeights['embedding']['dtype'];
  if (within?.tier === 'disk')
    return ModelWeights.fromCache(gpu, spec, cache, { ...options, tableDtype, hostBudget: 0 });
  if (within?.tier !== 'tight') return ModelWeights.fromCache(gpu, spec, cache, { ...options, tableDtype });
  return ModelWeights.fromCache(gpu, spec, cache, { ...options, tableDtype, hostBudget: cache.bytes / 2 });
}

/** GB/s of copies of one slab out of host memory after the other. */
async function copyRate(gpu: Gpu, bytes: number): Promise<number> {
  const { device, ledger } = gpu;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
  const slab = await UploadBuffer.make(gpu, 'slab', bytes);
  if (!slab) throw new GpuMemoryError('There is no host memory that the GPU copies from.');
  const buffer = ledger.create({ label: 'slot', size: bytes, usage, category: 'staging' });
  await slab.fill(new Uint8Array(bytes).fill(1));
  const copy = async (count: number) => {
    for (let i = 0; i < count; i++) slab.copyTo(buffer);
    await device.queue.onSubmittedWorkDone();
  };
  await copy(3);
  const started = performance.now();
  await copy(12);
  const rate = (12 * bytes) / 1e6 / (performance.now() - started);
  slab.destroy();
  ledger.destroy(buffer);
  return rate;
}

/** GB/s of reading the cache's layers, two at a time as streaming does; null where it must be open for that. */
async function readRate(cache: Cache, layers: number): Promise<number | null> {
  const reader = await cache.reader();
  if (!reader) return null;
  let bytes = 0;
  const started = performance.now();
  for (let i = 0; i < layers; i += 2) {
    const pair = [i, Math.min(i + 1, layers - 1)].map((layer) => reader.read(layerSection(layer)));
    for (const read of await Promise.all(pair)) bytes += read.byteLength;
  }
  const rate = bytes / 1e6 / (performance.now() - started);
  await reader.close();
  return rate;
}
