/**
 * Pages that are not pinned on the GPU: in host memory, or in the page store with some on their way. What a step needs next
 * is known, so it lies where the GPU can copy it from before its turn; what it has updated is taken from where the GPU copied
 * it to while the next step computes. Where the host has no memory that the GPU copies from, pages are plain bytes.
 */
import type { Gpu } from '../../device/gpu.ts';
import { UploadBuffer } from '../../device/host_visible.ts';
import type { PageStore, PageVersion } from '../../page_store.ts';
import { Semaphore } from '../../semaphore.ts';
import type { MomentPage, Residency } from './pages.ts';
import type { MappedPage, ReadbackRing } from './readback_ring.ts';

/** A page as a snapshot has it: a version that is held for the caller, or bytes that nobody will change; neither: zeros. */
export interface CapturedPage {
  readonly name: string;
  readonly version: PageVersion | null;
  readonly bytes: Uint8Array<ArrayBuffer> | null;
}

/** A page that is there: to be copied by the GPU, or written by the host. Null stands for zeros. */
export type PageBytes = UploadBuffer | Uint8Array<ArrayBuffer> | null;

interface Kept {
  readonly page: MomentPage;
  /** In host memory to stay; otherwise in the store. */
  resident: boolean;
  /** Where a resident page lies, once it has been on the GPU. */
  own: UploadBuffer | null;
  /** Newer than the version where both are there. */
  bytes: Uint8Array<ArrayBuffer> | null;
  /** A snapshot looks at the bytes: the next update goes elsewhere. */
  shared: boolean;
  version: PageVersion | null;
  /** Resolves, and never rejects, when the last update has arrived. */
  settled: Promise<void>;
  arriving: boolean;
  reading: Promise<UploadBuffer | Uint8Array<ArrayBuffer>> | null;
}

type Shape = Pick<Residency, 'transit' | 'inFlight'>;

export class HostTier {
  readonly #gpu: Gpu;
  readonly #store: PageStore | null;
  readonly #pageBytes: number;
  readonly #pages = new Map<number, Kept>();
  /** Of pages that were written: to be used again. */
  readonly #written: Uint8Array<ArrayBuffer>[] = [];
  /** Empty, of pages that came from the store. */
  #passing: UploadBuffer[] = [];
  readonly #buffers = new Set<UploadBuffer>();
  /** Until those that were sent are empty again. */
  readonly #sending = new Set<Promise<void>>();
  /** False once the host has no more memory that the GPU copies from. */
  #hostVisible = true;
  /** Pages between the beginning of their reading and their copy to the GPU. */
  #window: Semaphore;
  #readers: Semaphore;
  #writers: Semaphore;
  /** Stored pages that the step comes to, in order, not yet begun to be read. */
  #ahead: Kept[] = [];
  /** Plain bytes on their way. */
  #transitBytes = 0;
  #failure: unknown = null;
  #disposed = false;
  /** Bytes so far. */
  read = 0;
  written = 0;

  constructor(gpu: Gpu, store: PageStore | null, pageBytes: number, shape: Shape) {
    this.#gpu = gpu;
    this.#store = store;
    this.#pageBytes = pageBytes;
    this.#window = new Semaphore(Math.max(1, shape.transit));
    this.#readers = new Semaphore(Math.max(1, shape.inFlight));
    this.#writers = new Semaphore(Math.max(1, shape.inFlight));
  }

