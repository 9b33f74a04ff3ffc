/** Whole models, one after the other: each loads, does a few steps, and is held against what was predicted of its memory. */
import type { Gpu } from '../engine/device/gpu.ts';
import { hasMatrices } from '../engine/kernels/matmul_tile.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import { KEEP_ALL, KEEP_NONE } from '../engine/train/kept_layers.ts';
import { predictMemory } from '../engine/train/predict_memory.ts';
import { type StepLog, Trainer } from '../engine/train/trainer.ts';
import { expectedTensors } from '../formats/check_checkpoint.ts';
import type { ModelSpec } from '../formats/model_spec.ts';
import type { BenchContext } from './bench_context.ts';
import { BENCH_MODELS, benchModel, syntheticWeights } from './bench_models.ts';
import type { BenchRequest, ModelLine } from './bench_report.ts';
import { meanLoss, randomRows, trainerOptions } from './bench_train.ts';

const SEED = 7;
const STEPS = 3;
/** For where a CPU plays the GPU. */
const SMALL = ['tiny', 'demo'];
const LEARNING_RATE = 2e-4;
const DEFAULT_BATCH = { rows: 1, length: 512 };

/** How far what is allocated may lie from what was predicted. */
const TOLERANCE = 0.05;

export class ModelShapeError extends Error {
  override name = 'ModelShapeError';
}

export async function benchShapes(context: BenchContext): Promise<ModelLine[]> {
  const { gpu, request, size, signal, say, attempt } = context;
  const all = BENCH_MODELS.filter((name) => SMALL.includes(name) === (size === 'small'));
  const lines: ModelLine[] = [];
  for (const model of request.models ?? all) {
    if (signal.aborted) break;
    say(`model ${model}`);
    const line = await attempt(`model ${model}`, () => modelLine(gpu, request, model, signal));
    if (!line) continue;
    lines.push(line);
    await attempt(`model ${model}`, async () => checkLine(line));
  }
  return lines;
}

async function modelLine(gpu: Gpu, request: BenchRequest, model: string, signal: AbortSignal): Promise<ModelLine> {
  const spec = benchModel(model);
  const { rows, length } = request.batches?.[0] ?? DEFAULT_BATCH;
  const checkpointing = request.checkpointing?.[0] ?? true;
  const keep = checkpointing ? KEEP_NONE : KEEP_ALL;
  const precision = request.precision ?? (hasMatrices(gpu.capabilities) ? 'f16' : 'f32');
  gpu.ledger.resetPeak();
  let started = performance.now();
  const lap = () => {
    const seconds = (performance.now() - started) / 1000;
    started = performance.now();
    return seconds;
  };
  const weights = await ModelWeights.load(gpu, spec, syntheticWeights(spec, SEED), { doubleQuant: true, signal });
  await gpu.device.queue.onSubmittedWorkDone();
  const loadSeconds = lap();
  const loadPeakBytes = gpu.ledger.peak;
  gpu.ledger.resetPeak();
  const options = trainerOptions(gpu, request, weights, { rows, length, keep, precision });
  const trainer = await Trainer.create(gpu, options);
  const createSeconds = lap();
  const batch = randomRows(rows, length, spec.vocabSize, SEED);
  const stepMs: number[] = [];
  const logs: StepLog[] = [];
  for (let i = 0; i < STEPS; i++) {
    await trainer.step([batch], LEARNING_RATE);
    await gpu.device.queue.onSubmittedWorkDone();
    stepMs.push(1000 * lap());
    logs.push(...(await trainer.readLog()));
  }
  const { peak: measuredBytes, peakByCategory: measured } = gpu.ledger;
  trainer.dispose();
  weights.dispose();
  const { bytes: predicted, total: predictedBytes } = predictMemory(
    gpu.capabilities,
    { spec, doubleQuant: true, tableDtype: 'BF16' },
    { ...options, keep, loraPlusRatio: options.optimizer.loraPlusRatio },
  );
  return {
    model,
    parameters: parametersOf(spec),
    rows,
    length,
    checkpointing,
    precision,
    stored: options.stored ?? 'f32',
    loadSeconds,
    loadPeakBytes,
    createSeconds,
    stepMs,
    losses: logs.map(meanLoss),
    gradNorms: logs.map(({ gradNorm }) => gradNorm),
    measured,
    predicted,
    measuredBytes,
    predictedBytes,
  };
}

const parametersOf = (spec: ModelSpec) =>
  expectedTensors(spec).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);

/** @throws ModelShapeError where a loss is not finite, the last one is not below the first, or memory was not foreseen. */
export function checkLine({ losses, gradNorms, measuredBytes, predictedBytes }: ModelLine): void {
  const text = losses.join(', ');
  if (![...losses, ...gradNorms].every(Number.isFinite)) {
    throw new ModelShapeError(`losses ${text}, gradient norms ${gradNorms.join(', ')}: not all are finite`);
  }
  if (losses.length !== STEPS || losses[STEPS - 1] >= losses[0])
    throw new ModelShapeError(`losses ${text} do not fall`);
  if (Math.abs(measuredBytes / predictedBytes - 1) > TOLERANCE) {
    throw new ModelShapeError(`${measuredBytes} bytes allocated, ${predictedBytes} predicted`);
  }
}
