/** A training run: from a RunConfig to the files of the trained adapter. */
import type { Batches } from '../data/batches.ts';
import { flatten } from '../data/batching.ts';
import type { LoadingProgress } from '../engine/model/weights.ts';
import { NonFiniteLossError, runTraining } from '../engine/train/loop.ts';
import { learningRateAt } from '../engine/train/schedule.ts';
import type { Trainer } from '../engine/train/trainer.ts';
import { writePeftAdapter } from '../formats/peft.ts';
import { withGpu } from './gpu_session.ts';
import { Locator } from './locations.ts';
import type { WorkerPorts } from './ports.ts';
import { type PreparedRun, prepareRun } from './prepare_run.ts';
import type { AdapterFile, RunCommand, WorkerEvent } from './protocol.ts';
import { withTrainer } from './trainer_options.ts';

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
 * Emits `data`, `device`, `loading`, `memory`, `step`, `evaluation` and at last `finished`. An abort ends the run after the
 * step in flight and keeps what was trained; before the first step it rejects with the signal's reason.
 */
export async function trainRun(
  command: Extract<RunCommand, { type: 'train' }>,
  emit: (event: WorkerEvent) => void,
  ports: WorkerPorts,
  signal: AbortSignal,
): Promise<void> {
  const { runId, config, base, folders } = command;
  const run = await prepareRun(config, new Locator(ports, base, folders), signal);
  emit({ type: 'data', runId, summary: run.summary });
  await withGpu(
    ports,
    (adapter) => emit({ type: 'device', runId, adapter }),
    (gpu) => {
      const hooks = { signal, onLoading: (progress: LoadingProgress) => emit({ type: 'loading', runId, ...progress }) };
      return withTrainer(gpu, run, run, hooks, async (trainer) => {
        emit({ type: 'memory', runId, bytes: gpu.ledger.byCategory(), kept: trainer.keptActivations });
        const totalSteps = config.training.max_steps;
        const { steps, stopped } = await runTraining({
          trainer,
          windows: windows(run),
          steps: totalSteps,
          learningRate: (step) => learningRateAt(step, config.training, totalSteps),
          logEvery: LOG_EVERY,
          evaluation: evaluation(run, trainer),
          signal,
          emit: (event) => {
            gpu.check();
            emit(event.type === 'step' ? { ...event, runId, totalSteps } : { ...event, runId });
          },
        }).catch(async (error: unknown) => {
          throw error instanceof NonFiniteLossError ? await withKeptAdapter(error, run, trainer) : error;
        });
        const files = adapterFiles(run, await trainer.readAdapter());
        const dispatches = Object.fromEntries(trainer.dispatchCounts);
        emit({ type: 'finished', runId, steps, stopped, files, dispatches });
      });
    },
  );
}

/** The accumulation windows without end: the loop decides when it has seen enough. */
async function* windows({ batches }: PreparedRun) {
  for (let step = 0; ; step++) yield (await batches.window(step)).map(flatten);
}

function evaluation({ config, evalBatches }: PreparedRun, trainer: Trainer) {
  if (!evalBatches) return undefined;
  async function* flattened({ epoch }: Batches) {
    for await (const batch of epoch(0)) yield flatten(batch);
  }
  return {
    every: config.training.eval_steps ?? config.training.max_steps,
    run: () => trainer.evaluate(flattened(evalBatches)),
  };
}

function adapterFiles({ config }: PreparedRun, tensors: Awaited<ReturnType<Trainer['readAdapter']>>) {
  return writePeftAdapter({ tensors, config: { ...config.lora, base_model_name_or_path: config.model } });
}

/** Only values that are numbers are worth keeping: the failed step may have been applied. */
async function withKeptAdapter(error: NonFiniteLossError, run: PreparedRun, trainer: Trainer): Promise<Error> {
  const tensors = await trainer.readAdapter();
  const finite = [...tensors.values()].every(({ data }) => data.every(Number.isFinite));
  return finite ? new RunFailure(error, adapterFiles(run, tensors)) : error;
}
