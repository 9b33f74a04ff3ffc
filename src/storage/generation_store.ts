/**
 * The page store over a {@link PageDisk}. Where pages lie is known from the complete generations alone: what is in no
 * record is free space, so an unfinished checkpoint leaves nothing behind that would have to be swept.
 *
 * A commit: the pages are on the disk (flush), then the generation's record, then its completion marker, which carries the
 * record's hash; only then are older generations let go, and their space used again.
 */
import {
  GENERATIONS_KEPT,
  type Generation,
  type GenerationStore,
  PageDamagedError,
  type PageVersion,
  pageHash,
} from '../engine/page_store.ts';
import { NewerStorageError } from './errors.ts';
import type { PageDisk } from './page_disk.ts';
import { type Extent, PageSpace } from './page_space.ts';

/** Goes up when records change so that an older program would misread them. */
const FORMAT = 1;
const RECORD = 'generation/';
const MARKER = 'complete/';

/** A page as a generation's record has it. */
type StoredPage = PageVersion & { readonly at: number };

interface StoredGeneration<State> {
  readonly number: number;
  readonly step: number;
  readonly pages: readonly StoredPage[];
  readonly state: State;
}

/** A version that something holds. */
interface Held {
  readonly extent: Extent;
  /** By writers and snapshots. */
  holders: number;
  /** By generations. */
  generations: number;
}

const textHash = (text: string) => pageHash(new TextEncoder().encode(text));

/**
 * Opens a store for the one who may write it.
 *
 * @param keep complete generations that stay, at least two
 * @throws NewerStorageError before anything is changed.
 */
export async function openGenerationStore<State>(
  disk: PageDisk,
  keep = GENERATIONS_KEPT,
): Promise<GenerationStore<State>> {
  const { complete, left, next } = await readGenerations<State>(disk);
  const kept = complete.slice(0, keep);
  const dropped = complete.slice(keep).flatMap(({ number }) => [MARKER + number, RECORD + number]);
  // Markers before the records that they are for: a record without its marker counts as nothing.
  if (dropped.length + left.length > 0) await disk.deleteRecords([...dropped, ...left]);
  return new DiskGenerationStore(disk, kept, next, keep);
}

/** The complete generations, newest first, for whoever only looks. */
export async function listGenerations<State>(disk: Pick<PageDisk, 'records'>): Promise<readonly Generation<State>[]> {
  return (await readGenerations<State>(disk)).complete;
}

async function readGenerations<State>(disk: Pick<PageDisk, 'records'>): Promise<{
  complete: StoredGeneration<State>[];
  /** Names of records that belong to no complete generation. */
  left: string[];
  /** A number that no record has had. */
  next: number;
}> {
  const records = await disk.records();
  const complete: StoredGeneration<State>[] = [];
  const left: string[] = [];
  let next = 1;
  for (const [name, text] of records) {
    const number = Number(name.slice(name.indexOf('/') + 1));
    if (!(name.startsWith(RECORD) || name.startsWith(MARKER)) || !Number.isSafeInteger(number)) continue;
    next = Math.max(next, number + 1);
    const { format } = parse(text);
    if (typeof format === 'number' && format > FORMAT) throw new NewerStorageError("This run's checkpoint");
    if (name.startsWith(MARKER)) {
      const record = records.get(RECORD + number);
      if (record === undefined || (await textHash(record)) !== parse(text).hash) left.push(name);
      else complete.push({ number, ...(JSON.parse(record) as Omit<StoredGeneration<State>, 'number'>) });
    }
  }
  const whole = new Set(complete.map(({ number }) => RECORD + number));
  for (const name of records.keys()) if (name.startsWith(RECORD) && !whole.has(name)) left.push(name);
  complete.sort((a, b) => b.number - a.number);
  return { complete, left, next };
}

/** A record that cannot be read is one that was not finished. */
function parse(text: string): { readonly format?: unknown; readonly hash?: unknown } {
  try {
    return (JSON.parse(text) as object | null) ?? {};
  } catch {
    return {};
  }
}

class DiskGenerationStore<State> implements GenerationStore<State> {
  readonly #disk: PageDisk;
  readonly #space: PageSpace;
  readonly #held = new Map<number, Held>();
  #generations: readonly StoredGeneration<State>[];
  readonly #keep: number;
  #nextGeneration: number;
  #nextVersion = 1;
  /** One commit at a time. */
  #committing: Promise<unknown> = Promise.resolve();