  /** Takes a page in. `bytes` null: zeros. */
  adopt(
    page: MomentPage,
    resident: boolean,
    captured: Omit<CapturedPage, 'name'> = { bytes: null, version: null },
  ): void {
    const { bytes, version } = captured;
    this.#pages.set(page.index, {
      ...{ page, resident, bytes, version, own: null },
      ...{ shared: false, settled: Promise.resolve(), arriving: false, reading: null },
    });
  }

  /** Bytes in host memory now. */
  get hostBytes(): number {
    let bytes = this.#transitBytes + (this.#buffers.size + this.#written.length) * this.#pageBytes;
    for (const kept of this.#pages.values()) bytes += kept.bytes?.byteLength ?? 0;
    return bytes;
  }

  /** Bytes of pages whose newest form is in the store alone. */
  get storedBytes(): number {
    let bytes = 0;
    for (const kept of this.#pages.values()) {
      if (!kept.bytes && !kept.own) bytes += kept.version?.byteLength ?? 0;
    }
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
   * A page, to be sent to the GPU before anything else is awaited; then {@link sent} must be called. A promise where it must be
   * waited for; that rejects with what reading the store failed with.
   */
  fetch(page: MomentPage): PageBytes | Promise<PageBytes> {
    const kept = this.#kept(page);
    if (kept.arriving || kept.reading || this.#mustRead(kept)) return this.#fetch(kept);
    return held(kept);
  }

  /** What {@link fetch} gave is with the GPU's queue. */
  sent(page: MomentPage, bytes: PageBytes): void {
    const kept = this.#kept(page);
    if (!kept.reading) return;
    kept.reading = null;
    if (!(bytes instanceof UploadBuffer)) {
      this.#transitBytes -= bytes?.byteLength ?? 0;
      this.#giveWindow();
      return;
    }
    const again = () => {
      this.#sending.delete(sending);
      if (this.#disposed) return;
      this.#passing.push(bytes);
      this.#giveWindow();
    };
    // A device that is lost says so elsewhere.
    const sending: Promise<void> = bytes.writable.then(again, () => undefined);
    this.#sending.add(sending);
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
  async divide(isResident: (page: MomentPage) => boolean, shape: Shape, ring: ReadbackRing | null): Promise<void> {
    await this.#forgetReads();
    this.#window = new Semaphore(Math.max(1, shape.transit));
    this.#readers = new Semaphore(Math.max(1, shape.inFlight));
    this.#writers = new Semaphore(Math.max(1, shape.inFlight));
    for (const kept of this.#pages.values()) {
      kept.resident = isResident(kept.page);
      if (kept.resident || (!kept.bytes && !kept.own?.full)) continue;
      await this.#write(kept, kept.bytes ?? (await this.#readBack(kept.own!, ring)));
      kept.bytes = null;
      if (kept.own) this.#destroy(kept.own);
      kept.own = null;
    }
  }

  /** Pages as they are. After {@link drain}. */
  async capture(ring: ReadbackRing | null): Promise<CapturedPage[]> {
    return Promise.all(
      [...this.#pages.values()].map(async (kept): Promise<CapturedPage> => {
        const { name } = kept.page;
        if (kept.own?.full) return { name, bytes: await this.#readBack(kept.own, ring), version: null };
        if (kept.bytes) {
          kept.shared = true;
          return { name, bytes: kept.bytes, version: null };
        }
        if (kept.version) this.#store?.retain([kept.version]);
        return { name, bytes: null, version: kept.version };
      }),
    );
  }

  dispose(): void {
    this.#disposed = true;
    this.#ahead = [];
    for (const { version } of this.#pages.values()) void this.#free(version).catch(() => undefined);
    this.#pages.clear();
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.clear();
  }

  #kept(page: MomentPage): Kept {
    const kept = this.#pages.get(page.index);
    if (!kept) throw new Error(`${page.name} is not in the host tier`);
    return kept;
  }

  #mustRead({ own, bytes, version }: Kept): boolean {
    return !own?.full && !bytes && version !== null;
  }

  async #fetch(kept: Kept): Promise<PageBytes> {
    if (!kept.reading) {
      await kept.settled;
      if (!this.#mustRead(kept)) return held(kept);
      this.#ahead = this.#ahead.filter((other) => other !== kept);
      kept.reading = this.#read(kept);
    }
    try {
      return await kept.reading;
    } catch (error) {
      kept.reading = null;
      throw error;
    }
  }

  #giveWindow(): void {
    this.#window.give();
    this.#pump();
  }

  #pump(): void {
    while (this.#window.free > 0 && this.#ahead.length > 0) {
      const kept = this.#ahead.shift();
      // A page of zeros, or one that an error has left here.
      if (!kept || kept.reading || !(kept.arriving || this.#mustRead(kept))) continue;
      kept.reading = this.#read(kept);
      // Whoever fetches it hears of it.
      kept.reading.catch(() => undefined);
    }
  }

  /** A stored page's bytes to where the GPU copies them from. */
  async #read(kept: Kept): Promise<UploadBuffer | Uint8Array<ArrayBuffer>> {
    const [window, readers] = [this.#window, this.#readers];
    const waiting = window.take();
    if (waiting) await waiting;
    try {
      await kept.settled;
      const reader = readers.take();
      if (reader) await reader;
      try {
        // Where writing failed, the bytes are still here.
        const bytes = kept.bytes ?? (kept.version && (await this.#store?.read(kept.version)));
        if (!bytes) throw new Error(`${kept.page.name} is nowhere`);
        this.#transitBytes += bytes.byteLength;
        this.read += bytes.byteLength;
        const buffer = this.#passing.pop() ?? (await this.#makeBuffer());
        if (!buffer) return bytes;
        await buffer.fill(bytes);
        this.#transitBytes -= bytes.byteLength;
        return buffer;
      } finally {
        readers.give();
      }
    } catch (error) {
      window.give();
      throw error;
    }
  }

  /** What was read ahead is read again when its turn comes. */
  async #forgetReads(): Promise<void> {
    this.#ahead = [];
    await Promise.all(this.#sending);
    for (const kept of this.#pages.values()) {
      const read = await kept.reading?.catch(() => null);
      kept.reading = null;
      if (read instanceof UploadBuffer) this.#destroy(read);
      else this.#transitBytes -= read?.byteLength ?? 0;
    }
    for (const buffer of this.#passing) this.#destroy(buffer);
    this.#passing = [];
  }

  async #settle(kept: Kept, mapped: Promise<MappedPage>): Promise<void> {
    const { bytes, release } = await mapped;
    if (this.#disposed) return;
    if (kept.resident) {
      kept.own ??= await this.#makeBuffer();
      if (this.#disposed) return;
      if (kept.own) {
        await kept.own.fill(bytes);
        kept.bytes = null;
      } else if (kept.bytes && !kept.shared) kept.bytes.set(bytes);
      else kept.bytes = bytes.slice();
      kept.shared = false;
      release();
      return;
    }
    const writers = this.#writers;
    const waiting = writers.take();
    if (waiting) await waiting;
    const copy = this.#written.pop() ?? new Uint8Array(bytes.byteLength);
    copy.set(bytes);
    release();
    this.#transitBytes += copy.byteLength;
    try {
      await this.#write(kept, copy);
      kept.bytes = null;
      this.#written.push(copy);
    } catch (error) {
      // Nothing is lost: it stays in host memory, beyond the budget, until the store takes it again.
      kept.bytes = copy;
      kept.shared = false;
      throw error;
    } finally {
      this.#transitBytes -= copy.byteLength;
      writers.give();
    }
  }

  async #makeBuffer(): Promise<UploadBuffer | null> {
    if (!this.#hostVisible) return null;
    const buffer = await UploadBuffer.make(this.#gpu, 'pages in host memory', this.#pageBytes);
    if (buffer) this.#buffers.add(buffer);
    else this.#hostVisible = false;
    if (buffer && this.#disposed) this.#destroy(buffer);
    return buffer;
  }

  #destroy(buffer: UploadBuffer): void {
    if (this.#buffers.delete(buffer)) buffer.destroy();
  }

  /** A copy of what the GPU would copy: the host cannot read it there. */
  async #readBack(buffer: UploadBuffer, ring: ReadbackRing | null): Promise<Uint8Array<ArrayBuffer>> {
    if (!ring) throw new Error('pages are read back before there is a way out');
    const waiting = ring.take();
    if (waiting) await waiting;
    const { bytes, release } = await ring.copy(buffer.source, 0);
    const copy = bytes.slice();
    release();
    return copy;
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

const held = ({ own, bytes }: Kept): PageBytes => (own?.full ? own : bytes);
