/**
 * The studio's IndexedDB: what there is of runs and models, small things by name. Large bytes are in files. Its schema
 * has a version: an older one migrates when it is opened, a newer one is left alone.
 */
import { type DBSchema, type IDBPDatabase, type IDBPTransaction, openDB, type StoreNames } from 'idb';
import { NewerStorageError, NoStorageError } from './errors.ts';
import type { CachedModel } from './model_manifest.ts';
import type { StoredRun } from './run_manifest.ts';

export interface StudioSchema extends DBSchema {
  runs: { key: string; value: StoredRun };
  /** Records of the runs' page stores, by run and name. */
  records: { key: [run: string, name: string]; value: string };
  models: { key: string; value: CachedModel };
}

export type StudioDatabase = IDBPDatabase<StudioSchema>;

type Upgrade = IDBPTransaction<StudioSchema, StoreNames<StudioSchema>[], 'versionchange'>;

/** What each version adds; the schema's version is their number. Past ones are never changed. */
export const MIGRATIONS: readonly ((database: StudioDatabase, upgrade: Upgrade) => unknown)[] = [
  (database) => {
    database.createObjectStore('runs', { keyPath: 'id' });
    database.createObjectStore('records');
    database.createObjectStore('models', { keyPath: 'key' });
  },
];

export const DATABASE_NAME = 'nibble-studio';

/**
 * Opens the database, which migrates it where it is older.
 *
 * @throws NewerStorageError where a later version of the studio has migrated it further; NoStorageError where there is none.
 */
export async function openStudioDatabase(name = DATABASE_NAME, migrations = MIGRATIONS): Promise<StudioDatabase> {
  try {
    const database = await openDB<StudioSchema>(name, migrations.length, {
      async upgrade(opened, oldVersion, _newVersion, transaction) {
        for (const migrate of migrations.slice(oldVersion)) await migrate(opened, transaction as Upgrade);
      },
      blocking(_current, _blocked, event) {
        // Another tab has a newer version, and waits for this one to let go: what this one writes from now on fails.
        (event.target as IDBDatabase).close();
      },
    });
    return database;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'VersionError')
      throw new NewerStorageError('The local storage');
    throw new NoStorageError(
      'This browser keeps no data here: a private window, or storage that is switched off. Training works; nothing can be ' +
        'resumed after the tab is closed.',
      { cause: error },
    );
  }
}
