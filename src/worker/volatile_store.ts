/** What a browser that keeps nothing leaves: all of it in memory, until the tab is closed. */
import { MemoryDisk } from '../storage/memory_disk.ts';
import type { PageDisk } from '../storage/page_disk.ts';
import type { StoredRun } from '../storage/run_manifest.ts';
import type { StudioStore } from './studio_storage.ts';

export class VolatileStore implements StudioStore {
  readonly volatile: string;
  readonly #runs = new Map<string, StoredRun>();
  readonly #disks = new Map<string, PageDisk>();

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
