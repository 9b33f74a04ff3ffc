/**
 * AdamW's moments in pages over three tiers: GPU buffers, host memory, a page store. The first pages are pinned on the GPU
 * and updated by as few dispatches as buffers allow; the others come through two slots, one after the other, in the same
 * order every step. The GPU's queue keeps the order of copies and dispatches, so nothing waits for the GPU; what is waited
 * for, when it is not there, is a page's bytes. Where a page lives changes no number: the arithmetic is the same.
 */
import type { Gpu } from '../../device/gpu.ts';
import { UploadBuffer } from '../../device/host_visible.ts';
import { IdleClock } from '../../device/idle_clock.ts';
import { adamw, type MomentBits, type MomentLayout, momentPageBytes } from '../../kernels/adamw.ts';
import type { PageStore } from '../../page_store.ts';
import type { PlanBuilder } from '../../plan/plan.ts';
import { type BufferTensor, bufferTensor, view } from '../../plan/tensor.ts';
import type { FlatState } from '../flat_state.ts';
import { type CapturedPage, HostTier, type PageBytes } from './host_tier.ts';
import {
  LEAST_PAGE_ELEMENTS,
  type MomentPage,
  momentPages,
  pageElementsWithin,
  type Residency,
  residencyOf,
  type TierBudgets,
  tierOf,
} from './pages.ts';
import { ReadbackRing } from './readback_ring.ts';

export interface PagingOptions extends TierBudgets {
  /** Bytes of a page at most. */
  readonly pageBytes: number;
  /** Where what fits neither budget goes; null: nowhere. */
  readonly store: PageStore | null;
}

export interface MomentsOptions {
  readonly bits: MomentBits;
  /** Null: all on the GPU, for good. */
  readonly paging: PagingOptions | null;
}

/** Moments in 32 bits, all of them on the GPU. */
export const RESIDENT: MomentsOptions = { bits: 32, paging: null };

/** What a run's moments take and move; traffic and times are sums since the start. Bytes, milliseconds. */
export interface PagingFigures {
  readonly pages: number;
  readonly pageBytes: number;
  readonly residentBytes: number;
  readonly hostBytes: number;
  readonly storedBytes: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly storeRead: number;
  readonly storeWritten: number;
  /** The GPU had nothing to do for so long because a page was not there. */
  readonly stallMs: number;
}

/** Pinned pages that lie together; freed together when there must be fewer. */
interface Chunk {
  readonly pages: readonly MomentPage[];
  readonly tensor: BufferTensor;
}

/** What is freed at a time. */
const CHUNK_BYTES = 64 * 2 ** 20;
/** Pages on their way out of the GPU where no page leaves it otherwise. */
const READBACK_BYTES = 32 * 2 ** 20;

export class Moments {
  readonly #gpu: Gpu;
  readonly #options: MomentsOptions;
  readonly #pageElements: number;
  readonly #pageBytes: number;
  readonly #pages: readonly MomentPage[];
  readonly #host: HostTier;
  readonly #idle: IdleClock;
  #budgets: TierBudgets;
  #residency: Residency;
  #chunks: Chunk[] = [];
  #slots: GPUBuffer[] = [];
  #readback: ReadbackRing | null = null;
  /** No step has been taken: all moments are zero. */
  #untouched = true;
  #bytesIn = 0;
  #bytesOut = 0;

