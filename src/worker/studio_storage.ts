/** The port through which the studio keeps runs and models. */
import type { CachedModel } from '../storage/model_manifest.ts';
import type { PageDisk } from '../storage/page_disk.ts';
import type { StorageEstimate } from '../storage/quota.ts';
import type { RunLock } from '../storage/run_lock.ts';
import type { StoredRun } from '../storage/run_manifest.ts';

export interface StudioStore {
  /** Null where it is kept; else why nothing is, for the user. */
  readonly volatile: string | null;
  runs(): Promise<readonly (StoredRun & { readonly open: boolean })[]>;
  run(id: string): Promise<StoredRun | undefined>;
  putRun(run: StoredRun): Promise<void>;
  changeRun(id: string, part: Partial<Omit<StoredRun, 'id'>>): Promise<void>;
  /** @throws RunLockedError */
  lockRun(id: string): Promise<RunLock>;
  /** Of a run or a model, by its id or key. */
  openDisk(id: string): Promise<PageDisk>;
  /** With all that it has stored. @throws RunLockedError */
  deleteRun(id: string): Promise<void>;
  models(): Promise<readonly CachedModel[]>;
  putModel(model: CachedModel): Promise<void>;
  deleteModel(key: string): Promise<void>;
  estimate(): Promise<StorageEstimate>;
  /** Asks the browser to keep it all, once there is something to keep. */
  persist(): Promise<void>;
}
