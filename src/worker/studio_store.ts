/**
 * The studio's place on the disk: runs with their checkpoints, models with their cached weights. Where the browser keeps nothing
 * the same things are held in memory until the tab is closed.
 */
import { browserRecords, openBrowserDisk, removeBrowserDisk } from '../storage/browser_disk.ts';
import { openStudioDatabase, type StudioDatabase } from '../storage/database.ts';
import { CheckpointLostError } from '../storage/errors.ts';
import { listGenerations } from '../storage/generation_store.ts';
import { MemoryDisk } from '../storage/memory_disk.ts';
import type { CachedModel } from '../storage/model_manifest.ts';
import type { PageDisk } from '../storage/page_disk.ts';
import { askToPersist, type StorageEstimate, storageEstimate } from '../storage/quota.ts';
import { changeRun, listRuns, putRun, readRun } from '../storage/run_list.ts';
import { lockedRuns, lockRun, type RunLock } from '../storage/run_lock.ts';
import type { StoredRun } from '../storage/run_manifest.ts';
import { removeStored, storageFolder } from '../storage/sync_file.ts';

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

export async function openStudioStore(): Promise<StudioStore> {
  try {
    const database = await openStudioDatabase();
    await storageFolder(['stored']);
    return new BrowserStore(database);
  } catch (error) {
    return new MemoryStore((error as Error).message);
  }
}

class BrowserStore implements StudioStore {
  readonly volatile = null;
  readonly #database: StudioDatabase;

  constructor(database: StudioDatabase) {
    this.#database = database;
  }

  async runs() {
    const [runs, locked] = await Promise.all([listRuns(this.#database), lockedRuns(navigator.locks)]);
    return runs.map((run) => ({ ...run, open: locked.has(run.id) }));
  }

  async run(id: string) {
    const run = await readRun(this.#database, id);
    if (!run) return undefined;
    // What the records say goes before what was noted: the tab may have ended in between.
    const [newest] = await listGenerations({ records: () => browserRecords(this.#database, id) });
    if (run.checkpointStep > 0 && !newest) {
      throw new CheckpointLostError(
        `The checkpoints of ${run.name} are gone: the browser has evicted them. Start the run again; its settings are kept.`,
      );
    }
    return { ...run, checkpointStep: newest?.step ?? 0 };
  }

  putRun(run: StoredRun) {
    return putRun(this.#database, run);
  }

  changeRun(id: string, part: Partial<Omit<StoredRun, 'id'>>) {
    return changeRun(this.#database, id, part);
  }

  lockRun(id: string) {
    return lockRun(navigator.locks, id);
  }

  openDisk(id: string) {
    return openBrowserDisk(this.#database, id);
  }

  async deleteRun(id: string) {
    const lock = await this.lockRun(id);
    try {
      // Out of the list last: what cannot be deleted now can be deleted again.
      await removeBrowserDisk(this.#database, id);
      await this.#database.delete('runs', id);
    } finally {
      lock.release();
    }
  }

  models() {
    return this.#database.getAll('models');
  }

  async putModel(model: CachedModel) {
    await this.#database.put('models', model);
  }

  async deleteModel(key: string) {
    await removeBrowserDisk(this.#database, key);
    await removeStored(await storageFolder(['stored']), key);
    await this.#database.delete('models', key);
  }

  estimate() {
    return storageEstimate(navigator.storage);
  }

  async persist() {
    await askToPersist(navigator.storage);
  }
}

class MemoryStore implements StudioStore {
  readonly volatile: string;
  readonly #runs = new Map<string, StoredRun>();
  readonly #disks = new Map<string, MemoryDisk>();

  constructor(why: string) {
    this.volatile = why;
  }

  async runs() {
    return [...this.#runs.values()].map((run) => ({ ...run, open: false }));
  }

  async run(id: string) {
    return this.#runs.get(id);
  }

  async putRun(run: StoredRun) {
    this.#runs.set(run.id, run);
  }

  async changeRun(id: string, part: Partial<Omit<StoredRun, 'id'>>) {
    const run = this.#runs.get(id);
    if (run) this.#runs.set(id, { ...run, ...part });
  }

  async lockRun() {
    return { release() {} };
  }

  async openDisk(id: string) {
    const disk = this.#disks.get(id) ?? new MemoryDisk();
    this.#disks.set(id, disk);
    return disk;
  }

  async deleteRun(id: string) {
    this.#runs.delete(id);
    this.#disks.delete(id);
  }

  /** Weights in memory are the GPU's to hold. */
  async models() {
    return [];
  }

  async putModel() {}

  async deleteModel() {}

  async estimate() {
    return { usedBytes: null, quotaBytes: null, persisted: false };
  }

  async persist() {}
}
