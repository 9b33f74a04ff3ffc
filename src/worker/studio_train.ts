/** A training run in the studio: over the loaded model and data, with pause, and an adapter at the end. */
import { type Example, IGNORE_INDEX } from '../data/batch.ts';
import { type Batches, batchesOf, type DatasetPart } from '../data/batches.ts';
import { flatten } from '../data/batching.ts';
import type { OpenChat } from '../data/chat_renderer.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import { hasMatrices, type Precision } from '../engine/kernels/matmul_tile.ts';
import type { Stored } from '../engine/model/decoder.ts';
import type { PageVersion } from '../engine/page_store.ts';
import { choosePrecision, type PrecisionChoice } from '../engine/train/gradient_check.ts';
import { type LoopRecord, NonFiniteLossError, runTraining } from '../engine/train/loop.ts';
import { learningRateAt } from '../engine/train/schedule.ts';
import { Trainer, type TrainerOptions } from '../engine/train/trainer.ts';
import { pinChoices } from '../engine/tuning/kernel_choices.ts';
import { adaptedLinears } from '../formats/lora.ts';
import { checkAdapter, type PeftAdapter, writePeftAdapter } from '../formats/peft.ts';
import type { LoraConfig } from '../formats/run_config.ts';
import type { PauseGate } from '../hub/gate.ts';
import { deltaNorms, MOST_ELEMENTS } from './adapter_norms.ts';
import { Checkpointer, type CheckpointStore, type RunCheckpoint, restoreCheckpoint } from './checkpointing.ts';
import type { Intermission } from './intermission.ts';
import { pinnedChoices } from './run_checkpoints.ts';
import type { RunIdentity } from './run_identity.ts';
import { sampleTexts } from './sample_texts.ts';
import type { LoadedData } from './studio_data.ts';
import { type AdapterSource, TextModel, type TunedAdapter } from './studio_generate.ts';
import type { LoadedModel } from './studio_model.ts';
import { studioKeepLayers } from './studio_prediction.ts';
import type { StudioEvent, TrainRequest } from './studio_protocol.ts';
import { RunFailure } from './train_run.ts';
import { ownBuffers, trainerOptions } from './trainer_options.ts';
import { keepChoices, restoreChoices } from './tuning_store.ts';
import { Validation } from './validation.ts';

/** Most steps between two read-backs of the log. */
const LOG_EVERY = 8;

/** How often in a run the adapter's norms are told. */
const NORMS_TOLD = 12;

export interface StudioRun {
  readonly runId: string;
  readonly request: TrainRequest;
  readonly model: LoadedModel;
  readonly data: Pick<LoadedData, 'training' | 'validation' | 'longest'>;
  readonly adapter: PeftAdapter | null;
  /** Where checkpoints go, and what to go on from. */
  readonly checkpoints: StudioCheckpoints | null;
  readonly gate: PauseGate;
  readonly signal: AbortSignal;
  readonly emit: (event: StudioEvent) => void;
  readonly openChat: OpenChat;
  /** What waits for a pause between two steps; served with the run's model and adapter. */
  readonly intermission: Intermission<RunStage>;
}

export interface StudioCheckpoints {
  readonly store: CheckpointStore;
  /** Pages that every checkpoint lists: the data. */
  readonly pages: readonly PageVersion[];
  /** What to go on from. */
  readonly from: RunCheckpoint | null;
  readonly identity: RunIdentity;
  /** Whether one is wanted out of turn. */
  readonly asked: () => boolean;
  readonly onSaved: (step: number, bytes: number, log: readonly LoopRecord[]) => void | Promise<void>;
  readonly onFailed: (error: Error, step: number) => void;
}

/** What a run lends between two steps. */
export interface RunStage {
  readonly text: TextModel;
  readonly source: AdapterSource;
}

/**
 * Emits `memory`, `restored`, `step`, `evaluation`, `sample` and `finished`, and resolves with what was trained; rejects with a
 * named error, with the adapter where there is one.
 */
