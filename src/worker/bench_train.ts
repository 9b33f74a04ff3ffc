/** Training steps of whole models with made-up weights: speed, memory, and where the time goes. */

import { type ClockProbe, withClockProbe } from '../engine/bench/ceilings.ts';
import { groupOf, KERNEL_GROUPS } from '../engine/bench/kernel_groups.ts';
import { summarize } from '../engine/bench/statistics.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import { hasMatrices, type Precision } from '../engine/kernels/matmul_tile.ts';
import { ModelWeights } from '../engine/model/weights.ts';
import type { DispatchTime } from '../engine/plan/profile.ts';
import type { TokenBatch } from '../engine/token_batch.ts';
import { KEEP_ALL, KEEP_NONE, type KeepLayers } from '../engine/train/kept_layers.ts';
import { RESIDENT } from '../engine/train/paging/moments.ts';
import { type StepLog, Trainer, type TrainerOptions } from '../engine/train/trainer.ts';
import { forcedAttention } from '../engine/tuning/attention_choices.ts';
import { forcedShape } from '../engine/tuning/matmul_choices.ts';
import { adaptedLinears } from '../formats/lora.ts';
import type { ModelSpec } from '../formats/model_spec.ts';
import type { BenchContext } from './bench_context.ts';
import { benchModel, multipliedParameters, syntheticWeights } from './bench_models.ts';
import type { BenchBatch, BenchRequest, GroupLine, KernelShare, TrainLine } from './bench_report.ts';
import { storedOf } from './trainer_options.ts';

const SEED = 7;
const ALPHA = 32;
const LEARNING_RATE = 2e-4;
/** The first one of a plan waits for every submit and measures it; a GPU's clock takes a few more to rise. */
const WARM_UP_STEPS = { software: 1, gpu: 5 } as const;
/** Profiled steps: rounded timestamps are right on average. */
const PROFILES = { software: 1, gpu: 5 } as const;
const SWEEP_LENGTHS = [512, 1024, 2048, 4096, 8192];
const SMALL_SWEEP_LENGTHS = [32, 64, 128];

interface Shape extends BenchBatch {
  readonly checkpointing: boolean;
  /** What was asked for instead of all or none. */
  readonly keep: Exclude<KeepLayers, { totalBytes: number }> | null;
}

/** By model, since its weights are loaded once. */
export function trainingShapes(request: BenchRequest, size: 'small' | 'full'): Map<string, Shape[]> {
  const { sweep, models, batches, keepLayers, activationMib } = request;
  const small = size === 'small';
  const keep =
    keepLayers !== null ? { layers: keepLayers } : activationMib !== null ? { bytes: activationMib * 2 ** 20 } : null;
  const checkpointing = keep ? [false] : request.checkpointing;
  const combine = (rows: readonly BenchBatch[], choices: readonly boolean[]): Shape[] =>
    rows.flatMap((batch) => choices.map((on) => ({ ...batch, checkpointing: on, keep })));
  if (sweep) {
    const rows = (small ? SMALL_SWEEP_LENGTHS : SWEEP_LENGTHS).map((length) => ({ rows: 1, length }));
    const names = models ?? [small ? 'tiny' : 'SmolLM2-135M'];
    return new Map(names.map((name) => [name, combine(batches ?? rows, checkpointing ?? [false])]));
  }
  if (small) {
    const shapes = combine(batches ?? [{ rows: 2, length: 32 }], checkpointing ?? [false, true]);
    return new Map((models ?? ['tiny']).map((name) => [name, shapes]));
  }
  // The peer's shapes (PERFORMANCE.md).
  const [one, four] = [
    { rows: 1, length: 512 },
    { rows: 4, length: 512 },
  ];
  const defaults: readonly (readonly [string, readonly BenchBatch[]])[] = [
    ['SmolLM2-135M', [one, four]],
    ['SmolLM2-360M', [four]],
    ['Llama-3.2-1B', [one, four]],
  ];
  const chosen = models?.map((name) => defaults.find(([known]) => known === name) ?? ([name, [four]] as const));
  return new Map(
    (chosen ?? defaults).map(([name, rows]) => [name, combine(batches ?? rows, checkpointing ?? [false, true])]),
  );
}

/** `checkpointed`, `4 layers kept` or `512 MiB of activations`, behind a shape's name. */
function keepName({ checkpointing, keep }: Shape): string {
  if (keep) return 'layers' in keep ? ` ${keep.layers} layers kept` : ` in ${keep.bytes / 2 ** 20} MiB`;
  return checkpointing ? ' checkpointed' : '';
}

export function benchTraining(context: BenchContext): Promise<TrainLine[]> {
  return withClockProbe(context.gpu, (probe) => trainLines(context, probe));
}

