/** What can be wrong with the local store, each with what to do about it. */

export { PageDamagedError, StorageFullError } from '../engine/page_store.ts';

/** What is stored was written by a later version of the studio, which may have changed how. */
export class NewerStorageError extends Error {
  override name = 'NewerStorageError';
  constructor(what: string) {
    super(
      `${what} was written by a newer version of Nibble Studio. Nothing of it was changed. Reload the page, or update, ` +
        'to use it.',
    );
  }
}

/** Another tab or process writes the run. */
export class RunLockedError extends Error {
  override name = 'RunLockedError';
}

/** What is to be deleted is being read. */
export class StoredInUseError extends Error {
  override name = 'StoredInUseError';
}

/** What the run's state was kept in is gone, or no generation of it is whole. */
export class CheckpointLostError extends Error {
  override name = 'CheckpointLostError';
}

/** The browser keeps nothing here: a private window, or storage that is switched off. */
export class NoStorageError extends Error {
  override name = 'NoStorageError';
}
