/**
 * A run of the studio from its start or its checkpoint to its end: what is kept of it, who may write it, and a lost graphics
 * device in between.
 */

import type { OpenChat } from '../data/chat_renderer.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import type { PageVersion } from '../engine/page_store.ts';
import type { PeftAdapter } from '../formats/peft.ts';
import type { PauseGate } from '../hub/gate.ts';
import { StorageFullError } from '../storage/errors.ts';
import { openGenerationStore } from '../storage/generation_store.ts';
import { sparkline } from '../storage/run_manifest.ts';
import { type CheckpointStore, checkpointToResume, type RunCheckpoint } from './checkpointing.ts';
import { DeviceLostError } from './gpu_session.ts';
import type { Intermission } from './intermission.ts';
import { makeRoom, runDiskBytes } from './room.ts';
import { isDataPage, readRunData, writeRunData } from './run_data.ts';
import type { RunData, RunDetails, StudioStoredRun } from './run_details.ts';
import { runIdentity } from './run_identity.ts';
import type { TunedAdapter } from './studio_generate.ts';
import type { LoadedModel } from './studio_model.ts';
import { predictStudioRun } from './studio_prediction.ts';
import type { StudioEvent, TrainRequest } from './studio_protocol.ts';
import type { StudioStore } from './studio_storage.ts';
import { type RunStage, trainInStudio } from './studio_train.ts';

/** What a run needs of the session. */
export interface RunHost {
  readonly runId: string;
  readonly store: StudioStore;
  readonly gate: PauseGate;
  readonly signal: AbortSignal;
  readonly emit: (event: StudioEvent) => void;
  readonly openChat: OpenChat;
  /** Outlasts a lost device. */
  readonly intermission: Intermission<RunStage>;
  /** Whether a checkpoint was asked for since the last question. */
  saveAsked(): boolean;
  device(): Promise<Gpu>;
  /** The model on that device, loaded where it is not. */
  model(details: RunDetails): Promise<LoadedModel>;
}

/** Losses of the device that a run goes on after. */
const LOSSES = 1;

/** Starts a run and keeps it, where the browser keeps anything. Resolves with what was trained. */
export async function startRun(
  host: RunHost,
  details: RunDetails,
  data: RunData,
  adapter: PeftAdapter | null,
): Promise<TunedAdapter> {
  const { store, runId, emit } = host;
  const id = `run-${crypto.randomUUID()}`;
  const { request } = details;
  const now = Date.now();
  const run: StudioStoredRun = {
    id,
    name: request.name,
    created: now,
    updated: now,
    state: 'running',
    checkpointStep: 0,
    totalSteps: request.training.max_steps,
    losses: [],
    bytes: 0,
    reason: null,
    details,
  };
  return withRunStore(host, id, request, async (pages) => {
    await checkRoom(host, details, data);
    await store.putRun(run);
    void store.persist();
    const dataPages = await writeRunData(pages, [data.training, data.validation]);
    emit({ type: 'run-stored', runId, id, checkpointBytes: 0 });
    return keptState(host, id, () =>
      trainWhileDevicesLast(host, { id, details, data, adapter, pages, dataPages }, false),
    );
  });
}

/** Goes on with a stored run. Throws the named errors of `storage`, CheckpointMismatchError. */
export async function resumeRun(host: RunHost, stored: StudioStoredRun, maxSteps?: number): Promise<TunedAdapter> {
  const { id } = stored;
  const training = { ...stored.details.request.training, ...(maxSteps && { max_steps: maxSteps }) };
  const details = { ...stored.details, request: { ...stored.details.request, training } };
  return withRunStore(host, id, details.request, async (pages) => {
    const [newest] = await pages.generations();
    const dataPages = newest?.pages.filter(isDataPage) ?? [];
    pages.retain(dataPages);
    const [training, validation] = newest ? await readRunData(pages, dataPages) : [];
    const longest = [training, validation].reduce((most, part) => Math.max(most, ...(part?.lengths ?? [])), 0);
    const data = { training, validation, longest };
    const part = { state: 'running', reason: null, totalSteps: details.request.training.max_steps, details } as const;
    await host.store.changeRun(id, { ...part, updated: Date.now() });
    const run = { id, details, data, adapter: null, pages, dataPages };
    return keptState(host, id, () => trainWhileDevicesLast(host, run, true));
  });
}

