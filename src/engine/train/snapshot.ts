/**
 * A run's trained state at one moment, as pages: what a checkpoint stores. It is copied on the GPU's own timeline, after the
 * steps that were enqueued before and ahead of those that come after, so training goes on while the copy is written.
 */
import { allocate, OutOfGpuMemoryError } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import type { BufferTensor } from '../plan/tensor.ts';
import type { Bank } from './flat_state.ts';

/** Bytes of a page but the last of each part: a multiple of the flat state's own. */
export const SNAPSHOT_PAGE_BYTES = 4 * 2 ** 20;

/** Parts of a bank that training changes and a step does not start from anew. */
const PARTS = ['parameters', 'moment1', 'moment2'] as const;

export interface StatePage {
  /** `moment1/0/2`: part, bank, page. */
  readonly page: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Beside the pages, what resuming needs of a trainer: plain data. */
export interface TrainerState {
  /** Optimizer steps done: the dropout's counter, Adam's bias correction and the data's position follow from it. */
  readonly steps: number;
  /** The lengths that the rotary embeddings were last made for: dynamic ones remember. */
  readonly ropeLengths: readonly number[];
  /** Bytes of each bank: what else the pages fit. */
  readonly bankBytes: readonly number[];
}

export interface TrainerSnapshot {
  readonly state: TrainerState;
  /** All pages, once, in order. */
  pages(): AsyncGenerator<StatePage>;
  /** Frees what the pages are read from. */
  dispose(): void;
}

/** A checkpoint that was written by a run of another shape. */
export class SnapshotMismatchError extends Error {
  override name = 'SnapshotMismatchError';
}

interface Part {
  readonly name: string;
  readonly tensor: BufferTensor;
  readonly bytes: number;
}

function partsOf(banks: readonly Bank[]): Part[] {
  return banks.flatMap((bank, i) =>
    PARTS.map((part) => ({ name: `${part}/${i}`, tensor: bank[part], bytes: bank.elements * 4 })),
  );
}

/** Bytes that a checkpoint of these banks takes. */
export const snapshotBytes = (banks: readonly Pick<Bank, 'elements'>[]): number =>
  banks.reduce((sum, { elements }) => sum + elements * 4 * PARTS.length, 0);

/**
 * Copies the banks as they are once all work enqueued so far is done. Where the GPU has no room for copies, they are read to
 * the host before it resolves, and training waits for that.
 */
export async function copyBanks(gpu: Gpu, banks: readonly Bank[]): Promise<Pick<TrainerSnapshot, 'pages' | 'dispose'>> {
  const parts = partsOf(banks);
  try {
    const copies = await allocate(gpu, () => parts.map((part) => stagingFor(gpu, part)));
    const encoder = gpu.device.createCommandEncoder();
    for (const [i, { tensor, bytes }] of parts.entries()) {
      encoder.copyBufferToBuffer(tensor.buffer, tensor.offset, copies[i], 0, bytes);
    }
    gpu.device.queue.submit([encoder.finish()]);
    return {
      async *pages() {
        for (const [i, { name, bytes }] of parts.entries()) {
          await copies[i].mapAsync(GPUMapMode.READ);
          const mapped = copies[i].getMappedRange();
          for (const { page, at, end } of pagesOf(name, bytes)) {
            yield { page, bytes: new Uint8Array(mapped.slice(at, end)) };
          }
          copies[i].unmap();
        }
      },
      dispose() {
        for (const copy of copies) gpu.ledger.destroy(copy);
      },
    };
  } catch (error) {
    if (!(error instanceof OutOfGpuMemoryError)) throw error;
    return readToHost(gpu, parts);
  }
}

async function readToHost(gpu: Gpu, parts: readonly Part[]): Promise<Pick<TrainerSnapshot, 'pages' | 'dispose'>> {
  const read: StatePage[] = [];
  for (const { name, tensor, bytes } of parts) {
    for (const { page, at, end } of pagesOf(name, bytes)) {
      read.push({ page, bytes: new Uint8Array(await readBuffer(gpu, tensor.buffer, tensor.offset + at, end - at)) });
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

/** Writes pages back to where they were copied from. @throws SnapshotMismatchError when they are not the banks' own. */
export async function restoreBanks(gpu: Gpu, banks: readonly Bank[], pages: AsyncIterable<StatePage>): Promise<void> {
  const places = new Map<string, { readonly buffer: GPUBuffer; readonly offset: number; readonly bytes: number }>();
  for (const { name, tensor, bytes } of partsOf(banks)) {
    for (const { page, at, end } of pagesOf(name, bytes)) {
      places.set(page, { buffer: tensor.buffer, offset: tensor.offset + at, bytes: end - at });
    }
  }
  for await (const { page, bytes } of pages) {
    const place = places.get(page);
    if (place?.bytes !== bytes.byteLength) throw mismatch(`page ${page} of ${bytes.byteLength} bytes`);
    gpu.device.queue.writeBuffer(place.buffer, place.offset, bytes);
    places.delete(page);
  }
  if (places.size > 0) throw mismatch(`no page ${[...places.keys()][0]}`);
}

const mismatch = (what: string) =>
  new SnapshotMismatchError(
    `The checkpoint has ${what}, which this run's adapter does not fit. Resume with the settings that it was trained with.`,
  );

function* pagesOf(name: string, bytes: number): Generator<{ page: string; at: number; end: number }> {
  for (let at = 0, page = 0; at < bytes; at += SNAPSHOT_PAGE_BYTES, page++) {
    yield { page: `${name}/${page}`, at, end: Math.min(bytes, at + SNAPSHOT_PAGE_BYTES) };
  }
}

function stagingFor(gpu: Gpu, { name, bytes }: Part): GPUBuffer {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  return gpu.ledger.create({ label: `snapshot of ${name}`, size: bytes, usage, category: 'staging' });
}
