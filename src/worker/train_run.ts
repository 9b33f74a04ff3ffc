/** A training run: from a RunConfig to the files of the trained adapter. */
import { flatten } from '../data/batching.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import type { LoadingProgress, ModelWeights } from '../engine/model/weights.ts';
import { NonFiniteLossError, runTraining } from '../engine/train/loop.ts';
import { learningRateAt } from '../engine/train/schedule.ts';
import type { Trainer } from '../engine/train/trainer.ts';
import { pinChoices } from '../engine/tuning/kernel_choices.ts';
import { writePeftAdapter } from '../formats/peft.ts';
import { Checkpointer, restoreCheckpoint } from './checkpointing.ts';
import { withGpu } from './gpu_session.ts';
import { Locator } from './locations.ts';
import type { WorkerPorts } from './ports.ts';
import { type PreparedRun, prepareRun } from './prepare_run.ts';
import type { AdapterFile, RunCommand, WorkerEvent } from './protocol.ts';
import { type OpenCheckpoints, openCheckpoints, pinnedChoices } from './run_checkpoints.ts';
import { type RunIdentity, runIdentity } from './run_identity.ts';
import { sampleTexts } from './sample_texts.ts';
import { TextModel } from './studio_generate.ts';
import { withTrainer } from './trainer_options.ts';
import { Validation } from './validation.ts';

type TrainCommand = Extract<RunCommand, { type: 'train' }>;

/** Most steps between two read-backs of the log. */
export const LOG_EVERY = 8;

/** A run that failed after training had begun, with the adapter as it was before. */
export class RunFailure extends Error {
  readonly files: readonly AdapterFile[];
  constructor(cause: Error, files: readonly AdapterFile[]) {
    super(cause.message, { cause });
    this.name = cause.name;
    this.files = files;
  }
}

/**
 * Emits `data`, `device`, `loading`, `memory`, `restored`, `step`, `evaluation`, `sample`, `saved` and at last `finished`. An
 * abort ends the run after the step in flight and keeps what was trained; before the first step it rejects with the signal's reason.
 */
export async function trainRun(
  command: TrainCommand,
  emit: (event: WorkerEvent) => void,
  ports: WorkerPorts,
  signal: AbortSignal,
): Promise<void> {
  const { runId, config, base, folders } = command;
  const run = await prepareRun(config, new Locator(ports, base, folders), signal);
  emit({ type: 'data', runId, summary: run.summary });
  const identity = await runIdentity(config.model, config, run.exampleLengths);
  const checkpoints = await openCheckpoints(command, identity, ports);
  try {
    await withGpu(
      ports,
      (adapter) => emit({ type: 'device', runId, adapter }),
      (gpu) => trainOn(gpu, command, run, checkpoints && { ...checkpoints, identity }, emit, signal),
    );
  } finally {
    await checkpoints?.store.close();
  }
}