export async function trainInStudio(gpu: Gpu, run: StudioRun): Promise<TunedAdapter> {
  const { runId, request, model, data, adapter, checkpoints, signal, emit, intermission } = run;
  const { lora, training } = request;
  const adapters = adaptedLinears(model.spec, lora);
  if (adapter) checkAdapter(adapter, model.spec, lora);
  const batches = batchesOf(data.training, training);
  const evalBatches = validationBatches(data, training);
  const from = checkpoints?.from ?? null;
  if (from) pinChoices(gpu, from.pinned);
  else await restoreChoices(gpu);
  const settings = { lora, training, adapters, adapter };
  const options = trainerOptions(model.weights, settings, {
    capacity: Math.max(batches.plan.mostTokens, evalBatches?.plan.mostTokens ?? 0),
    positions: Math.max(data.longest, 1),
    pageStore: checkpoints?.store,
  });
  const numbers = from?.pinned ?? (await numbersFor(gpu, options, data.training, (event) => emit({ ...event, runId })));
  const { precision, stored } = numbers;
  const trainer = await Trainer.create(gpu, {
    ...options,
    precision,
    stored,
    keepLayers: from ? { layers: from.pinned.keptLayers } : studioKeepLayers(gpu.capabilities, training),
    // What was not measured when the run began stays as it was: other variants sum in another order.
    tune: from
      ? null
      : {
          onMeasure: () => emit({ type: 'preparing', runId, stage: 'measuring' }),
          onDone: () => emit({ type: 'preparing', runId, stage: 'compiling' }),
          signal,
        },
  });
  const text = new TextModel(gpu, model, run.openChat);
  const stage = { text, source: { live: trainer.adapter } };
  const sample = async (step: number) => {
    if (!request.samples || signal.aborted) return;
    const texts = await sampleTexts(stage, request.samples, signal);
    if (!signal.aborted) emit({ type: 'sample', runId, step, texts });
  };
  const linears = [...adapters.values()];
  const watched =
    linears.reduce((sum, { rank, linear: l }) => sum + rank * (l.inFeatures + l.outFeatures), 0) <= MOST_ELEMENTS;
  const tellNorms = (step: number, tensors: Parameters<typeof deltaNorms>[0]) =>
    emit({ type: 'adapter-norms', runId, step, norms: deltaNorms(tensors, linears, model.spec.layers.length) });
  const between = async (step: number) => {
    const { samples } = request;
    if (watched && step % Math.ceil(training.max_steps / NORMS_TOLD) === 0)
      tellNorms(step, await trainer.readAdapter());
    if (samples && step % samples.every === 0) await sample(step);
    await intermission.serve(stage);
  };
  let told = 0;
  /** Again where a longer batch took more. */
  const tellMemory = () => {
    if (told === trainer.capacity) return;
    told = trainer.capacity;
    emit({ type: 'memory', runId, bytes: gpu.ledger.byCategory(), kept: trainer.keptActivations });
  };
  let checkpointer: Checkpointer | null = null;
  try {
    if (!from) await keepChoices(gpu);
    tellMemory();
    const totalSteps = training.max_steps;
    const every = training.eval_steps ?? Math.max(1, Math.min(totalSteps, batches.plan.windowsPerEpoch));
    const validation = evalBatches && new Validation(trainer, evalBatches, every, training);
    const restored =
      checkpoints && from
        ? await restoreCheckpoint(checkpoints.store, trainer, validation, gpu.capabilities.name)
        : null;
    if (restored) {
      const { step, checkpoint, notes } = restored;
      emit({ type: 'restored', runId, step, records: checkpoint.log, evaluations: checkpoint.evaluations, notes });
    }
    if (checkpoints && training.save_strategy === 'steps') {
      const pinned = restored?.checkpoint.pinned ?? pinnedChoices(gpu, trainer, numbers);
      const saving = { ...checkpoints, trainer, validation, pinned, every: training.save_steps };
      checkpointer = new Checkpointer(saving, restored?.checkpoint);
      // From the first moment on there is something to go back to, and whether there is room for it is known.
      if (!restored) await checkpointer.save(0);
    }
    const first = restored?.step ?? 0;
    const { steps } = await runTraining({
      trainer,
      first,
      windows: windows(batches, first),
      between,
      steps: totalSteps,
      learningRate: (step) => learningRateAt(step, training, totalSteps),
      logEvery: LOG_EVERY,
      evaluation: validation ?? undefined,
      checkpoint: checkpointer ?? undefined,
      gate: attentive(run, stage),
      signal: validation ? AbortSignal.any([signal, validation.enough]) : signal,
      emit: (event) => {
        gpu.check();
        tellMemory();
        checkpointer?.record(event);
        emit(event.type === 'step' ? { ...event, runId, totalSteps } : { ...event, runId });
      },
    }).catch(async (error: unknown) => {
      if (!(error instanceof NonFiniteLossError)) throw error;
      throw new RunFailure(error, filesOf(model, lora, await trainer.readAdapter()));
    });
    await checkpointer?.settle();
    const kept = validation?.kept;
    const stopped = signal.aborted && steps < totalSteps;
    await sample(steps);
    const tensors = kept?.tensors ?? (await trainer.readAdapter());
    tellNorms(kept?.adapter.step ?? steps, tensors);
    emit({
      type: 'finished',
      runId,
      steps,
      stopped,
      files: filesOf(model, lora, tensors),
      ...(kept && { kept: kept.adapter }),
    });
    return { lora, tensors: ownBuffers(tensors) };
  } finally {
    await checkpointer?.settle();
    text.dispose();
    trainer.dispose();
  }
}

