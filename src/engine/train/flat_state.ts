/**
 * Everything that trains, flat: parameters and gradients in page-aligned buffers of equal layout, a table maps a tensor's
 * name to its range. One dispatch can update all of it; the moments lie in pages over the same layout (paging/moments.ts).
 */
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { MOMENT_BLOCK } from '../kernels/adamw.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';

/** Banks are whole pages of so many bytes of parameters, the smallest pages that moments can lie in. */
export const PAGE_BYTES = 65536;

/** Runs begin where a block of 8-bit moments may, so that a tensor of whole blocks shares none with another. */
const RUN_ALIGNMENT = 4 * MOMENT_BLOCK;

export interface TensorValues {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

export interface FlatTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Ranges of one buffer each for parameters and gradients; as large as a binding may be. */
export interface Bank {
  readonly elements: number;
  readonly parameters: BufferTensor;
  readonly gradients: BufferTensor;
}

/** Tensors that lie one behind the other without gaps, so that a kernel can bind them as one. */
export type FlatRun = readonly FlatTensor[];

/** A run as a kernel binds it. */
export interface BoundRun {
  readonly parameters: BufferTensor;
  readonly gradients: BufferTensor;
  /** Where a tensor begins in the run, in elements. */
  at(name: string): number;
}

interface Place {
  readonly bank: number;
  /** Bytes from the bank's start. */
  readonly offset: number;
}

interface Range extends Place {
  readonly shape: readonly number[];
  readonly run: Place & { readonly bytes: number };
}

const count = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Where tensors go: runs in order, each at a multiple of 1,024 bytes, none across two banks. Bank sizes in bytes. */
export function layoutFlat(
  runs: readonly FlatRun[],
  bankLimit: number,
): { ranges: Map<string, Range>; bankBytes: number[] } {
  const limit = Math.floor(bankLimit / PAGE_BYTES) * PAGE_BYTES;
  const ranges = new Map<string, Range>();
  const ends: number[] = [0];
  for (const tensors of runs) {
    const bytes = tensors.reduce((sum, { shape }) => sum + count(shape) * 4, 0);
    const padded = Math.ceil(bytes / RUN_ALIGNMENT) * RUN_ALIGNMENT;
    if (padded > limit) {
      throw new RangeError(
        `${tensors[0].name} and what lies with it need ${padded} bytes; a bank holds ${limit}. Try a smaller r.`,
      );
    }
    if (ends[ends.length - 1] + padded > limit) ends.push(0);
    const bank = ends.length - 1;
    const run = { bank, offset: ends[bank], bytes };
    let { offset } = run;
    for (const { name, shape } of tensors) {
      ranges.set(name, { bank, offset, shape, run });
      offset += count(shape) * 4;
    }
    ends[bank] += padded;
  }
  return { ranges, bankBytes: ends.map((end) => Math.max(1, Math.ceil(end / PAGE_BYTES)) * PAGE_BYTES) };
}

export class FlatState {
  readonly #gpu: Gpu;
  readonly #ranges: ReadonlyMap<string, Range>;
  readonly banks: readonly Bank[];

  /** @param trained false: parameters only, which stand for gradients too, that nothing may write */
  constructor(gpu: Gpu, runs: readonly FlatRun[], trained = true) {
    this.#gpu = gpu;
    const limit = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
    const { ranges, bankBytes } = layoutFlat(runs, limit);
    this.#ranges = ranges;
    const buffer = (label: string, size: number) =>
      bufferTensor(
        label,
        gpu.ledger.create({
          label,
          size,
          usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
          category: 'adapter',
        }),
      );
    this.banks = bankBytes.map((bytes, i) => {
      const parameters = buffer(`parameters ${i}`, bytes);
      return { elements: bytes / 4, parameters, gradients: trained ? buffer(`gradients ${i}`, bytes) : parameters };
    });
  }

  names(): string[] {
    return [...this.#ranges.keys()];
  }

  #range(name: string): Range {
    const range = this.#ranges.get(name);
    if (!range) throw new Error(`no trainable tensor ${name}`);
    return range;
  }

  /** The run that a tensor lies in. */
  run(name: string): BoundRun {
    const { run } = this.#range(name);
    const bound = (part: 'parameters' | 'gradients') =>
      bufferTensor(`${name} …`, this.banks[run.bank][part].buffer, run.offset, run.bytes);
    return {
      parameters: bound('parameters'),
      gradients: bound('gradients'),
      at: (tensor) => (this.#range(tensor).offset - run.offset) / 4,
    };
  }

  /**
   * For each bank the elements, ascending, at which tensors begin that `chosen` takes and those end: an even number, none
   * where it takes none.
   */
  borders(chosen: (name: string) => boolean): Uint32Array<ArrayBuffer>[] {
    return this.banks.map((_, bank) => {
      const borders: number[] = [];
      for (const [name, range] of this.#ranges) {
        if (range.bank !== bank || !chosen(name)) continue;
        const begin = range.offset / 4;
        if (borders.at(-1) === begin) borders.pop();
        else borders.push(begin);
        borders.push(begin + count(range.shape));
      }
      return Uint32Array.from(borders);
    });
  }

  shape(name: string): readonly number[] {
    return this.#range(name).shape;
  }

  /** Sets a tensor's values. Throws RangeError when there are too few or too many. */
  write(name: string, data: Float32Array<ArrayBuffer>): void {
    const { bank, offset, shape } = this.#range(name);
    if (data.length !== count(shape)) throw new RangeError(`${name} holds ${count(shape)} values, not ${data.length}`);
    this.#gpu.device.queue.writeBuffer(this.banks[bank].parameters.buffer, offset, data);
  }

  /** Sets a tensor's values to those at a byte offset of a buffer. */
  copy(name: string, source: GPUBuffer, sourceOffset: number): void {
    const { bank, offset, shape } = this.#range(name);
    const encoder = this.#gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, sourceOffset, this.banks[bank].parameters.buffer, offset, count(shape) * 4);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** Zeroes all gradients, for the start of an accumulation window. */
  clearGradients(): void {
    const encoder = this.#gpu.device.createCommandEncoder();
    for (const { gradients } of this.banks) encoder.clearBuffer(gradients.buffer);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** All tensors' parameters or gradients, read back. */
  async read(part: 'parameters' | 'gradients'): Promise<Map<string, TensorValues>> {
    const banks = await Promise.all(
      this.banks.map((bank) => readBuffer(this.#gpu, bank[part].buffer, 0, bank.elements * 4)),
    );
    return new Map(
      [...this.#ranges].map(([name, { bank, offset, shape }]) => [
        name,
        { shape, data: new Float32Array(banks[bank].slice(offset, offset + count(shape) * 4)) },
      ]),
    );
  }

  dispose(): void {
    for (const { parameters, gradients } of this.banks) {
      for (const buffer of new Set([parameters.buffer, gradients.buffer])) this.#gpu.ledger.destroy(buffer);
    }
  }
}