async function trainOn(
  gpu: Gpu,
  { runId, config }: TrainCommand,
  run: PreparedRun,
  checkpoints: (OpenCheckpoints & { readonly identity: RunIdentity }) | null,
  emit: (event: WorkerEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const from = checkpoints?.from ?? null;
  if (from) pinChoices(gpu, from.pinned);
  const { precision, stored } = from?.pinned ?? { precision: 'f32' };
  const sizes = {
    ...run,
    precision,
    stored,
    pageStore: checkpoints?.store,
    ...(from && { keepLayers: { layers: from.pinned.keptLayers } }),
  };
  const hooks = { signal, onLoading: (progress: LoadingProgress) => emit({ type: 'loading', runId, ...progress }) };
  await withTrainer(gpu, run, sizes, hooks, async (trainer, model) => {
    const sampler = samplerOf(gpu, run, trainer, model, signal, (step, texts) =>
      emit({ type: 'sample', runId, step, texts }),
    );
    emit({ type: 'memory', runId, bytes: gpu.ledger.byCategory(), kept: trainer.keptActivations });
    const totalSteps = config.training.max_steps;
    const validation = validationOf(run, trainer);
    const { store } = checkpoints ?? {};
    const restored = store && from ? await restoreCheckpoint(store, trainer, validation, gpu.capabilities.name) : null;
    const first = restored?.step ?? 0;
    if (restored) {
      const { checkpoint, step, notes } = restored;
      emit({ type: 'restored', runId, step, records: checkpoint.log, notes });
    }
    const checkpointer =
      store && config.training.save_strategy === 'steps'
        ? new Checkpointer(
            {
              store,
              trainer,
              validation,
              pinned: restored?.checkpoint.pinned ?? pinnedChoices(gpu, trainer, { precision, stored }),
              identity: checkpoints!.identity,
              every: config.training.save_steps,
              onSaved: (step, bytes) => emit({ type: 'saved', runId, step, bytes }),
              onFailed: ({ name, message }, step) => emit({ type: 'save-failed', runId, step, name, message }),
            },
            restored?.checkpoint,
          )
        : null;
    const { steps } = await runTraining({
      trainer,
      first,
      windows: windows(run, first),
      steps: totalSteps,
      learningRate: (step) => learningRateAt(step, config.training, totalSteps),
      logEvery: LOG_EVERY,
      evaluation: validation ?? undefined,
      checkpoint: checkpointer ?? undefined,
      between: sampler?.between,
      signal: validation ? AbortSignal.any([signal, validation.enough]) : signal,
      emit: (event) => {
        gpu.check();
        checkpointer?.record(event);
        emit(event.type === 'step' ? { ...event, runId, totalSteps } : { ...event, runId });
      },
    })
      .finally(() => checkpointer?.settle())
      .catch(async (error: unknown) => {
        throw error instanceof NonFiniteLossError ? await withKeptAdapter(error, run, trainer) : error;
      });
    await sampler?.sample(steps);
    // What a failed run leaves goes with its device.
    sampler?.dispose();
    const kept = validation?.kept;
    const files = adapterFiles(run, kept?.tensors ?? (await trainer.readAdapter()));
    const stopped = signal.aborted && steps < totalSteps;
    const dispatches = Object.fromEntries(trainer.dispatchCounts);
    emit({ type: 'finished', runId, steps, stopped, files, dispatches, ...(kept && { kept: kept.adapter }) });
  });
}

/** Continues the run's sample prompts before the first step, every so many steps and at the end; null without prompts. */
function samplerOf(
  gpu: Gpu,
  { config: { samples }, spec, tokenizer, openChat }: PreparedRun,
  trainer: Trainer,
  weights: ModelWeights,
  signal: AbortSignal,
  onTexts: (step: number, texts: readonly string[]) => void,
) {
  if (!samples) return null;
  const text = new TextModel(gpu, { spec, tokenizer, weights }, openChat);
  const source = { live: trainer.adapter };
  const sample = async (step: number) => {
    if (signal.aborted) return;
    const texts = await sampleTexts({ text, source }, samples, signal);
    if (!signal.aborted) onTexts(step, texts);
  };
  return {
    sample,
    between: async (step: number) => {
      if (step % samples.every === 0) await sample(step);
    },
    dispose: () => text.dispose(),
  };
}

/** The accumulation windows after `first` steps, without end: the loop decides when it has seen enough. */
async function* windows({ batches }: PreparedRun, first: number) {
  for (let step = first; ; step++) yield (await batches.window(step)).map(flatten);
}

function validationOf({ config: { training }, evalBatches }: PreparedRun, trainer: Trainer): Validation | null {
  return evalBatches && new Validation(trainer, evalBatches, training.eval_steps ?? training.max_steps, training);
}

function adapterFiles({ config }: PreparedRun, tensors: Parameters<typeof writePeftAdapter>[0]['tensors']) {
  return writePeftAdapter({ tensors, config: { ...config.lora, base_model_name_or_path: config.model } });
}

/** Only values that are numbers are worth keeping: the failed step may have been applied. */
async function withKeptAdapter(error: NonFiniteLossError, run: PreparedRun, trainer: Trainer): Promise<Error> {
  const tensors = await trainer.readAdapter();
  const finite = [...tensors.values()].every(({ data }) => data.every(Number.isFinite));
  return finite ? new RunFailure(error, adapterFiles(run, tensors)) : error;
}
