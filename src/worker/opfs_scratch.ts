/** Scratch files in the browser's private file system. Old ones of tabs that were closed are swept away first. */

import type { RangeSource } from '../formats/range_source.ts';
import type { Scratch } from '../formats/scratch.ts';
import { blobSource } from '../hub/dropped_folder.ts';

/** Only workers have it, and the page's types do not know it. */
interface SyncAccess {
  write(bytes: Uint8Array, options: { at: number }): number;
  flush(): void;
  close(): void;
}
type WritableHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccess> };

const FOLDER = 'scratch';
/** A file that nobody wrote to for a day belongs to nobody. */
const STALE_MS = 24 * 3600 * 1000;

export async function createOpfsScratch(): Promise<Scratch> {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER, { create: true });
  await sweep(folder);
  const name = crypto.randomUUID();
  const handle = (await folder.getFileHandle(name, { create: true })) as WritableHandle;
  const access = await handle.createSyncAccessHandle();
  let at = 0;
  return {
    async write(bytes) {
      // QuotaExceededError says so itself.
      at += access.write(bytes, { at });
    },
    async finish(called): Promise<RangeSource> {
      access.flush();
      access.close();
      return blobSource(called, await handle.getFile());
    },
    async discard() {
      access.close();
      await folder.removeEntry(name).catch(() => undefined);
    },
  };
}

async function sweep(folder: FileSystemDirectoryHandle): Promise<void> {
  for await (const handle of folder.values()) {
    if (handle.kind !== 'file') continue;
    const { lastModified } = await (handle as FileSystemFileHandle).getFile();
    // One that is open elsewhere cannot be removed, and stays.
    if (Date.now() - lastModified > STALE_MS) await folder.removeEntry(handle.name).catch(() => undefined);
  }
}
