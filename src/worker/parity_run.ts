/** Runs a golden case on this device and compares everything with PyTorch: data, quantization, logits, gradients, training. */
import type { MicroBatch } from '../data/batch.ts';
import { collate, flatten, flattenPadded } from '../data/batching.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import { Generator } from '../engine/generate/generator.ts';
import { hasMatrices, TABLE_BYTES, type Tile, tileBytes } from '../engine/kernels/matmul_tile.ts';
import type { LoadingProgress, ModelWeights } from '../engine/model/weights.ts';
import { runTraining } from '../engine/train/loop.ts';
import { learningRateAt } from '../engine/train/schedule.ts';
import type { Trainer } from '../engine/train/trainer.ts';
import { forcedAttention } from '../engine/tuning/attention_choices.ts';
import { forcedShape } from '../engine/tuning/matmul_choices.ts';
import { type Folder, readText } from '../formats/range_source.ts';
import { parseRunConfig } from '../formats/run_config.ts';
import { withGpu } from './gpu_session.ts';
import { Locator } from './locations.ts';
import {
  type ExpectedRun,
  type ParityCase,
  ParityCaseError,
  readParityCase,
  VariantUnavailableError,
} from './parity_case.ts';
import {
  batchMismatches,
  check,
  F16_LIMITS,
  gradientChecks,
  LIMITS,
  type Limits,
  largest,
  mismatches,
  relativeDistance,
  relativeError,
  relativeNorm,
} from './parity_checks.ts';
import { nf4Checks } from './parity_nf4.ts';
import type { WorkerPorts } from './ports.ts';
import { type PreparedRun, prepareRun } from './prepare_run.ts';
import type { ParityCheck, RunCommand, StepRecord, WorkerEvent } from './protocol.ts';
import { storedOf, withTrainer } from './trainer_options.ts';

const CASE_CAP = 1_000_000;

/**
 * Emits `data`, `device`, `loading`, `memory`, `step` and at last `parity`. Rejects when the case cannot be run at all, or with
 * the signal's reason when aborted; a result that differs is a report, not an error.
 */
export async function parityRun(
  command: Extract<RunCommand, { type: 'parity' }>,
  emit: (event: WorkerEvent) => void,
  ports: WorkerPorts,
  signal: AbortSignal,
): Promise<void> {
  const { runId, base } = command;
  const started = performance.now();
  const folder = ports.openFolder(base);
  const config = parseRunConfig(await readJson(folder, 'case.json'));
  const run = await prepareRun(config, new Locator(ports, base), signal);
  if (!run.adapter) throw new ParityCaseError(`${folder.name}/case.json has no initial_adapter to start from.`);
  const expected = await readParityCase(folder);
  emit({ type: 'data', runId, summary: run.summary });

  const checks = await dataChecks(run, expected.run);
  const steps: StepRecord[] = [];
  const totalSteps = config.training.max_steps;
  let adapterName = '';
  let dispatches: Record<string, number> = {};
  const onStep = (record: StepRecord, tokensPerSecond: number) => {
    steps.push(record);
    emit({ type: 'step', runId, record, totalSteps, tokensPerSecond });
  };
  const {
    keep_layers,
    parts,
    precision: asked,
    stored: asStored,
    limits: wanted,
    rules,
    ...shape
  } = command.variant ?? {};
  await withGpu(
    ports,
    (adapter) => {
      adapterName = adapter.name;
      emit({ type: 'device', runId, adapter });
    },
    (device) => {
      const gpu = rules === 'gpu' ? asGpu(device) : device;
      const forced = forcedShape(shape);
      gpu.matmulChoices.force(forced);
      gpu.attentionChoices.force(forcedAttention(shape));
      gpu.pacing.force(parts === undefined ? null : Number(parts));
      const keepLayers = keep_layers === undefined ? undefined : { layers: Number(keep_layers) };
      const precision = asked === 'f16' ? 'f16' : 'f32';
      if (precision === 'f16' && !hasMatrices(gpu.capabilities)) {
        throw new VariantUnavailableError('precision=f16 needs subgroup matrices, which this device does not have.');
      }
      if (forced) expectRoom(forced.tile, gpu);
      const stored = storedOf({ stored: asStored }, precision);
      const rounded = precision === 'f16' || stored === 'f16';
      const limits = rounded ? F16_LIMITS : LIMITS;
      const hooks = { signal, onLoading: (progress: LoadingProgress) => emit({ type: 'loading', runId, ...progress }) };
      return withTrainer(
        gpu,
        run,
        { ...sizes(run, expected.run), keepLayers, precision, stored },
        hooks,
        async (trainer, model) => {
          emit({ type: 'memory', runId, bytes: gpu.ledger.byCategory(), kept: trainer.keptActivations });
          checks.push(...(await nf4Checks(model, expected.nf4)), ...(await probeChecks(trainer, expected, limits)));
          trainer.resetDispatchCounts();
          await trainSteps(gpu, trainer, run, onStep, signal);
          dispatches = Object.fromEntries(trainer.dispatchCounts);
          checks.push(...stepChecks(steps, expected.run, limits));
          checks.push(...(await trainedChecks(trainer, run, expected, limits)));
          // A likeliest token may be likeliest by less than f16 can tell.
          if (!rounded) checks.push(...(await generationChecks(gpu, trainer, model, expected.run)));
        },
      );
    },
    { defaultLimits: wanted === 'default' },
  );
  const report = {
    case: config.name,
    pass: checks.every(({ pass }) => pass),
    maxLossRelError: checks.find(({ name }) => name === LOSS_CHECK)?.value ?? Number.POSITIVE_INFINITY,
    checks,
    adapter: adapterName,
    dispatches,
    steps,
    seconds: (performance.now() - started) / 1000,
  };
  emit({ type: 'parity', runId, report });
}

