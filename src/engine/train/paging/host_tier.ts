/**
 * Pages that are not pinned on the GPU: in host memory, or in the page store with some on their way. What a step needs next
 * is known, so it is read ahead; what it has updated is written behind.
 */
import type { PageStore, PageVersion } from '../../page_store.ts';
import type { MomentPage } from './pages.ts';
import { Semaphore } from './semaphore.ts';

/** A page's bytes in a mapped buffer. */
export interface MappedPage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The bytes are no longer looked at. */
  release(): void;
}

/** A page as a snapshot has it: a version that is held for the caller, or bytes that nobody will change; neither: zeros. */
export interface CapturedPage {
  readonly name: string;
  readonly version: PageVersion | null;
  readonly bytes: Uint8Array<ArrayBuffer> | null;
}

interface Kept {
  readonly page: MomentPage;
  /** In host memory to stay; otherwise in the store. */
  resident: boolean;
  /** Newer than the version where both are there. */
  bytes: Uint8Array<ArrayBuffer> | null;
  /** A snapshot looks at the bytes: the next update goes elsewhere. */
  shared: boolean;
  version: PageVersion | null;
  /** Resolves, and never rejects, when the last update has arrived. */
  settled: Promise<void>;
  arriving: boolean;
  reading: Promise<Uint8Array<ArrayBuffer>> | null;
}

export class HostTier {
  readonly #store: PageStore | null;
  readonly #pages = new Map<number, Kept>();
  readonly #pool: Uint8Array<ArrayBuffer>[] = [];
  #transit: number;
  #writing: Semaphore;
  /** Stored pages that the step comes to, in order, not yet begun to be read. */
  #ahead: Kept[] = [];
  #reads = 0;
  #transitBytes = 0;
  #failure: unknown = null;
  #disposed = false;
  /** Bytes so far. */
  read = 0;
  written = 0;

  constructor(store: PageStore | null, transit: number) {
    this.#store = store;
    this.#transit = transit;
    this.#writing = new Semaphore(Math.max(1, transit));
  }

