/** Files of the browser's private file system, as workers read and write them. */
import { NoStorageError, StorageFullError } from './errors.ts';

/** Only workers have it, and the page's types do not know it. */
export interface SyncAccess {
  read(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  write(bytes: Uint8Array<ArrayBuffer>, options: { at: number }): number;
  getSize(): number;
  truncate(byteLength: number): void;
  flush(): void;
  close(): void;
}

export type SyncFileHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccess> };

const FULL =
  'This browser has no more room for the studio. Delete a model or a run that is no longer needed, or free space on the disk.';

/** What a browser says when it has no more room, as the error that the studio knows; anything else as it is. */
export function storageError(error: unknown): unknown {
  const name = error instanceof Error || error instanceof DOMException ? error.name : '';
  return name === 'QuotaExceededError' ? new StorageFullError(FULL, { cause: error }) : error;
}

/**
 * A folder of the private file system, made where it is missing.
 *
 * @throws NoStorageError where the browser offers none: some do not in private windows.
 */
export async function storageFolder(path: readonly string[]): Promise<FileSystemDirectoryHandle> {
  try {
    let folder = await navigator.storage.getDirectory();
    for (const name of path) folder = await folder.getDirectoryHandle(name, { create: true });
    return folder;
  } catch (error) {
    throw new NoStorageError(
      'This browser keeps no files here: a private window, or storage that is switched off. Training works; nothing ' +
        'can be resumed after the tab is closed.',
      { cause: error },
    );
  }
}

/** Opens a file for reading and writing, by this worker alone. */
export async function openSyncFile(folder: FileSystemDirectoryHandle, name: string): Promise<SyncAccess> {
  const handle = (await folder.getFileHandle(name, { create: true })) as SyncFileHandle;
  return handle.createSyncAccessHandle();
}

/** Writes all bytes. @throws StorageFullError */
export function writeFully(file: SyncAccess, at: number, bytes: Uint8Array<ArrayBuffer>): void {
  let written: number;
  try {
    written = file.write(bytes, { at });
  } catch (error) {
    throw storageError(error);
  }
  if (written < bytes.byteLength) throw new StorageFullError(FULL);
}

/** Deletes a file or a folder with all that is in it; one that is not there is deleted already. */
export async function removeStored(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  try {
    await folder.removeEntry(name, { recursive: true });
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error;
  }
}
