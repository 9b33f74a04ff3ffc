/**
 * The studio's place on the disk: runs with their checkpoints, models with their cached weights. Where the browser keeps nothing
 * the same things are held in memory until the tab is closed.
 */
import { browserRecords, openBrowserDisk, removeBrowserDisk } from '../storage/browser_disk.ts';
import { openStudioDatabase, type StudioDatabase } from '../storage/database.ts';
import { partOf } from '../storage/download_spool.ts';
import { CheckpointLostError } from '../storage/errors.ts';
import { listGenerations } from '../storage/generation_store.ts';
import type { CachedModel } from '../storage/model_manifest.ts';
import { askToPersist, storageEstimate } from '../storage/quota.ts';
import { changeRun, listRuns, putRun, readRun } from '../storage/run_list.ts';
import { lockedRuns, lockRun } from '../storage/run_lock.ts';
import type { StoredRun } from '../storage/run_manifest.ts';
import { storageFolder } from '../storage/sync_file.ts';
import type { StudioStore } from './studio_storage.ts';
import { VolatileStore } from './volatile_store.ts';

export async function openStudioStore(): Promise<StudioStore> {
  try {
    const database = await openStudioDatabase();
    await storageFolder(['stored']);
    return new BrowserStore(database);
  } catch (error) {
    return new VolatileStore((error as Error).message);
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
    for (const disk of [key, partOf(key)]) await removeBrowserDisk(this.#database, disk);
    await this.#database.delete('models', key);
  }

  estimate() {
    return storageEstimate(navigator.storage);
  }

  async persist() {
    await askToPersist(navigator.storage);
  }
}