  constructor(disk: PageDisk, generations: readonly StoredGeneration<State>[], nextGeneration: number, keep: number) {
    this.#disk = disk;
    this.#keep = keep;
    this.#generations = generations;
    this.#nextGeneration = nextGeneration;
    for (const { pages } of generations) {
      for (const { version, at, byteLength } of pages) {
        const held = this.#held.get(version);
        if (held) held.generations++;
        else this.#held.set(version, { extent: { at, byteLength }, holders: 0, generations: 1 });
        this.#nextVersion = Math.max(this.#nextVersion, version + 1);
      }
    }
    this.#space = new PageSpace([...this.#held.values()].map(({ extent }) => extent));
  }

  async write(page: string, bytes: Uint8Array<ArrayBuffer>): Promise<PageVersion> {
    const { byteLength } = bytes;
    const version = this.#nextVersion++;
    const extent = this.#space.take(byteLength);
    try {
      const [hash] = await Promise.all([pageHash(bytes), this.#disk.write(extent.at, bytes)]);
      this.#held.set(version, { extent, holders: 1, generations: 0 });
      return { page, version, byteLength, hash };
    } catch (error) {
      this.#space.give(extent);
      throw error;
    }
  }

  async read(version: PageVersion, checked = false): Promise<Uint8Array<ArrayBuffer>> {
    const held = this.#holding(version);
    const bytes = await this.#disk.read(held.extent.at, version.byteLength);
    if (bytes.byteLength !== version.byteLength || (checked && (await pageHash(bytes)) !== version.hash)) {
      throw new PageDamagedError(`The stored page ${version.page} is not what was written.`);
    }
    return bytes;
  }

  retain(versions: readonly PageVersion[]): void {
    for (const version of versions) this.#holding(version).holders++;
  }

  async free(versions: readonly PageVersion[]): Promise<void> {
    for (const version of versions) {
      const held = this.#holding(version);
      if (held.holders === 0) throw new Error(`${version.page} was freed more often than it was held`);
      held.holders--;
      this.#drop(version.version, held);
    }
  }

  commit(generation: Generation<State>): Promise<void> {
    const turn = this.#committing.then(() => this.#commit(generation));
    this.#committing = turn.catch(() => undefined);
    return turn;
  }

  async #commit({ step, pages, state }: Generation<State>): Promise<void> {
    const number = this.#nextGeneration++;
    const stored = pages.map((page): StoredPage => ({ ...page, at: this.#holding(page).extent.at }));
    const record = JSON.stringify({ format: FORMAT, step, pages: stored, state });
    const marker = JSON.stringify({ format: FORMAT, hash: await textHash(record) });
    await this.#disk.flush();
    try {
      await this.#disk.putRecords([
        [RECORD + number, record],
        [MARKER + number, marker],
      ]);
    } catch (error) {
      // A full disk is no better for half a generation on it. What cannot be deleted now is when the store is opened.
      await this.#disk.deleteRecords([MARKER + number, RECORD + number]).catch(() => undefined);
      throw error;
    }
    for (const page of stored) this.#holding(page).generations++;
    const all = [{ number, step, pages: stored, state }, ...this.#generations];
    this.#generations = all.slice(0, this.#keep);
    const dropped = all.slice(this.#keep);
    await this.#disk.deleteRecords(dropped.flatMap((old) => [MARKER + old.number, RECORD + old.number]));
    for (const old of dropped) {
      for (const { version } of old.pages) {
        const held = this.#held.get(version)!;
        held.generations--;
        this.#drop(version, held);
      }
    }
    await this.#disk.truncate(this.#space.end);
  }

  async generations(): Promise<readonly Generation<State>[]> {
    return this.#generations;
  }

  async close(): Promise<void> {
    await this.#committing;
    await this.#disk.close();
  }

  #holding({ page, version }: PageVersion): Held {
    const held = this.#held.get(version);
    if (!held) throw new PageDamagedError(`The stored page ${page} (version ${version}) is not there any more.`);
    return held;
  }

  #drop(version: number, { extent, holders, generations }: Held): void {
    if (holders + generations > 0) return;
    this.#held.delete(version);
    this.#space.give(extent);
  }
}
