/**
 * A run's page disk in the browser: the pages in one file of the private file system, the records in IndexedDB. Measured
 * against pages in IndexedDB: docs/decisions/0012-page-files.md. For workers only.
 */
import type { StudioDatabase } from './database.ts';
import type { DiskReader, PageDisk } from './page_disk.ts';
import { lockReading, whileUnread } from './run_lock.ts';
import { openSyncFile, removeStored, type SyncAccess, storageError, storageFolder, writeFully } from './sync_file.ts';

const FILE = 'pages';

/** All records of a run. */
const recordsOf = (run: string) => IDBKeyRange.bound([run], [run, []]);

export async function openBrowserDisk(database: StudioDatabase, run: string): Promise<PageDisk> {
  const file = await openSyncFile(await storageFolder(['stored', run]), FILE);
  return new BrowserDisk(database, run, file);
}

/** For whoever only looks at a run. */
export async function browserRecords(database: StudioDatabase, run: string): Promise<ReadonlyMap<string, string>> {
  const transaction = database.transaction('records');
  const [keys, texts] = await Promise.all([
    transaction.store.getAllKeys(recordsOf(run)),
    transaction.store.getAll(recordsOf(run)),
  ]);
  return new Map(keys.map(([, name], i) => [name, texts[i]]));
}

/**
 * Deletes all that a run has stored: its records first, so that none is left without its pages.
 *
 * @throws StoredInUseError where a {@link PageDisk.reader} is open, here or in another tab; then nothing is deleted.
 */
export async function removeBrowserDisk(database: StudioDatabase, run: string): Promise<void> {
  await whileUnread(navigator.locks, run, () => remove(database, run));
}

async function remove(database: StudioDatabase, run: string): Promise<void> {
  await database.delete('records', recordsOf(run));
  await removeStored(await storageFolder(['stored']), run);
}

class BrowserDisk implements PageDisk {
  readonly #database: StudioDatabase;
  readonly #run: string;
  readonly #file: SyncAccess;

  constructor(database: StudioDatabase, run: string, file: SyncAccess) {
    this.#database = database;
    this.#run = run;
    this.#file = file;
  }

  async read(at: number, byteLength: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = into?.subarray(0, byteLength) ?? new Uint8Array(byteLength);
    const read = this.#file.read(bytes, { at });
    return read === byteLength ? bytes : bytes.slice(0, read);
  }

  async write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    writeFully(this.#file, at, bytes);
  }

  async flush(): Promise<void> {
    this.#file.flush();
  }

  async truncate(byteLength: number): Promise<void> {
    if (this.#file.getSize() > byteLength) this.#file.truncate(byteLength);
  }

  records(): Promise<ReadonlyMap<string, string>> {
    return browserRecords(this.#database, this.#run);
  }

  async putRecords(records: readonly (readonly [name: string, text: string])[]): Promise<void> {
    try {
      const transaction = this.#database.transaction('records', 'readwrite', { durability: 'strict' });
      // All or none, the last one last.
      await Promise.all([
        ...records.map(([name, text]) => transaction.store.put(text, [this.#run, name])),
        transaction.done,
      ]);
    } catch (error) {
      throw storageError(error);
    }
  }

  async deleteRecords(names: readonly string[]): Promise<void> {
    const transaction = this.#database.transaction('records', 'readwrite', { durability: 'strict' });
    await Promise.all([...names.map((name) => transaction.store.delete([this.#run, name])), transaction.done]);
  }

  async close(): Promise<void> {
    this.#file.close();
  }

  async reader(): Promise<DiskReader> {
    const lock = await lockReading(navigator.locks, this.#run);
    let file: Promise<File> | null = null;
    const open = async () => {
      const folder = await storageFolder(['stored', this.#run]);
      return (await folder.getFileHandle(FILE)).getFile();
    };
    const slice = async (at: number, byteLength: number) => {
      file ??= open();
      return new Uint8Array(await (await file).slice(at, at + byteLength).arrayBuffer());
    };
    return {
      // A file that was written to since is another one for the browser.
      read: (at, byteLength) =>
        slice(at, byteLength).catch(() => {
          file = null;
          return slice(at, byteLength);
        }),
      async close() {
        lock.release();
      },
    };
  }
}
