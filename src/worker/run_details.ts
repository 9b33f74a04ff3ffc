/** What is known of a run beside its pages: in the list of runs, and while it trains. */
import type { DatasetPart } from '../data/batches.ts';
import type { StoredRun } from '../storage/run_manifest.ts';
import type { ModelInfo, ModelLocation, TrainRequest } from './studio_protocol.ts';

/** What a stored run's entry says that only the worker understands. */
export interface RunDetails {
  readonly request: TrainRequest;
  readonly model: ModelInfo;
  readonly modelKey: string;
  /** Where the model can be had when the cache lacks it; null for a dropped folder. */
  readonly origin: Extract<ModelLocation, { kind: 'hub' }> | null;
}

export type StudioStoredRun = StoredRun<RunDetails>;

export interface RunData {
  readonly training: DatasetPart;
  readonly validation: DatasetPart;
  readonly longest: number;
}
