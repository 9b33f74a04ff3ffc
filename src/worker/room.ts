/** Room on the disk: what a run and its model would take, what there is, and which cached models are let go of to make some. */
import type { Capabilities } from '../engine/device/capabilities.ts';
import type { ModelMemory, PredictedMemory } from '../engine/train/predict_memory.ts';
import type { CachedModel } from '../storage/model_manifest.ts';
import { roomLeft } from '../storage/quota.ts';
import { runDataBytes } from './run_data.ts';
import type { RunData, StudioStoredRun } from './run_details.ts';
import { cachedModelBytes } from './studio_prediction.ts';
import type { EvictedModel, PredictedDisk } from './studio_protocol.ts';
import type { StudioStore } from './studio_storage.ts';

/** Bytes that a run's pages take at the most: checkpoints that are kept, the one being written, moments, the data. */
export function runDiskBytes(
  { moments }: Pick<PredictedMemory, 'moments'>,
  { save_strategy, data }: { readonly save_strategy: 'no' | 'steps'; readonly data: RunData | null },
): number {
  if (!moments) return 0;
  const dataBytes = data ? runDataBytes([data.training, data.validation]) : 0;
  return dataBytes + (save_strategy === 'no' ? moments.storedBytes : moments.diskBytes);
}

/** What a run with this prediction takes, over a model that the cache may know by `key`. */
export async function predictedDisk(
  store: StudioStore,
  capabilities: Capabilities,
  { key, memory }: { readonly key: string; readonly memory: ModelMemory },
  predicted: PredictedMemory,
  run: Parameters<typeof runDiskBytes>[1],
): Promise<PredictedDisk> {
  const [models, estimate, candidates] = await Promise.all([
    store.models(),
    store.estimate(),
    evictable(store, new Set([key])),
  ]);
  const keepsIt = store.volatile === null && !models.some((model) => model.key === key && model.complete);
  const left = roomLeft(estimate) + sum(candidates.map(({ model }) => model.bytes));
  return {
    run: runDiskBytes(predicted, run),
    model: keepsIt ? cachedModelBytes(capabilities, memory) : 0,
    left: Number.isFinite(left) ? left : null,
  };
}

/**
 * Deletes the models that were used longest ago until there is room for so many bytes; none where all of them together are not
 * enough. Resolves with the room there is then, infinite where the browser does not say.
 *
 * @param inUse keys of models that stay
 * @param tell hears what was deleted, with the kept runs that will have to download it again
 */
export async function makeRoom(
  store: StudioStore,
  bytes: number,
  inUse: ReadonlySet<string>,
  tell: (evicted: readonly EvictedModel[]) => void,
): Promise<number> {
  let left = roomLeft(await store.estimate());
  if (left >= bytes) return left;
  const candidates = await evictable(store, inUse);
  if (left + sum(candidates.map(({ model }) => model.bytes)) < bytes) return left;
  const evicted: EvictedModel[] = [];
  for (const { model, runs } of candidates) {
    if (left >= bytes) break;
    // Another tab may be reading it.
    if (
      !(await store.deleteModel(model.key).then(
        () => true,
        () => false,
      ))
    )
      continue;
    left += model.bytes;
    evicted.push({ name: model.name, bytes: model.bytes, runs });
  }
  if (evicted.length > 0) tell(evicted);
  return left;
}

interface Candidate {
  readonly model: CachedModel;
  /** Names of the kept runs that are of it. */
  readonly runs: readonly string[];
}

/**
 * In the order in which they go: first those that no kept run is of, the least recently used before others. A model that a run
 * could have from nowhere else stays.
 */
async function evictable(store: StudioStore, inUse: ReadonlySet<string>): Promise<Candidate[]> {
  const [models, runs] = await Promise.all([store.models(), store.runs()]);
  const stored = runs as readonly StudioStoredRun[];
  return models
    .filter(({ key }) => !inUse.has(key))
    .map((model) => ({ model, of: stored.filter(({ details }) => details.modelKey === model.key) }))
    .filter(({ of }) => of.every(({ details }) => details.origin !== null))
    .map(({ model, of }) => ({ model, runs: of.map(({ name }) => name) }))
    .sort((a, b) => Math.min(1, a.runs.length) - Math.min(1, b.runs.length) || a.model.used - b.model.used);
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
