/**
 * A run's trained state at one moment, as pages: what a checkpoint stores. The parameters are copied on the GPU's own
 * timeline, the moments where they lie (paging/moments.ts); training goes on while both are written.
 */
import { allocate, OutOfGpuMemoryError } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import type { PageVersion } from '../page_store.ts';
import type { Bank } from './flat_state.ts';

/** Bytes of a page of parameters but the last of each bank. */
export const SNAPSHOT_PAGE_BYTES = 4 * 2 ** 20;

/** What the names of their pages begin with: `parameters/0/2` is of bank 0 the third. */
export const PARAMETERS = 'parameters/';

export interface StatePage {
  readonly page: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** A page as it comes back: its bytes, or of the moments a version of the run's store that is held for the trainer. */
export interface RestoredPage {
  readonly page: string;
  readonly bytes: Uint8Array<ArrayBuffer> | null;
  readonly version: PageVersion | null;
}

/** Beside the pages, what resuming needs of a trainer: plain data. */
export interface TrainerState {
  /** Optimizer steps done: the dropout's counter, Adam's bias correction and the data's position follow from it. */
  readonly steps: number;
  /** The lengths that the rotary embeddings were last made for: dynamic ones remember. */
  readonly ropeLengths: readonly number[];
  /** Bytes of each bank: what else the pages fit. */
  readonly bankBytes: readonly number[];
  /** Pages of moments that no step has touched. */
  readonly zeroPages: readonly string[];
  /** What longer batches have made of the plans: variants, and with them bits, can depend on it. Not in older checkpoints. */
  readonly planned?: { readonly tokens: number; readonly positions: number };
}

export interface TrainerSnapshot {
  readonly state: TrainerState;
  /** Pages that are in no store, once, in order. */
  pages(): AsyncGenerator<StatePage>;
  /** Pages that are in the run's store already, held for the snapshot: whoever took it frees them. */
  readonly versions: readonly PageVersion[];
  /** Frees what the pages are read from. */
  dispose(): void;
}

/** A checkpoint that was written by a run of another shape. */
export class SnapshotMismatchError extends Error {
  override name = 'SnapshotMismatchError';
  constructor(what: string) {
    super(`The checkpoint has ${what}, which this run does not. Resume with the settings that it was trained with.`);
  }
}

export const bankBytes = (banks: readonly Pick<Bank, 'elements'>[]): number[] =>
  banks.map(({ elements }) => elements * 4);

/**
 * Copies the parameters as they are once all work enqueued so far is done. Where the GPU has no room for copies, they are read
 * to the host before it resolves.
 */
export async function copyParameters(
  gpu: Gpu,
  banks: readonly Bank[],
): Promise<Pick<TrainerSnapshot, 'pages' | 'dispose'>> {
  const sizes = bankBytes(banks);
  try {
    const copies = await allocate(gpu, () => sizes.map((size, i) => stagingFor(gpu, i, size)));
    const encoder = gpu.device.createCommandEncoder();
    for (const [i, { parameters }] of banks.entries()) {
      encoder.copyBufferToBuffer(parameters.buffer, parameters.offset, copies[i], 0, sizes[i]);
    }
    gpu.device.queue.submit([encoder.finish()]);
    return {
      async *pages() {
        for (const [bank, bytes] of sizes.entries()) {
          await copies[bank].mapAsync(GPUMapMode.READ);
          const mapped = copies[bank].getMappedRange();
          for (const { page, at, end } of pagesOf(bank, bytes)) {
            yield { page, bytes: new Uint8Array(mapped.slice(at, end)) };
          }
          copies[bank].unmap();
        }
      },
      dispose() {
        for (const copy of copies) gpu.ledger.destroy(copy);
      },
    };
  } catch (error) {
    if (!(error instanceof OutOfGpuMemoryError)) throw error;
    return readToHost(gpu, banks);
  }
}

async function readToHost(gpu: Gpu, banks: readonly Bank[]): Promise<Pick<TrainerSnapshot, 'pages' | 'dispose'>> {
  const read: StatePage[] = [];
  for (const [bank, { parameters, elements }] of banks.entries()) {
    for (const { page, at, end } of pagesOf(bank, elements * 4)) {
      const bytes = await readBuffer(gpu, parameters.buffer, parameters.offset + at, end - at);
      read.push({ page, bytes: new Uint8Array(bytes) });
    }
  }
  return {
    async *pages() {
      yield* read;
    },
    dispose() {
      read.length = 0;
    },
  };
}

/** Writes pages back to where they were copied from. */
export class ParameterPages {
  readonly #gpu: Gpu;
  readonly #places = new Map<string, { readonly buffer: GPUBuffer; readonly offset: number; readonly bytes: number }>();

  constructor(gpu: Gpu, banks: readonly Bank[]) {
    this.#gpu = gpu;
    for (const [bank, { parameters, elements }] of banks.entries()) {
      for (const { page, at, end } of pagesOf(bank, elements * 4)) {
        this.#places.set(page, { buffer: parameters.buffer, offset: parameters.offset + at, bytes: end - at });
      }
    }
  }

  /** @throws SnapshotMismatchError for a page that is not the banks' own. */
  write(page: string, bytes: Uint8Array<ArrayBuffer> | null): void {
    const place = this.#places.get(page);
    if (!bytes || place?.bytes !== bytes.byteLength) throw new SnapshotMismatchError(`another page ${page}`);
    this.#gpu.device.queue.writeBuffer(place.buffer, place.offset, bytes);
    this.#places.delete(page);
  }

  /** @throws SnapshotMismatchError when a page was missing. */
  finish(): void {
    const [missing] = this.#places.keys();
    if (missing) throw new SnapshotMismatchError(`no page ${missing}`);
  }
}

function* pagesOf(bank: number, bytes: number): Generator<{ page: string; at: number; end: number }> {
  for (let at = 0, page = 0; at < bytes; at += SNAPSHOT_PAGE_BYTES, page++) {
    yield { page: `${PARAMETERS}${bank}/${page}`, at, end: Math.min(bytes, at + SNAPSHOT_PAGE_BYTES) };
  }
}

function stagingFor(gpu: Gpu, bank: number, size: number): GPUBuffer {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  return gpu.ledger.create({ label: `snapshot of parameters ${bank}`, size, usage, category: 'staging' });
}
