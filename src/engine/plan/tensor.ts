/** What dispatches read and write: ranges of buffers, some known now, some placed by the arena when the plan is whole. */
import type { MemoryCategory } from '../device/ledger.ts';

/** Memory that lives for part of a plan; the arena decides where. */
export interface ArenaTensor {
  readonly kind: 'arena';
  readonly name: string;
  /** At the plan's token capacity. */
  readonly bytes: number;
  readonly category: MemoryCategory;
  /** It holds floats in 16 bits. */
  readonly halves?: boolean;
}

/** Memory that outlives the plan: weights, parameters, inputs. */
export interface BufferTensor {
  readonly kind: 'buffer';
  readonly name: string;
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
  /** It holds floats in 16 bits. */
  readonly halves?: boolean;
}

export type Tensor = ArenaTensor | BufferTensor;

/** A byte range of a tensor, as bound by a dispatch. */
export interface TensorView {
  readonly tensor: Tensor;
  /** Bytes from the tensor's start; a multiple of 256. */
  readonly offset: number;
  readonly bytes: number;
}

export const view = (tensor: Tensor, offset = 0, bytes = tensor.bytes - offset): TensorView => ({
  tensor,
  offset,
  bytes,
});

/** Whether it holds floats in 16 bits. */
export const inHalves = (x: Tensor | TensorView): boolean => ('kind' in x ? x : x.tensor).halves === true;

/** WebGPU's default minStorageBufferOffsetAlignment: every tensor starts at a multiple of it. */
export const ALIGNMENT = 256;
export const align = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

export function bufferTensor(name: string, buffer: GPUBuffer, offset = 0, bytes = buffer.size - offset): BufferTensor {
  return { kind: 'buffer', name, buffer, offset, bytes };
}