/** A software adapter that gets the variants, and the loops written out, that the rules give a GPU. */
const asGpu = (gpu: Gpu): Gpu => ({ ...gpu, capabilities: { ...gpu.capabilities, software: false } });

function expectRoom(tile: Tile, { capabilities }: Gpu): void {
  const bytes = tileBytes(tile) + TABLE_BYTES;
  if (bytes <= capabilities.workgroupStorageBytes) return;
  throw new VariantUnavailableError(
    `This tile needs ${bytes} bytes of workgroup memory; this device offers ${capabilities.workgroupStorageBytes}.`,
  );
}

const LOSS_CHECK = 'loss of every step';

async function readJson(folder: Folder, path: string): Promise<unknown> {
  const text = await readText(folder, path, CASE_CAP);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ParityCaseError(`${folder.name}/${path} is not JSON: ${(error as Error).message}`);
  }
}

/** Padded batches and the greedy prefix go through the trainer too. */
function sizes({ capacity, positions }: PreparedRun, { probe, greedy }: ExpectedRun) {
  const prefix = greedy.prompt.length + greedy.continuation.length;
  return {
    capacity: Math.max(capacity, probe.input_ids.flat().length, prefix),
    positions: Math.max(positions, prefix, ...probe.position_ids.flat().map((position) => position + 1)),
  };
}

async function dataChecks({ batches, summary, tokenizer }: PreparedRun, expected: ExpectedRun): Promise<ParityCheck[]> {
  const epoch: MicroBatch[] = [];
  for await (const batch of batches.epoch(0)) epoch.push(batch);
  const padded = (batch: MicroBatch) => collate(batch, tokenizer.padTokenId);
  // The probe is the micro-batch with a row of most documents, the earliest such: the first one unless packed.
  const documents = (batch: MicroBatch) => Math.max(...batch.map((row) => row.length));
  const probe = epoch.reduce((most, batch) => (documents(batch) > documents(most) ? batch : most));
  return [
    check('data: examples', Math.abs(summary.examples - expected.examples), 0),
    check(
      'data: micro-batches of an epoch',
      Math.abs(batches.plan.microBatchesPerEpoch - expected.micro_batches_per_epoch),
      0,
    ),
    check('data: first micro-batch', batchMismatches(padded(epoch[0]!), expected.first_micro_batch), 0),
    check('data: probe', batchMismatches(padded(probe), expected.probe), 0),
  ];
}

