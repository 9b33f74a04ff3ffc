/** A model larger than its budget: the same steps with all layers on the GPU, and with layers that pass through slots. */
import type { Gpu } from '../engine/device/gpu.ts';
import { hasMatrices } from '../engine/kernels/matmul_tile.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import { KEEP_NONE } from '../engine/train/kept_layers.ts';
import { Trainer } from '../engine/train/trainer.ts';
import type { ModelSpec } from '../formats/model_spec.ts';
import type { BenchContext } from './bench_context.ts';
import { benchModel, syntheticWeights } from './bench_models.ts';
import type { StreamingLine } from './bench_report.ts';
import { meanLoss, randomRows, trainerOptions } from './bench_train.ts';

const SEED = 7;
const LEARNING_RATE = 2e-4;
const WARM_UP = 2;
const STEPS = 4;

/** A 1.7B shape within 600 MB, or a tiny one of six layers with room for three. */
const FULL = { model: 'SmolLM2-1.7B', batches: [4, 1].map((rows) => ({ rows, length: 512 })), budget: 600e6 };
const SMALL = { model: 'tiny', batches: [{ rows: 1, length: 32 }], budget: 200e3 };
const SMALL_LAYERS = 6;

export async function benchStreaming(context: BenchContext): Promise<StreamingLine[]> {
  const { request, size, say, attempt, signal } = context;
  const { model, batches, budget } = size === 'small' ? SMALL : FULL;
  const lines: StreamingLine[] = [];
  for (const batch of request.batches ?? batches) {
    if (signal.aborted) break;
    const name = `streaming ${model} ${batch.rows}×${batch.length}`;
    say(`${name}: all layers on the GPU`);
    const line = await attempt(name, async () => {
      const found = benchModel(model);
      const layers = Array.from({ length: SMALL_LAYERS }, () => found.layers[0]);
      const spec = size === 'small' ? { ...found, layers } : found;
      const resident = await measure(context, spec, batch, undefined);
      say(`${name}: within ${budget / 1e6} MB`);
      const streamed = await measure(context, spec, batch, budget);
      const tokens = batch.rows * batch.length;
      return {
        model,
        ...batch,
        budgetBytes: budget,
        residentWeightBytes: resident.weightBytes,
        weightBytes: streamed.weightBytes,
        slots: streamed.slots,
        layers: resident.slots,
        residentMs: resident.ms,
        ms: streamed.ms,
        residentTokensPerSecond: (1000 * tokens) / resident.ms,
        tokensPerSecond: (1000 * tokens) / streamed.ms,
        bytesIn: streamed.bytesIn,
        stallMs: streamed.stallMs,
        writeGbs: streamed.writeGbs,
        losses: streamed.losses,
        same: streamed.losses.join() === resident.losses.join(),
      };
    });
    if (line) lines.push(line);
  }
  return lines;
}

async function measure(
  { gpu, request, signal }: BenchContext,
  spec: ModelSpec,
  batch: { readonly rows: number; readonly length: number },
  budget: number | undefined,
) {
  const source = syntheticWeights(spec, SEED);
  const weights = await ModelWeights.load(gpu, spec, source, { doubleQuant: true, budget, signal });
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
  const losses = (await trainer.readLog()).map(meanLoss);
  trainer.dispose();
  const slots = weights.slots.count;
  weights.dispose();
  return {
    ...{ ms, losses, slots, weightBytes },
    bytesIn: ((after?.bytesIn ?? 0) - (before?.bytesIn ?? 0)) / STEPS,
    stallMs: ((after?.stallMs ?? 0) - (before?.stallMs ?? 0)) / STEPS,
    writeGbs: budget === undefined ? 0 : await writeRate(gpu, weights.layouts[0].words * 4),
  };
}

/** GB/s of queue writes of one slab after the other, a few at a time. */
async function writeRate({ device, ledger }: Gpu, bytes: number): Promise<number> {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
  const buffer = ledger.create({ label: 'written', size: bytes, usage, category: 'staging' });
  const slab = new Uint8Array(bytes).fill(1);
  const write = async (count: number) => {
    for (let i = 0; i < count; i++) {
      device.queue.writeBuffer(buffer, 0, slab);
      if (i % 3 === 2) await device.queue.onSubmittedWorkDone();
    }
    await device.queue.onSubmittedWorkDone();
  };
  await write(3);
  const started = performance.now();
  await write(12);
  const rate = (12 * bytes) / 1e6 / (performance.now() - started);
  ledger.destroy(buffer);
  return rate;
}
