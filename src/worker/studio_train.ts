/** A training run in the studio: over the loaded model and data, with pause, and an adapter at the end. */
import { type Example, IGNORE_INDEX } from '../data/batch.ts';
import { type BatchPlan, flatten, planBatches } from '../data/batching.ts';
import { assumedMemoryBytes } from '../engine/device/allocation.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import { hasMatrices, type Precision } from '../engine/kernels/matmul_tile.ts';
import { choosePrecision, type PrecisionChoice } from '../engine/train/gradient_check.ts';
import { KEEP_ALL } from '../engine/train/kept_layers.ts';
import { NonFiniteLossError, runTraining } from '../engine/train/loop.ts';
import { learningRateAt } from '../engine/train/schedule.ts';
import { Trainer, type TrainerOptions } from '../engine/train/trainer.ts';
import { adaptedLinears } from '../formats/lora.ts';
import { checkAdapter, type PeftAdapter, writePeftAdapter } from '../formats/peft.ts';
import type { PauseGate } from '../hub/gate.ts';
import { mostTokens } from './prepare_run.ts';
import type { LoadedData } from './studio_data.ts';
import type { LoadedModel } from './studio_model.ts';
import type { StudioEvent, TrainRequest } from './studio_protocol.ts';
import { RunFailure } from './train_run.ts';
import { trainerOptions } from './trainer_options.ts';
import { keepChoices } from './tuning_store.ts';

/** Most steps between two read-backs of the log. */
const LOG_EVERY = 8;

export interface StudioRun {
  readonly runId: string;
  readonly request: TrainRequest;
  readonly model: LoadedModel;
  readonly data: LoadedData;
  readonly adapter: PeftAdapter | null;
  readonly gate: PauseGate;
  readonly signal: AbortSignal;
  readonly emit: (event: StudioEvent) => void;
}

/** Emits `memory`, `step`, `evaluation` and `finished`; rejects with a named error, with the adapter where there is one. */
export async function trainInStudio(gpu: Gpu, run: StudioRun): Promise<void> {
  const { runId, request, model, data, adapter, gate, signal, emit } = run;
  const { lora, training } = request;
  const adapters = adaptedLinears(model.spec, lora);
  if (adapter) checkAdapter(adapter, model.spec, lora);
  const plan = planBatches(data.training, training);
  const evalPlan = validationPlan(data.validation, training);
  const batchSize = training.per_device_train_batch_size;
  const capacity = Math.max(...[plan, ...(evalPlan ? [evalPlan] : [])].map((one) => mostTokens(one, batchSize)));
  const settings = { lora, training, adapters, adapter };
  const options = trainerOptions(model.weights, settings, { capacity, positions: Math.max(data.longest, 1) });
  // Nobody has said what may be used: no more than a page may count on.
  const whatFits = { totalBytes: assumedMemoryBytes(gpu.capabilities.maxBufferBytes) };
  const precision = await precisionFor(gpu, options, data.training, (event) => emit({ ...event, runId }));
  const trainer = await Trainer.create(gpu, {
    ...options,
    precision,
    keepLayers: options.keepLayers === KEEP_ALL ? whatFits : options.keepLayers,
    tune: {
      onMeasure: () => emit({ type: 'preparing', runId, stage: 'measuring' }),
      onDone: () => emit({ type: 'preparing', runId, stage: 'compiling' }),
      signal,
    },
  });
  await keepChoices(gpu);
  const files = async () =>
    writePeftAdapter({
      tensors: await trainer.readAdapter(),
      config: { ...lora, base_model_name_or_path: model.info.name },
    });
  try {
    emit({ type: 'memory', runId, bytes: gpu.ledger.byCategory(), kept: trainer.keptActivations });
    const totalSteps = training.max_steps;
    const { steps, stopped } = await runTraining({
      trainer,
      windows: windows(plan, gate, signal),
      steps: totalSteps,
      learningRate: (step) => learningRateAt(step, training, totalSteps),
      logEvery: LOG_EVERY,
      evaluation: evalPlan
        ? {
            every: training.eval_steps ?? Math.max(1, Math.min(totalSteps, plan.windowsPerEpoch)),
            run: () => trainer.evaluate(batches(evalPlan)),
          }
        : undefined,
      signal,
      emit: (event) => {
        gpu.check();
        emit(event.type === 'step' ? { ...event, runId, totalSteps } : { ...event, runId });
      },
    }).catch(async (error: unknown) => {
      if (!(error instanceof NonFiniteLossError)) throw error;
      throw new RunFailure(error, await files());
    });
    emit({ type: 'finished', runId, steps, stopped, files: await files() });
  } finally {
    trainer.dispose();
  }
}

/** Tokens of a row that f16 is tried on. */
const TRIED_TOKENS = 256;

/** What this run's matmuls round to: f16 only where this model's gradients bear it, tried on its own first row. */
async function precisionFor(
  gpu: Gpu,
  options: TrainerOptions,
  examples: readonly Example[],
  tell: (event: { type: 'preparing'; stage: 'checking' } | { type: 'precision'; choice: PrecisionChoice }) => void,
): Promise<Precision> {
  const row = examples.find(({ labels }) => labels.slice(1, TRIED_TOKENS).some((label) => label !== IGNORE_INDEX));
  if (!row || !hasMatrices(gpu.capabilities)) return 'f32';
  tell({ type: 'preparing', stage: 'checking' });
  const cut = { ids: row.ids.slice(0, TRIED_TOKENS), labels: row.labels.slice(0, TRIED_TOKENS) };
  const batch = flatten([[cut]]);
  const choice = await choosePrecision(gpu, options, batch);
  tell({ type: 'precision', choice });
  return choice.precision;
}

/** Waits where the user has paused; a stop while paused ends the run. */
async function* windows(plan: BatchPlan, gate: PauseGate, signal: AbortSignal) {
  for (let step = 0; ; step++) {
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    if (gate.paused && !signal.aborted) await Promise.race([gate.wait(), stopped]);
    yield plan.window(step).map(flatten);
  }
}

function validationPlan(examples: readonly Example[], training: TrainRequest['training']): BatchPlan | null {
  // In file order: evaluation visits each once.
  return examples.length > 0 ? planBatches(examples, { ...training, train_sampling_strategy: 'sequential' }) : null;
}

function* batches(plan: BatchPlan) {
  for (const batch of plan.epoch(0)) yield flatten(batch);
}