  /**
   * Moments of zero for parameters in banks of so many elements.
   *
   * @throws OptimizerBudgetError, GpuMemoryError
   */
  constructor(gpu: Gpu, banks: readonly { readonly elements: number }[], options: MomentsOptions) {
    const { bits, paging } = options;
    this.#gpu = gpu;
    this.#options = options;
    this.#pageElements = paging ? pageElementsWithin(bits, paging.pageBytes) : LEAST_PAGE_ELEMENTS;
    this.#pageBytes = momentPageBytes(bits, this.#pageElements);
    this.#pages = momentPages(
      banks.map(({ elements }) => elements),
      this.#pageElements,
    );
    this.#budgets = paging ?? { gpuBytes: Number.POSITIVE_INFINITY, hostBytes: 0 };
    this.#residency = this.#divided(this.#budgets);
    this.#host = new HostTier(gpu, paging?.store ?? null, this.#pageBytes, this.#residency);
    this.#idle = new IdleClock(gpu.device);
    this.#allocate();
  }

  get bits(): MomentBits {
    return this.#options.bits;
  }

  /** Whether pages can leave the GPU. */
  get paged(): boolean {
    return this.#options.paging !== null;
  }

  get residency(): Residency {
    return this.#residency;
  }

  get pageBytes(): number {
    return this.#pageBytes;
  }

  get pageCount(): number {
    return this.#pages.length;
  }

  /**
   * The update of every parameter, page by page. The plan must be recorded again when the budgets have changed.
   *
   * @param tables of 8-bit moments
   */
  record(
    plan: PlanBuilder,
    state: FlatState,
    {
      clip,
      borders,
      tables,
    }: {
      readonly clip: BufferTensor;
      readonly borders: readonly { readonly tensor: BufferTensor; readonly count: number }[] | null;
      readonly tables: BufferTensor | null;
    },
  ): void {
    const layout: MomentLayout = { bits: this.#options.bits, pageElements: this.#pageElements, tables };
    const update = (bankIndex: number, first: number, elements: number, moments: BufferTensor) => {
      const bank = state.banks[bankIndex];
      adamw(plan, {
        parameters: view(bank.parameters, first * 4, elements * 4),
        gradients: view(bank.gradients, first * 4, elements * 4),
        ...{ moments, layout, clip, elements, first },
        borders: borders?.[bankIndex],
      });
    };
    for (const { pages, tensor } of this.#chunks) {
      const elements = pages.reduce((sum, page) => sum + page.elements, 0);
      update(pages[0].bank, pages[0].first, elements, tensor);
    }
    const streamed = this.#pages.slice(this.#residency.pinned);
    for (const [i, page] of streamed.entries()) {
      const slot = this.#slots[i % this.#slots.length];
      plan.interlude((flush) => this.#arrive(page, slot, flush));
      update(page.bank, page.first, page.elements, bufferTensor(slot.label, slot));
      plan.interlude((flush) => this.#leave(page, slot, flush));
    }
    if (streamed.length > 0) plan.interlude(() => this.#host.readAhead());
  }

  /** To be called before a step. Throws what writing pages failed with; the state is whole, and a step may follow. */
  begin(): void {
    this.#host.check();
    this.#untouched = false;
  }

  figures(): PagingFigures {
    return {
      pages: this.#pages.length,
      pageBytes: this.#pageBytes,
      residentBytes: this.#gpuBytes(),
      hostBytes: this.#host.hostBytes + (this.#readback?.hostBytes ?? 0),
      storedBytes: this.#host.storedBytes,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      storeRead: this.#host.read,
      storeWritten: this.#host.written,
      stallMs: this.#idle.milliseconds,
    };
  }

  /**
   * Keeps to less from now on, between two steps: pages beyond it leave the GPU, then host memory. Budgets that are larger
   * than before change nothing.
   *
   * @throws OptimizerBudgetError; then nothing has changed
   */
  async lower({ gpuBytes, hostBytes }: TierBudgets): Promise<void> {
    const budgets = {
      gpuBytes: Math.min(gpuBytes, this.#budgets.gpuBytes),
      hostBytes: Math.min(hostBytes, this.#budgets.hostBytes),
    };
    // A chunk goes as a whole.
    const { pinned: most } = this.#divided(budgets);
    let pinned = 0;
    for (const { pages } of this.#chunks)
      if (pinned + pages.length <= most) pinned += pages.length;
      else break;
    const residency = this.#divided({ ...budgets, gpuBytes: this.#bytesFor(pinned) });
    await this.#host.drain();
    this.#budgets = budgets;
    this.#residency = residency;
    this.#readback ??= residency.slots > 0 ? this.#makeReadback() : null;
    // Down to the budget of the host too, as pages come in.
    this.#readback?.limit(residency.leaving);
    await this.#host.divide((page) => tierOf(residency, page.index) === 'host', residency, this.#readback);
    for (const chunk of this.#chunks.slice().reverse()) {
      if (chunk.pages[0].index < pinned) break;
      await this.#evict(chunk);
    }
    while (this.#slots.length < residency.slots) this.#slots.push(this.#makeSlot(this.#slots.length));
    this.#host.readAhead();
  }

  /** Half of what the GPU holds, or false when that is the least already. Between two steps. */
  async lowerByHalf(): Promise<boolean> {
    const { pinned } = this.#residency;
    if (!this.paged || pinned === 0) return false;
    const gpuBytes = Math.max(2 * this.#pageBytes, Math.floor(this.#gpuBytes() / 2));
    await this.lower({ gpuBytes, hostBytes: this.#budgets.hostBytes });
    return true;
  }

  /** All pages as they are, between two steps. Training may go on as soon as it resolves. */
  async capture(): Promise<CapturedPage[]> {
    await this.#host.drain();
    const pinned: CapturedPage[] = [];
    if (this.#untouched) {
      for (const { pages } of this.#chunks) {
        pinned.push(...pages.map(({ name }) => ({ name, version: null, bytes: null })));
      }
    } else if (this.#chunks.length > 0) {
      const ring = this.#readback ?? this.#makeReadback();
      const reads: Promise<CapturedPage>[] = [];
      for (const { pages, tensor } of this.#chunks) {
        for (const [i, { name }] of pages.entries()) {
          await ring.take();
          const mapped = ring.copy(tensor.buffer, i * this.#pageBytes);
          reads.push(
            mapped.then(({ bytes, release }) => {
              const copy = bytes.slice();
              release();
              return { name, version: null, bytes: copy };
            }),
          );
        }
      }
      pinned.push(...(await Promise.all(reads)));
      if (ring !== this.#readback) ring.dispose();
    }
    return [...pinned, ...(await this.#host.capture(this.#readback))];
  }

  /** Pages as {@link capture} gave them, before the first step. Versions must be held for this object, which frees them. */
  async restore(pages: readonly CapturedPage[]): Promise<void> {
    const byName = new Map(pages.map((page) => [page.name, page]));
    const store = this.#options.paging?.store;
    const bytesOf = async ({ name, version, bytes }: CapturedPage) => {
      if (!version) return bytes;
      if (!store) throw new Error(`${name} lies in a store, and this run has none`);
      const read = await store.read(version, true);
      await store.free([version]);
      return read;
    };
    const captured = this.#pages.map(({ name }) => {
      const page = byName.get(name);
      if (!page || (page.bytes ?? page.version ?? { byteLength: this.#pageBytes }).byteLength !== this.#pageBytes) {
        throw new Error(`${name} of the checkpoint does not fit: it was made with other pages or other optim`);
      }
      return page;
    });
    this.#untouched = false;
    for (const { pages: own, tensor } of this.#chunks) {
      for (const [i, { index }] of own.entries()) {
        const bytes = await bytesOf(captured[index]);
        if (bytes) this.#gpu.device.queue.writeBuffer(tensor.buffer, i * this.#pageBytes, bytes);
        await this.#gpu.device.queue.onSubmittedWorkDone();
      }
    }
    for (const page of this.#pages.slice(this.#residency.pinned)) {
      const resident = tierOf(this.#residency, page.index) === 'host';
      const one = captured[page.index];
      this.#host.adopt(page, resident, resident ? { bytes: await bytesOf(one), version: null } : one);
    }
    // Stored pages that came as bytes go to the store.
    await this.#host.divide((page) => tierOf(this.#residency, page.index) === 'host', this.#residency, this.#readback);
    this.#host.readAhead();
  }

  dispose(): void {
    this.#host.dispose();
    this.#readback?.dispose();
    for (const { tensor } of this.#chunks) this.#gpu.ledger.destroy(tensor.buffer);
    for (const slot of this.#slots) this.#gpu.ledger.destroy(slot);
  }

  #divided(budgets: TierBudgets): Residency {
    const hasStore = (this.#options.paging?.store ?? null) !== null;
    return residencyOf(this.#pages.length, this.#pageBytes, budgets, hasStore);
  }

  /** The budget for which so many pages are pinned. */
  #bytesFor(pinned: number): number {
    return (pinned === this.#pages.length ? pinned : pinned + 2) * this.#pageBytes;
  }

  #gpuBytes(): number {
    const pinned = this.#chunks.reduce((sum, { pages }) => sum + pages.length, 0);
    return (pinned + this.#slots.length) * this.#pageBytes;
  }

  #allocate(): void {
    const { pinned, slots } = this.#residency;
    const { maxBindingBytes, maxBufferBytes } = this.#gpu.capabilities;
    const limit = Math.min(maxBindingBytes, maxBufferBytes, this.paged ? CHUNK_BYTES : Number.POSITIVE_INFINITY);
    const perChunk = Math.max(1, Math.floor(limit / this.#pageBytes));
    let chunk: MomentPage[] = [];
    const close = () => {
      if (chunk.length > 0) this.#chunks.push(this.#makeChunk(chunk));
      chunk = [];
    };
    for (const page of this.#pages.slice(0, pinned)) {
      if (chunk.length === perChunk || (chunk.length > 0 && chunk[0].bank !== page.bank)) close();
      chunk.push(page);
    }
    close();
    for (let i = 0; i < slots; i++) this.#slots.push(this.#makeSlot(i));
    if (slots > 0) this.#readback = this.#makeReadback();
    for (const page of this.#pages.slice(pinned)) {
      this.#host.adopt(page, tierOf(this.#residency, page.index) === 'host');
    }
  }

  #makeChunk(pages: readonly MomentPage[]): Chunk {
    return { pages, tensor: bufferTensor('moments', this.#buffer('moments', pages.length * this.#pageBytes)) };
  }

  #makeSlot(i: number): GPUBuffer {
    return this.#buffer(`moments passing through ${i}`, this.#pageBytes);
  }

  #buffer(label: string, size: number): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.#gpu.ledger.create({ label, size, usage, category: 'optimizer' });
  }

  #makeReadback(): ReadbackRing {
    const few = Math.min(16, Math.floor(READBACK_BYTES / this.#pageBytes));
    return new ReadbackRing(this.#gpu, this.#pageBytes, this.#residency.leaving || Math.max(2, few));
  }

  /** A page's bytes into its slot; waits only where they are not there. */
  #arrive(page: MomentPage, slot: GPUBuffer, flush: () => void): Promise<void> | void {
    const bytes = this.#host.fetch(page);
    if (!(bytes instanceof Promise)) return this.#upload(page, slot, bytes);
    // The GPU is to have something to do meanwhile.
    flush();
    return this.#idle.during(bytes).then((found) => this.#upload(page, slot, found));
  }

  #upload(page: MomentPage, slot: GPUBuffer, bytes: PageBytes): void {
    const { device } = this.#gpu;
    this.#bytesIn += bytes?.byteLength ?? 0;
    if (bytes instanceof UploadBuffer) {
      bytes.copyTo(slot);
      bytes.empty();
    } else if (bytes) device.queue.writeBuffer(slot, 0, bytes);
    else {
      const encoder = device.createCommandEncoder();
      encoder.clearBuffer(slot);
      device.queue.submit([encoder.finish()]);
    }
    this.#host.sent(page, bytes);
  }

  #leave(page: MomentPage, slot: GPUBuffer, flush: () => void): Promise<void> | void {
    const ring = this.#readback;
    if (!ring) throw new Error('moments leave before there is a way out');
    flush();
    const out = () => {
      this.#bytesOut += this.#pageBytes;
      this.#host.keep(page, ring.copy(slot, 0));
    };
    const waiting = ring.take();
    if (!waiting) return out();
    return this.#idle.during(waiting).then(out);
  }

  /** A pinned chunk's pages go to the host tier, then its memory is free. */
  async #evict(chunk: Chunk): Promise<void> {
    const ring = this.#readback;
    for (const [i, page] of chunk.pages.entries()) {
      this.#host.adopt(page, tierOf(this.#residency, page.index) === 'host');
      if (this.#untouched || !ring) continue;
      await ring.take();
      this.#host.keep(page, ring.copy(chunk.tensor.buffer, i * this.#pageBytes));
    }
    await this.#host.drain();
    this.#chunks = this.#chunks.filter((other) => other !== chunk);
    this.#gpu.ledger.destroy(chunk.tensor.buffer);
    await this.#gpu.device.queue.onSubmittedWorkDone();
  }
}