async function withRunStore<T>(
  host: RunHost,
  id: string,
  { training }: TrainRequest,
  use: (pages: CheckpointStore) => Promise<T>,
): Promise<T> {
  const lock = await host.store.lockRun(id);
  try {
    const disk = await host.store.openDisk(id);
    let pages: CheckpointStore | null = null;
    try {
      pages = await openGenerationStore<RunCheckpoint>(disk, training.save_total_limit);
      return await use(pages);
    } finally {
      await (pages ?? disk).close();
    }
  } finally {
    lock.release();
  }
}

/** Notes how the run ended. */
async function keptState({ store, signal }: RunHost, id: string, run: () => Promise<Trained>): Promise<TunedAdapter> {
  try {
    const { left, tuned } = await run();
    await store.changeRun(id, { state: signal.aborted && left > 0 ? 'stopped' : 'finished', updated: Date.now() });
    return tuned;
  } catch (error) {
    await store.changeRun(id, { state: 'failed', reason: (error as Error).message, updated: Date.now() });
    throw error;
  }
}

interface OpenRun {
  readonly id: string;
  readonly details: RunDetails;
  readonly data: RunData;
  readonly adapter: PeftAdapter | null;
  readonly pages: CheckpointStore;
  readonly dataPages: readonly PageVersion[];
}

/** What was trained, and how many steps are left. */
interface Trained {
  readonly tuned: TunedAdapter;
  readonly left: number;
}

async function trainWhileDevicesLast(host: RunHost, run: OpenRun, resume: boolean): Promise<Trained> {
  const { runId, store, gate, emit } = host;
  const { id, details, data, pages, dataPages } = run;
  const { request } = details;
  let done = 0;
  for (let losses = 0; ; losses++) {
    const gpu = await host.device();
    let lost: GPUDeviceLostInfo | null = null;
    void gpu.lost.then((info) => {
      lost = info;
    });
    try {
      const model = await host.model(details);
      const identity = await runIdentity(model.key, { ...request }, [data.training.lengths, data.validation.lengths]);
      const from = resume || losses > 0 ? await checkpointToResume(pages, identity) : null;
      const tuned = await trainInStudio(gpu, {
        ...{ ...host, request, model, data },
        adapter: run.adapter,
        emit: (event) => {
          if (event.type === 'step') done = event.record.step;
          emit(event);
        },
        checkpoints: {
          ...{ store: pages, pages: dataPages, from, identity, asked: host.saveAsked },
          async onSaved(step, bytes, log) {
            const losses = sparkline(log.map(({ loss }) => loss));
            const state = gate.paused ? 'paused' : 'running';
            await store.changeRun(id, { checkpointStep: step, bytes: 2 * bytes, losses, state, updated: Date.now() });
            emit({ type: 'saved', runId, step, bytes });
          },
          onFailed({ name, message }, step) {
            // Its read-back went with the device; nobody needs to free room for that.
            if (lost) return;
            gate.pause();
            emit({ type: 'save-failed', runId, step, name, message });
            emit({ type: 'paused', runId });
          },
        },
      });
      return { tuned, left: request.training.max_steps - done };
    } catch (error) {
      // What a lost device makes fail first comes before the word of its loss.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const info = lost as GPUDeviceLostInfo | null;
      if (!info) throw error;
      if (losses >= LOSSES || host.signal.aborted) throw lostForGood(info, gpu.capabilities.name, error);
      emit({
        type: 'device-lost',
        runId,
        message: `The graphics device ${gpu.capabilities.name} was lost (${info.message || info.reason}). The run goes on from its checkpoint.`,
      });
    }
  }
}

const lostForGood = ({ reason, message }: GPUDeviceLostInfo, adapter: string, cause: unknown) =>
  new DeviceLostError(
    `The graphics device ${adapter} was lost again (${message || reason}). The run is kept: resume it from Runs, after closing ` +
      'other programs that use the GPU, updating its driver, or with a shorter max_length.',
    { cause },
  );

/** Where a run's pages have no room, models that are not needed go. @throws StorageFullError before anything is written. */
async function checkRoom(host: RunHost, details: RunDetails, data: RunData): Promise<void> {
  const { store, runId, emit } = host;
  const { capabilities } = await host.device();
  const { memory, key } = await host.model(details);
  const { request } = details;
  const predicted = predictStudioRun(capabilities, memory, request, data.longest);
  const needed = runDiskBytes(predicted, { ...request.training, data });
  const left = await makeRoom(store, needed, new Set([key]), (models) => emit({ type: 'evicted', runId, models }));
  if (needed <= left) return;
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
  throw new StorageFullError(
    `Keeping this run takes ${megabytes(needed)} on the disk, its checkpoints above all, and this browser has ` +
      `${megabytes(left)} left for the studio. Delete a run that is no longer needed, free space on the disk, or lower r.`,
  );
}
