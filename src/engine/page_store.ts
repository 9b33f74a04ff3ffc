/**
 * The port through which the pages of a run's state reach a disk: IndexedDB or files of a browser, files of Node. Pages are
 * versioned copy-on-write: a write makes a new version and overwrites nothing, so what a checkpoint lists stays as it was
 * while training goes on.
 *
 * A version lives as long as something holds it: whoever wrote it until {@link PageStore.free}, whoever retained it, and
 * each committed generation that lists it. What nobody holds is deleted; what a closed tab left without a generation is
 * swept when the store is next opened.
 */

/** One stored version of a page. Plain data: a generation's record lists them. */
export interface PageVersion {
  /** The page's name, chosen by who writes it: `moment1/0/17`. */
  readonly page: string;
  /** Unique in its store, rising. */
  readonly version: number;
  readonly byteLength: number;
  /** SHA-256 of the bytes, lower-case hex. */
  readonly hash: string;
}

export interface PageStore {
  /**
   * Stores bytes as a new version of a page and holds it once for the caller. `bytes` must stay as they are until it
   * resolves. Any size; calls may overlap. Resolves when the bytes can be read back, which is not yet when they survive a
   * power cut: a commit sees to that.
   *
   * @throws StorageFullError; nothing that was stored before is harmed.
   */
  write(page: string, bytes: Uint8Array<ArrayBuffer>): Promise<PageVersion>;
  /**
   * The bytes of a version that is held.
   *
   * @param checked compares their hash, at the cost of computing it: for what comes from an earlier session
   * @throws PageDamagedError when they are gone, of another length, or `checked` and changed.
   */
  read(version: PageVersion, checked?: boolean): Promise<Uint8Array<ArrayBuffer>>;
  /** Holds versions once more, so that they outlive their writer's `free`: a snapshot that is about to be committed. */
  retain(versions: readonly PageVersion[]): void;
  /** Lets go of versions once. Those that nothing else holds are deleted. */
  free(versions: readonly PageVersion[]): Promise<void>;
}

/** A consistent state of a run: all its pages, and what else resuming needs. */
export interface Generation<State = unknown> {
  /** Optimizer steps done. */
  readonly step: number;
  readonly pages: readonly PageVersion[];
  /** Plain data, as JSON can carry it. */
  readonly state: State;
}

/** Of a store that keeps checkpoints too, as all do: the paging needs {@link PageStore} only. */
export interface GenerationStore<State = unknown> extends PageStore {
  /**
   * Makes a generation the newest. Its pages and its record are on the disk, as far as the platform can tell, before its
   * completion marker is, which is written last. After that all but the newest generations are deleted.
   *
   * @throws StorageFullError; the generations before are intact.
   */
  commit(generation: Generation<State>): Promise<void>;
  /** Those that are complete, newest first. */
  generations(): Promise<readonly Generation<State>[]>;
  close(): Promise<void>;
}

/** Generations that are kept unless told otherwise: the newest, and the one before for the day the newest is damaged. */
export const GENERATIONS_KEPT = 2;

/** Stored bytes that are not what was written: damaged, cut or evicted. */
export class PageDamagedError extends Error {
  override name = 'PageDamagedError';
}

/** The disk, or the browser's share of it, has no more room. */
export class StorageFullError extends Error {
  override name = 'StorageFullError';
}

/** SHA-256 as {@link PageVersion.hash} has it. */
export async function pageHash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
