/** A command line run's checkpoints: opened where it said, gone on from if it asked to, written as its settings say. */
import type { Gpu } from '../engine/device/gpu.ts';
import { measuredChoices } from '../engine/tuning/kernel_choices.ts';
import { openGenerationStore } from '../storage/generation_store.ts';
import { type CheckpointStore, checkpointToResume, type PinnedChoices, type RunCheckpoint } from './checkpointing.ts';
import type { WorkerPorts } from './ports.ts';
import type { RunCommand } from './protocol.ts';
import type { RunIdentity } from './run_identity.ts';

export interface OpenCheckpoints {
  readonly store: CheckpointStore;
  /** What to go on from. */
  readonly from: RunCheckpoint | null;
}

type TrainCommand = Extract<RunCommand, { type: 'train' }>;

/** Null where the run has none. Throws the named errors of `storage` and {@link checkpointToResume}. */
export async function openCheckpoints(
  { checkpoints, config }: TrainCommand,
  identity: RunIdentity,
  ports: WorkerPorts,
): Promise<OpenCheckpoints | null> {
  const { save_strategy, save_total_limit } = config.training;
  if (!checkpoints || (save_strategy === 'no' && !checkpoints.resume)) return null;
  const disk = await ports.openRunDisk(checkpoints.location);
  try {
    const store: CheckpointStore = await openGenerationStore<RunCheckpoint>(disk, save_total_limit);
    return { store, from: checkpoints.resume ? await checkpointToResume(store, identity) : null };
  } catch (error) {
    await disk.close();
    throw error;
  }
}

/** What the run keeps to its end, once its trainer is made. */
export function pinnedChoices(
  gpu: Gpu,
  trainer: { readonly keptActivations: { readonly layers: number } },
  { precision, stored }: Pick<PinnedChoices, 'precision' | 'stored'>,
): PinnedChoices {
  return {
    adapter: gpu.capabilities.name,
    ...measuredChoices(gpu),
    precision,
    stored,
    keptLayers: trainer.keptActivations.layers,
  };
}