/** With the starting adapter. Padding takes part: its logits are compared as well. */
async function probeChecks(
  trainer: Trainer,
  { run, logits, gradients }: ParityCase,
  limits: Limits,
): Promise<ParityCheck[]> {
  const probe = flattenPadded(run.probe);
  const { lossSum, tokens } = await trainer.evaluate([probe]);
  return [
    check('logits', relativeNorm(await trainer.logits(probe), logits), limits.logits),
    check('probe loss', relativeError(lossSum / tokens, run.probe.loss), limits.loss),
    ...gradientChecks(await trainer.gradients(probe), gradients, limits),
  ];
}

async function trainSteps(
  gpu: Gpu,
  trainer: Trainer,
  { config, batches }: PreparedRun,
  onStep: (record: StepRecord, tokensPerSecond: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const { max_steps } = config.training;
  async function* windows() {
    for (let step = 0; step < max_steps; step++) yield (await batches.window(step)).map(flatten);
  }
  await runTraining({
    trainer,
    windows: windows(),
    steps: max_steps,
    learningRate: (step) => learningRateAt(step, config.training, max_steps),
    logEvery: 4,
    signal,
    emit: (event) => {
      gpu.check();
      if (event.type === 'step') onStep(event.record, event.tokensPerSecond);
    },
  });
  signal.throwIfAborted();
}

function stepChecks(ours: readonly StepRecord[], { steps }: ExpectedRun, limits: Limits): ParityCheck[] {
  const errors = (field: 'loss' | 'grad_norm' | 'learning_rate') =>
    largest(steps.map((theirs, i) => relativeError(ours[i]?.[field] ?? Number.NaN, theirs[field])));
  const column = (records: readonly { num_tokens: number }[]) => records.map(({ num_tokens }) => num_tokens);
  return [
    check('steps', Math.abs(ours.length - steps.length), 0),
    check(LOSS_CHECK, errors('loss'), limits.loss),
    check('grad_norm of every step', errors('grad_norm'), limits.gradNorm),
    check('learning_rate of every step', errors('learning_rate'), LIMITS.learningRate),
    check('num_tokens of every step', mismatches(column(ours), column(steps)), 0),
  ];
}

async function trainedChecks(
  trainer: Trainer,
  { adapter: initial }: PreparedRun,
  { adapter }: ParityCase,
  limits: Limits,
): Promise<ParityCheck[]> {
  const trained = await trainer.readAdapter();
  const triples = [...adapter].map(
    ([name, theirs]) => [trained.get(name)?.data ?? [], theirs, initial?.tensors.get(name)?.data ?? null] as const,
  );
  return [check('final adapter', relativeDistance(triples), limits.adapter)];
}

/** The continuation that PyTorch found, by the cached way of generation; and that way's logits against training's. */
async function generationChecks(
  gpu: Gpu,
  trainer: Trainer,
  model: ModelWeights,
  { greedy: { prompt, continuation } }: ExpectedRun,
): Promise<ParityCheck[]> {
  const context = prompt.length + continuation.length;
  const generator = await Generator.create(gpu, { model, adapter: trainer.adapter, sequences: 2, context });
  try {
    generator.begin([0, 1].map((strength) => ({ ids: prompt, strength })));
    const ours: number[] = [];
    while (ours.length < continuation.length) {
      const left = continuation.length - ours.length;
      ours.push(...(await generator.pickLikeliest([0, 1], left))[1]!);
    }
    const ids = [...prompt, ...ours.slice(0, -1)];
    generator.begin([{ ids, strength: 1 }]);
    const [cached] = await generator.logits([0]);
    const whole = await trainer.logits(flatten([[{ ids, labels: ids.map(() => -1) }]]));
    return [
      check('greedy continuation: tokens that differ', mismatches(ours, continuation), 0),
      check('cached logits', relativeNorm(cached!, whole.subarray(whole.length - cached!.length)), LIMITS.cachedLogits),
    ];
  } finally {
    generator.dispose();
  }
}
