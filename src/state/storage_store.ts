/** What the browser keeps for the studio: runs, models, and how much room there is. */
import { create } from 'zustand';
import type { EvictedModel, StorageFacts } from '../worker/studio_protocol.ts';
import type { Failure } from './model_store.ts';
import { type StudioSignal, studioClient } from './studio_client.ts';

interface StorageState {
  readonly facts: StorageFacts | null;
  readonly runId: string;
  /** What is being deleted, by its id or key. */
  readonly deleting: string | null;
  readonly failure: Failure | null;
  /** Models that were deleted to make room, since the page was opened. */
  readonly evicted: readonly EvictedModel[];
}

export const useStorage = create<StorageState>()(() => ({
  facts: null,
  runId: '',
  deleting: null,
  failure: null,
  evicted: [],
}));

export function listStorage(): void {
  const runId = studioClient.newRunId('list-storage');
  useStorage.setState({ runId });
  studioClient.send({ type: 'list-storage', runId });
}

export function deleteRun(id: string): void {
  const runId = studioClient.newRunId('delete-run');
  useStorage.setState({ runId, deleting: id, failure: null });
  studioClient.send({ type: 'delete-run', runId, id });
}

export function deleteModel(key: string): void {
  const runId = studioClient.newRunId('delete-model');
  useStorage.setState({ runId, deleting: key, failure: null });
  studioClient.send({ type: 'delete-model', runId, key });
}

export function receiveForStorage(signal: StudioSignal): void {
  if (signal.type === 'crashed') {
    useStorage.setState({ deleting: null });
    return;
  }
  if (signal.type === 'evicted') {
    useStorage.setState(({ evicted }) => ({ evicted: [...evicted, ...signal.models] }));
  }
  // What changes on the disk by other work is looked at again.
  const changes = ['model-ready', 'run-stored', 'saved', 'finished'];
  if (changes.includes(signal.type) && useStorage.getState().deleting === null) listStorage();
  if (signal.runId !== useStorage.getState().runId) return;
  if (signal.type === 'storage') useStorage.setState({ facts: signal.facts, deleting: null });
  else if (signal.type === 'failed') {
    const { name, message } = signal;
    useStorage.setState({ deleting: null, failure: { name, message } });
  }
}