function filesOf({ info }: StudioRun['model'], lora: LoraConfig, tensors: Tensors) {
  return writePeftAdapter({ tensors, config: { ...lora, base_model_name_or_path: info.name } });
}

type Tensors = Parameters<typeof writePeftAdapter>[0]['tensors'];

/** Tokens of a row that f16 is tried on. */
const TRIED_TOKENS = 256;

/** What this run's matmuls round to, and its activations with them: f16 only where this model's gradients bear both, tried on its own first row. */
async function numbersFor(
  gpu: Gpu,
  options: TrainerOptions,
  examples: DatasetPart,
  tell: (event: { type: 'preparing'; stage: 'checking' } | { type: 'precision'; choice: PrecisionChoice }) => void,
): Promise<{ precision: Precision; stored: Stored }> {
  const f32 = { precision: 'f32', stored: 'f32' } as const;
  if (!hasMatrices(gpu.capabilities)) return f32;
  const row = await trainedRow(examples);
  if (!row) return f32;
  tell({ type: 'preparing', stage: 'checking' });
  const choice = await choosePrecision(gpu, options, flatten([[row]]));
  tell({ type: 'precision', choice });
  return { precision: choice.precision, stored: choice.precision };
}

/** The beginning of the first row that trains something there; null where none of the first does. */
async function trainedRow({ lengths, load }: DatasetPart): Promise<Example | null> {
  for (let i = 0; i < Math.min(lengths.length, 64); i++) {
    const { ids, labels } = await load(i);
    const cut = { ids: ids.slice(0, TRIED_TOKENS), labels: labels.slice(0, TRIED_TOKENS) };
    if (cut.labels.slice(1).some((label) => label !== IGNORE_INDEX)) return cut;
  }
  return null;
}

/** From the step after `first` on, without end. */
async function* windows(batches: Batches, first: number) {
  for (let step = first; ; step++) yield (await batches.window(step)).map(flatten);
}

/** The run's gate, at which what comes up meanwhile is served. */
function attentive(
  { gate, signal, intermission }: Pick<StudioRun, 'gate' | 'signal' | 'intermission'>,
  stage: RunStage,
) {
  return {
    get paused() {
      return gate.paused;
    },
    async wait() {
      const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      while (gate.paused && !signal.aborted) {
        await Promise.race([gate.wait(), stopped, intermission.asked()]);
        await intermission.serve(stage);
      }
    },
  };
}

function validationBatches(
  { validation }: Pick<LoadedData, 'validation'>,
  training: TrainRequest['training'],
): Batches | null {
  if (validation.lengths.length === 0) return null;
  // In file order: evaluation visits each once.
  return batchesOf(validation, { ...training, train_sampling_strategy: 'sequential' });
}