async function trainLines(context: BenchContext, probe: ClockProbe): Promise<TrainLine[]> {
  const { gpu, request, size, signal, say, attempt } = context;
  const lines: TrainLine[] = [];
  for (const [model, shapes] of trainingShapes(request, size)) {
    if (signal.aborted) break;
    say(`train ${model}: loading`);
    await attempt(`train ${model}`, async () => {
      const spec = benchModel(model);
      const weights = await ModelWeights.load(gpu, spec, syntheticWeights(spec, SEED), { doubleQuant: true, signal });
      for (const shape of shapes) {
        if (signal.aborted) break;
        const name = `${model} ${shape.rows}×${shape.length}${keepName(shape)}`;
        say(`train ${name}`);
        const line = await attempt(`train ${name}`, () => trainLine(context, probe, { name, model }, weights, shape));
        if (line) lines.push(line);
      }
      weights.dispose();
    });
  }
  return lines;
}

async function trainLine(
  { gpu, request, ceilings }: BenchContext,
  probe: ClockProbe,
  { name, model }: { readonly name: string; readonly model: string },
  weights: ModelWeights,
  shape: Shape,
): Promise<TrainLine> {
  const { spec } = weights;
  const { rows, length } = shape;
  const device = gpu.capabilities.software ? 'software' : 'gpu';
  const tokens = rows * length;
  const batch = randomRows(rows, length, spec.vocabSize, SEED);
  gpu.ledger.resetPeak();
  const started = performance.now();
  const trainer = await createTrainer(gpu, request, weights, shape);
  const createSeconds = (performance.now() - started) / 1000;
  const idle = () => gpu.device.queue.onSubmittedWorkDone();

  const logs: StepLog[] = [];
  const step = async () => {
    await trainer.step([batch], LEARNING_RATE);
  };
  for (let i = 0; i < WARM_UP_STEPS[device]; i++) await step();
  logs.push(...(await trainer.readLog()));
  await idle();

  const encodes: number[] = [];
  const times: number[] = [];
  trainer.resetDispatchCounts();
  for (let i = 0; i < request.steps; i++) {
    const begun = performance.now();
    await step();
    encodes.push(performance.now() - begun);
    await idle();
    times.push(performance.now() - begun);
  }
  const clock = gpu.capabilities.software ? null : (await probe()) / ceilings.fma.median;
  const dispatches = [...trainer.dispatchCounts.values()].reduce((a, b) => a + b, 0) / request.steps;
  logs.push(...(await trainer.readLog()));
  const pipelined = performance.now();
  for (let i = 0; i < request.steps; i++) await step();
  await idle();
  const pipelinedMs = (performance.now() - pipelined) / request.steps;
  logs.push(...(await trainer.readLog()));
  // Before profiling, which has buffers of its own.
  const { peak: peakBytes, peakByCategory: memory } = gpu.ledger;

  const profiles: DispatchTime[][] = [];
  for (let i = 0; i < PROFILES[device]; i++) profiles.push(await trainer.profile(batch));
  const keptLayers = trainer.keptActivations.layers;
  trainer.dispose();

  const ms = summarize(times);
  const tflops = (4 * multipliedParameters(spec) * tokens) / 1e9 / ms.median;
  const { groups, kernels, profiledMs, longestDispatch } = sumProfiles(profiles);
  return {
    name,
    model,
    rows,
    length,
    checkpointing: shape.checkpointing,
    precision: precisionOf(gpu, request),
    stored: storedOf(request.variant, precisionOf(gpu, request)),
    keptLayers,
    ms,
    tokensPerSecond: (tokens * 1000) / ms.median,
    pipelinedMs,
    encodeMs: summarize(encodes),
    dispatches,
    dispatchesPerLayer: dispatches / spec.layers.length,
    tflops,
    mfu: tflops / ceilings.fma.median,
    mfuOfPeak: request.peakTflops === null ? null : tflops / request.peakTflops,
    clock,
    firstLoss: meanLoss(logs[0]),
    lastLoss: meanLoss(logs[logs.length - 1]),
    memory,
    peakBytes,
    createSeconds,
    groups,
    kernels,
    profiledMs,
    longestDispatch,
    attentionComputed: attentionShare(spec, rows, length, keptLayers),
    attentionMeasured: groups.find(({ group }) => group === 'attention')?.share ?? 0,
  };
}

export const meanLoss = ({ lossSum, trainedTokens }: StepLog) => lossSum / trainedTokens;

const precisionOf = ({ capabilities }: Gpu, request: BenchRequest): Precision =>
  request.precision ?? (hasMatrices(capabilities) ? 'f16' : 'f32');