  /** Takes a page in. `bytes` null: zeros. */
  adopt(
    page: MomentPage,
    resident: boolean,
    captured: Omit<CapturedPage, 'name'> = { bytes: null, version: null },
  ): void {
    const { bytes, version } = captured;
    this.#pages.set(page.index, {
      ...{ page, resident, bytes, version },
      ...{ shared: false, settled: Promise.resolve(), arriving: false, reading: null },
    });
  }

  /** Forgets a page that goes back to the GPU; its version is let go of. */
  async release(page: MomentPage): Promise<void> {
    const kept = this.#kept(page);
    this.#pages.delete(page.index);
    await this.#free(kept.version);
  }

  /** Bytes in host memory now. */
  get hostBytes(): number {
    let bytes = this.#transitBytes;
    for (const kept of this.#pages.values()) bytes += kept.bytes?.byteLength ?? 0;
    return bytes;
  }

  /** Bytes of pages whose newest form is in the store alone. */
  get storedBytes(): number {
    let bytes = 0;
    for (const kept of this.#pages.values()) if (!kept.bytes) bytes += kept.version?.byteLength ?? 0;
    return bytes;
  }

  /** Begins to read what the next step comes to first. */
  readAhead(): void {
    this.#ahead = [...this.#pages.values()]
      .filter(({ resident }) => !resident)
      .sort((a, b) => a.page.index - b.page.index);
    this.#pump();
  }

  /**
   * The bytes of a page, to be looked at before anything else is awaited; null stands for zeros. A promise where they must
   * be waited for; that rejects with what reading the store failed with.
   */
  fetch(page: MomentPage): Uint8Array<ArrayBuffer> | null | Promise<Uint8Array<ArrayBuffer> | null> {
    const kept = this.#kept(page);
    if (!kept.arriving && !kept.reading && (kept.bytes || !kept.version)) return kept.bytes;
    return this.#fetch(kept);
  }

  /** Takes a page's new bytes as soon as they are mapped. */
  keep(page: MomentPage, mapped: Promise<MappedPage>): void {
    const kept = this.#kept(page);
    kept.arriving = true;
    kept.settled = this.#settle(kept, mapped)
      .catch((error: unknown) => {
        if (!this.#disposed) this.#failure ??= error;
      })
      .finally(() => {
        kept.arriving = false;
      });
  }

  /** Everything that was kept has arrived, and been written where it goes to the store. */
  async drain(): Promise<void> {
    await Promise.all([...this.#pages.values()].map(({ settled }) => settled));
    this.check();
  }

  /**
   * Throws what writing failed with since the last call. Asked between steps only: within one, some pages would be updated
   * and others not. What could not be written is in host memory.
   */
  check(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure) throw failure;
  }

  /** What is to stay in host memory from now on; the rest goes to the store. After {@link drain}. */
  async divide(isResident: (page: MomentPage) => boolean, transit: number): Promise<void> {
    this.#transit = transit;
    this.#writing = new Semaphore(Math.max(1, transit));
    for (const kept of this.#pages.values()) {
      kept.resident = isResident(kept.page);
      if (kept.resident || !kept.bytes) continue;
      await this.#write(kept, kept.bytes);
      kept.bytes = null;
    }
  }

  /** Pages as they are. After {@link drain}. */
  capture(): CapturedPage[] {
    return [...this.#pages.values()].map((kept) => {
      const { name } = kept.page;
      if (kept.bytes) {
        kept.shared = true;
        return { name, bytes: kept.bytes, version: null };
      }
      if (kept.version) this.#store?.retain([kept.version]);
      return { name, bytes: null, version: kept.version };
    });
  }

  dispose(): void {
    this.#disposed = true;
    this.#ahead = [];
    for (const { version } of this.#pages.values()) void this.#free(version).catch(() => undefined);
    this.#pages.clear();
  }

  #kept(page: MomentPage): Kept {
    const kept = this.#pages.get(page.index);
    if (!kept) throw new Error(`${page.name} is not in the host tier`);
    return kept;
  }

  async #fetch(kept: Kept): Promise<Uint8Array<ArrayBuffer> | null> {
    if (!kept.reading) {
      await kept.settled;
      if (kept.bytes || !kept.version) return kept.bytes;
      kept.reading = this.#read(kept);
    }
    try {
      const bytes = await kept.reading;
      this.#transitBytes -= bytes.byteLength;
      return bytes;
    } finally {
      kept.reading = null;
      this.#reads--;
      this.#ahead = this.#ahead.filter((other) => other !== kept);
      this.#pump();
    }
  }

  #pump(): void {
    while (this.#reads < this.#transit && this.#ahead.length > 0) {
      const kept = this.#ahead.shift();
      // A page of zeros, or one that an error has left here.
      if (!kept || kept.reading || (!kept.arriving && (kept.bytes || !kept.version))) continue;
      kept.reading = this.#read(kept);
      // Whoever fetches it hears of it.
      kept.reading.catch(() => undefined);
    }
  }

  async #read(kept: Kept): Promise<Uint8Array<ArrayBuffer>> {
    this.#reads++;
    await kept.settled;
    // Where writing failed, the bytes are still here.
    const bytes = kept.bytes ?? (kept.version && (await this.#store?.read(kept.version)));
    if (!bytes) throw new Error(`${kept.page.name} is nowhere`);
    this.#transitBytes += bytes.byteLength;
    this.read += bytes.byteLength;
    return bytes;
  }

  async #settle(kept: Kept, mapped: Promise<MappedPage>): Promise<void> {
    const { bytes, release } = await mapped;
    if (this.#disposed) return;
    if (kept.resident) {
      if (kept.bytes && !kept.shared) kept.bytes.set(bytes);
      else kept.bytes = bytes.slice();
      kept.shared = false;
      release();
      return;
    }
    await this.#writing.take();
    const writing = this.#writing;
    const copy = this.#pool.pop() ?? new Uint8Array(bytes.byteLength);
    copy.set(bytes);
    release();
    this.#transitBytes += copy.byteLength;
    try {
      await this.#write(kept, copy);
      kept.bytes = null;
      this.#pool.push(copy);
    } catch (error) {
      // Nothing is lost: it stays in host memory, beyond the budget, until the store takes it again.
      kept.bytes = copy;
      kept.shared = false;
      throw error;
    } finally {
      this.#transitBytes -= copy.byteLength;
      writing.give();
    }
  }

  /** A new version in place of the one before. */
  async #write(kept: Kept, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (!this.#store) throw new Error(`${kept.page.name} has no store to go to`);
    const before = kept.version;
    kept.version = await this.#store.write(kept.page.name, bytes);
    this.written += bytes.byteLength;
    if (this.#disposed) await this.#free(kept.version);
    await this.#free(before);
  }

  async #free(version: PageVersion | null): Promise<void> {
    if (version) await this.#store?.free([version]);
  }
}
