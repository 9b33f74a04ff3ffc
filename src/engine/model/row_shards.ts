/** The embedding table and the output head in their checkpoint's dtype, split by rows where a binding must be smaller. */
import type { Gpu } from '../device/gpu.ts';
import { DTYPE_BYTES } from '../kernels/float_dtype.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import { TABLE_SECTION_BYTES, tableSection, type WeightCache } from '../weight_cache.ts';
import type { FloatDtype, WeightSource } from '../weight_source.ts';
import { allFinite, MissingTensorError, NonFiniteWeightsError } from './float_tensor.ts';

export interface RowShards {
  readonly dtype: FloatDtype;
  readonly shards: readonly { readonly tensor: BufferTensor; readonly first: number; readonly count: number }[];
}

/** Buffers for a table [rows, width], as few as bindings allow. */
export function allocateRowShards(
  gpu: Gpu,
  name: string,
  [rows, width]: readonly number[],
  dtype: FloatDtype,
): RowShards {
  const rowBytes = width * DTYPE_BYTES[dtype];
  const limit = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
  const rowsPerShard = Math.min(rows, Math.floor(limit / rowBytes));
  const shards: { tensor: BufferTensor; first: number; count: number }[] = [];
  for (let first = 0; first < rows; first += rowsPerShard) {
    const count = Math.min(rowsPerShard, rows - first);
    const buffer = gpu.ledger.create({
      label: `${name} rows ${first}–${first + count - 1}`,
      size: count * rowBytes,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      category: 'weights',
    });
    shards.push({ tensor: bufferTensor(name, buffer), first, count });
  }
  return { dtype, shards };
}

/** Pieces of a table that are uploaded, and cached, at a time. Offsets and ends are of the whole table, in bytes. */
export function* tablePieces({ dtype, shards }: RowShards, width: number) {
  const rowBytes = width * DTYPE_BYTES[dtype];
  for (const { tensor, first, count } of shards) {
    const [begin, end] = [first * rowBytes, (first + count) * rowBytes];
    for (let at = begin; at < end; at += TABLE_SECTION_BYTES) {
      yield { buffer: tensor.buffer, offset: at - begin, begin: at, end: Math.min(end, at + TABLE_SECTION_BYTES) };
    }
  }
}

/** A queue write is a multiple of 4 bytes; only a last odd half needs padding. */
export function uploadPiece(gpu: Gpu, buffer: GPUBuffer, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
  const whole = bytes.byteLength & ~3;
  gpu.device.queue.writeBuffer(buffer, offset, bytes, 0, whole);
  if (whole === bytes.byteLength) return;
  const tail = new Uint8Array(4);
  tail.set(bytes.subarray(whole));
  gpu.device.queue.writeBuffer(buffer, offset + whole, tail);
}

export async function loadRowShards(
  gpu: Gpu,
  source: WeightSource,
  name: string,
  onBytes: (bytes: number) => void,
  cache: WeightCache | null,
): Promise<RowShards> {
  const info = source.info(name);
  if (!info) throw new MissingTensorError(name);
  const table = allocateRowShards(gpu, name, info.shape, info.dtype);
  try {
    for (const { buffer, offset, begin, end } of tablePieces(table, info.shape[1])) {
      const section = tableSection(name, begin);
      const cached = await cache?.read(section);
      const bytes = cached?.byteLength === end - begin ? cached : await source.read(name, begin, end);
      if (!allFinite(bytes, info.dtype)) throw new NonFiniteWeightsError(name);
      uploadPiece(gpu, buffer, offset, bytes);
      if (bytes !== cached) await cache?.write(section, bytes);
      await gpu.device.queue.onSubmittedWorkDone();
      onBytes(bytes.byteLength);
    }
  } catch (error) {
    for (const { tensor } of table.shards) gpu.ledger.destroy(tensor.buffer);
    throw error;
  }
  return table;
}
