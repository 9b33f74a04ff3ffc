/** What the browser keeps: its schema's versions, who may write a run, eviction, and a browser that keeps nothing. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { MIGRATIONS, openStudioDatabase } from '../storage/database.ts';
import { CheckpointLostError, NewerStorageError, NoStorageError, RunLockedError } from '../storage/errors.ts';
import { openGenerationStore } from '../storage/generation_store.ts';
import { MemoryDisk } from '../storage/memory_disk.ts';
import { changeRun, listRuns, putRun, readRun } from '../storage/run_list.ts';
import type { StoredRun } from '../storage/run_manifest.ts';
import { openStudioStore } from './studio_store.ts';

const runOf = (id: string, part: Partial<StoredRun> = {}): StoredRun => ({
  ...{ id, name: id, created: 1, updated: 1, state: 'running', checkpointStep: 0, totalSteps: 9 },
  ...{ losses: [], bytes: 0, reason: null, details: { request: 'plain data' } },
  ...part,
});

afterEach(() => vi.restoreAllMocks());

describe('the schema', () => {
  const later = [
    ...MIGRATIONS,
    // What a later version may do: another store, and a field that older entries lack.
    async (_: unknown, upgrade: Parameters<(typeof MIGRATIONS)[0]>[1]) => {
      for (const run of await upgrade.objectStore('runs').getAll()) {
        await upgrade.objectStore('runs').put({ ...run, name: `${run.name}, migrated` });
      }
    },
  ] as typeof MIGRATIONS;

  it('migrates what is older; what is newer is refused and left as it is', async () => {
    const name = crypto.randomUUID();
    const old = await openStudioDatabase(name);
    await putRun(old, runOf('a'));
    old.close();
    const migrated = await openStudioDatabase(name, later);
    expect(await readRun(migrated, 'a')).toEqual(runOf('a', { name: 'a, migrated' }));
    migrated.close();
    await expect(openStudioDatabase(name)).rejects.toThrow(NewerStorageError);
    const again = await openStudioDatabase(name, later);
    expect(await listRuns(again)).toEqual([runOf('a', { name: 'a, migrated' })]);
    again.close();
    indexedDB.deleteDatabase(name);
  });

  it('lets a newer tab go on while an older one is open, which then writes nothing more', async () => {
    const name = crypto.randomUUID();
    const old = await openStudioDatabase(name);
    await putRun(old, runOf('a'));
    const migrated = await openStudioDatabase(name, later);
    await expect(putRun(old, runOf('b'))).rejects.toThrow();
    expect(await listRuns(migrated)).toHaveLength(1);
    // A run that was deleted meanwhile stays deleted.
    await changeRun(migrated, 'gone', { state: 'finished' });
    expect(await listRuns(migrated)).toHaveLength(1);
    migrated.close();
    indexedDB.deleteDatabase(name);
  });
});

it('one tab at a time writes a run; others see that it is open', async () => {
  const store = await openStudioStore();
  expect(store.volatile).toBeNull();
  const [id, other] = [crypto.randomUUID(), crypto.randomUUID()];
  for (const run of [id, other]) await store.putRun(runOf(run));
  const lock = await store.lockRun(id);
  await expect(store.lockRun(id)).rejects.toThrow(RunLockedError);
  await expect(store.deleteRun(id)).rejects.toThrow(RunLockedError);
  const open = new Map((await store.runs()).map((run) => [run.id, run.open]));
  expect([open.get(id), open.get(other)]).toEqual([true, false]);
  lock.release();
  // The browser gives it back in a moment of its own.
  await expect
    .poll(() =>
      store.deleteRun(id).then(
        () => true,
        () => false,
      ),
    )
    .toBe(true);
  await store.deleteRun(other);
  expect((await store.runs()).filter((run) => run.id === id || run.id === other)).toEqual([]);
});

it('a run whose checkpoints were evicted says so; with them it can go on', async () => {
  const store = await openStudioStore();
  const id = crypto.randomUUID();
  await store.putRun(runOf(id, { checkpointStep: 5 }));
  await expect(store.run(id)).rejects.toThrow(CheckpointLostError);
  await expect(store.run(id)).rejects.toThrow(/evicted/);
  const disk = new MemoryDisk();
  const generations = await openGenerationStore(disk);
  await generations.commit({ step: 7, pages: [], state: {} });
  const database = await openStudioDatabase();
  for (const [name, text] of await disk.records()) await database.put('records', text, [id, name]);
  database.close();
  // What is on the disk goes before what was noted when the tab ended.
  expect(await store.run(id)).toMatchObject({ checkpointStep: 7 });
  await store.deleteRun(id);
  expect(await store.run(id)).toBeUndefined();
});

it('where the browser keeps nothing it says so, and the same things work until the tab is closed', async () => {
  vi.spyOn(navigator.storage, 'getDirectory').mockRejectedValue(new DOMException('denied', 'SecurityError'));
  const store = await openStudioStore();
  expect(store.volatile).toMatch(/private window/);
  await store.putRun(runOf('a'));
  const disk = await store.openDisk('a');
  await (await openGenerationStore(disk)).commit({ step: 3, pages: [], state: {} });
  expect(await (await openGenerationStore(await store.openDisk('a'))).generations()).toMatchObject([{ step: 3 }]);
  expect(await store.runs()).toHaveLength(1);
  vi.spyOn(indexedDB, 'open').mockImplementation(() => {
    throw new DOMException('denied', 'SecurityError');
  });
  await expect(openStudioDatabase()).rejects.toThrow(NoStorageError);
});