function createTrainer(gpu: Gpu, request: BenchRequest, model: ModelWeights, shape: Shape): Promise<Trainer> {
  const { rows, length, checkpointing } = shape;
  const keep = shape.keep ?? (checkpointing ? KEEP_NONE : KEEP_ALL);
  const precision = precisionOf(gpu, request);
  return Trainer.create(gpu, trainerOptions(gpu, request, model, { rows, length, keep, precision }));
}

/** A new adapter's training as the bench was asked for it; forces the device's variants that it names. */
export function trainerOptions(
  gpu: Gpu,
  { rank, targetModules, tune, variant }: BenchRequest,
  model: ModelWeights,
  { rows, length, keep, precision }: BenchBatch & { readonly keep: KeepLayers; readonly precision: Precision },
): TrainerOptions {
  gpu.matmulChoices.force(forcedShape(variant));
  gpu.attentionChoices.force(forcedAttention(variant));
  gpu.pacing.force(variant.parts === undefined ? null : Number(variant.parts));
  return {
    model,
    lora: {
      adapters: adaptedLinears(model.spec, {
        r: rank,
        lora_alpha: ALPHA,
        use_rslora: false,
        target_modules: targetModules,
      }),
      dora: false,
      dropout: 0,
    },
    adapter: null,
    seed: SEED,
    init: true,
    capacity: rows * length,
    positions: length,
    keepLayers: keep,
    precision,
    stored: storedOf(variant, precision),
    tune: tune ? {} : null,
    moments: RESIDENT,
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1, loraPlusRatio: 1 },
  };
}

/** Random ids, a document a row, every position trained. */
export function randomRows(rows: number, length: number, vocab: number, seed: number): TokenBatch {
  const total = rows * length;
  let state = seed;
  // A linear congruential generator (Numerical Recipes): only variety matters.
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocab);
  };
  const ids = Uint32Array.from({ length: total }, next);
  return {
    ids,
    targets: Int32Array.from({ length: total }, (_, i) => (i % length === length - 1 ? next() : ids[i + 1])),
    positions: Uint32Array.from({ length: total }, (_, i) => i % length),
    documents: Uint32Array.from({ length: 2 * total }, (_, i) => (Math.floor(i / 2 / length) + (i % 2)) * length),
    trainedTokens: total,
  };
}

/** The mean over profiles, by group and by kernel. */
export function sumProfiles(profiles: readonly (readonly DispatchTime[])[]): {
  groups: GroupLine[];
  kernels: KernelShare[];
  profiledMs: number;
  longestDispatch: TrainLine['longestDispatch'];
} {
  const byKernel = new Map<string, { kernel: string; group: string; ms: number; dispatches: number; flops: number }>();
  for (const { kernel, milliseconds, flops } of profiles.flat()) {
    const group = groupOf(kernel);
    const key = `${kernel.name} ${group}`;
    const known = byKernel.get(key) ?? { kernel: kernel.name, group, ms: 0, dispatches: 0, flops: 0 };
    known.ms += milliseconds / profiles.length;
    known.dispatches += 1 / profiles.length;
    known.flops += flops / profiles.length;
    byKernel.set(key, known);
  }
  const all = [...byKernel.values()].sort((a, b) => b.ms - a.ms);
  const profiledMs = all.reduce((sum, { ms }) => sum + ms, 0);
  const groups = KERNEL_GROUPS.flatMap((group) => {
    const own = all.filter((one) => one.group === group);
    if (own.length === 0) return [];
    const ms = own.reduce((sum, one) => sum + one.ms, 0);
    const dispatches = Math.round(own.reduce((sum, one) => sum + one.dispatches, 0));
    return [{ group, ms, share: profiledMs > 0 ? ms / profiledMs : 0, dispatches }];
  });
  const kernels = all.map(({ kernel, group, ms, dispatches, flops }) => ({
    kernel,
    group,
    ms,
    dispatches: Math.round(dispatches),
    tflops: ms > 0 ? flops / 1e9 / ms : 0,
  }));
  const longest = profiles.flat().reduce((most, one) => (one.longest > most.longest ? one : most));
  return { groups, kernels, profiledMs, longestDispatch: { kernel: longest.kernel.name, ms: longest.longest } };
}

/**
 * Attention's part of a step's operations: 2 products forward and 5 backward over the causal half, against 4·N a token;
 * both once more forward in layers that keep nothing, N without the head.
 */
export function attentionShare(spec: ModelSpec, rows: number, length: number, keptLayers: number): number {
  const { heads, headDim } = spec.attention;
  const layers = spec.layers.length;
  const recomputed = layers - keptLayers;
  const product = heads * headDim * length * length * rows;
  const parameters = multipliedParameters(spec);
  const layerParameters = (parameters - spec.vocabSize * spec.hiddenSize) / layers;
  const attention = product * (7 * layers + 2 * recomputed);
  const rest = rows * length * (4 * parameters + 2 * recomputed * layerParameters);
  return attention / (attention + rest);
}
