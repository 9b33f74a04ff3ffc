/** The embedding table and the output head in their checkpoint's dtype, split by rows where a binding must be smaller. */
import type { Gpu } from '../device/gpu.ts';
import { DTYPE_BYTES } from '../kernels/float_dtype.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import type { FloatDtype, WeightSource } from '../weight_source.ts';
import { allFinite, MissingTensorError, NonFiniteWeightsError, tensorChunks } from './float_tensor.ts';

export interface RowShards {
  readonly dtype: FloatDtype;
  readonly shards: readonly { readonly tensor: BufferTensor; readonly first: number; readonly count: number }[];
}

/** Bytes uploaded at a time: what the host holds of a table while it loads. */
const CHUNK_BYTES = 8 * 2 ** 20;

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

export async function loadRowShards(
  gpu: Gpu,
  source: WeightSource,
  name: string,
  onBytes: (bytes: number) => void,
): Promise<RowShards> {
  const info = source.info(name);
  if (!info) throw new MissingTensorError(name);
  const rowBytes = info.shape[1] * DTYPE_BYTES[info.dtype];
  const table = allocateRowShards(gpu, name, info.shape, info.dtype);
  try {
    for (const { tensor, first, count } of table.shards) {
      const { buffer } = tensor;
      const begin = first * rowBytes;
      for await (const { offset, bytes } of tensorChunks(source, name, begin, begin + count * rowBytes, CHUNK_BYTES)) {
        if (!allFinite(bytes, info.dtype)) throw new NonFiniteWeightsError(name);
        // A queue write is a multiple of 4 bytes; only a last odd half needs padding.
        const whole = bytes.byteLength & ~3;
        gpu.device.queue.writeBuffer(buffer, offset, bytes, 0, whole);
        if (whole < bytes.byteLength) {
          const tail = new Uint8Array(4);
          tail.set(bytes.subarray(whole));
          gpu.device.queue.writeBuffer(buffer, offset + whole, tail);
        }
        await gpu.device.queue.onSubmittedWorkDone();
        onBytes(bytes.byteLength);
      }
    }
  } catch (error) {
    for (const { tensor } of table.shards) gpu.ledger.destroy(tensor.buffer);
    throw error;
  }
  return table;
}
