/** The list of runs in the database. */
import type { StudioDatabase } from './database.ts';
import type { StoredRun } from './run_manifest.ts';

export async function listRuns(database: StudioDatabase): Promise<StoredRun[]> {
  const runs = await database.getAll('runs');
  return runs.sort((a, b) => b.created - a.created);
}

export function readRun(database: StudioDatabase, id: string): Promise<StoredRun | undefined> {
  return database.get('runs', id);
}

export async function putRun(database: StudioDatabase, run: StoredRun): Promise<void> {
  await database.put('runs', run);
}

/** Changes some of what is kept. A run that was deleted meanwhile stays deleted. */
export async function changeRun(
  database: StudioDatabase,
  id: string,
  part: Partial<Omit<StoredRun, 'id'>>,
): Promise<void> {
  const transaction = database.transaction('runs', 'readwrite');
  const run = await transaction.store.get(id);
  if (run) await transaction.store.put({ ...run, ...part });
  await transaction.done;
}
