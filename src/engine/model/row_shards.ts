/**
 * The embedding table and the output head in their checkpoint's dtype, or in 8 bits, split by rows where a binding must
 * be smaller.
 */
import type { Gpu } from '../device/gpu.ts';
import { DTYPE_BYTES, type TableDtype } from '../kernels/float_dtype.ts';
import { INT8_BLOCK, int8Words } from '../kernels/int8_quantize.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import type { WeightSource } from '../weight_source.ts';
import { allFinite, MissingTensorError, NonFiniteWeightsError, tensorChunks, writePadded } from './float_tensor.ts';
import type { Quantizer } from './quantizer.ts';

export interface RowShards {
  readonly dtype: TableDtype;
  readonly shards: readonly RowShard[];
}

export interface RowShard {
  readonly tensor: BufferTensor;
  readonly first: number;
  readonly count: number;
  /** Of 8 bits: the word at which the scales begin, behind the codes. */
  readonly scalesAt: number;
}

/** Bytes uploaded at a time: what the host holds of a table while it loads. */
const CHUNK_BYTES = 8 * 2 ** 20;

/** Bytes of some rows, and the word at which their scales begin. */
function sizeOf(rows: number, width: number, dtype: TableDtype): { bytes: number; scalesAt: number } {
  if (dtype !== 'I8') return { bytes: rows * width * DTYPE_BYTES[dtype], scalesAt: 0 };
  const { codes, scales } = int8Words(rows * width);
  return { bytes: 4 * (codes + scales), scalesAt: codes };
}

/** As many as a binding holds; of 8 bits a whole number of blocks, so that what is in a block depends on no limit. */
function rowsPerShard(rows: number, width: number, dtype: TableDtype, limit: number): number {
  if (sizeOf(rows, width, dtype).bytes <= limit) return rows;
  const step = dtype === 'I8' ? INT8_BLOCK : 1;
  return Math.floor(limit / sizeOf(step, width, dtype).bytes) * step;
}

/** Buffers for a table [rows, width], as few as bindings allow. */
export function allocateRowShards(
  gpu: Gpu,
  name: string,
  [rows, width]: readonly number[],
  dtype: TableDtype,
): RowShards {
  const limit = Math.min(gpu.capabilities.maxBindingBytes, gpu.capabilities.maxBufferBytes);
  const most = rowsPerShard(rows, width, dtype, limit);
  const shards: RowShard[] = [];
  for (let first = 0; first < rows; first += most) {
    const count = Math.min(most, rows - first);
    const { bytes, scalesAt } = sizeOf(count, width, dtype);
    const buffer = gpu.ledger.create({
      label: `${name} rows ${first}–${first + count - 1}`,
      size: bytes,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      category: 'weights',
    });
    shards.push({ tensor: bufferTensor(name, buffer), first, count, scalesAt });
  }
  return { dtype, shards };
}

/** @param quantizer makes 8 bits of the table; null keeps the checkpoint's dtype */
export async function loadRowShards(
  gpu: Gpu,
  source: WeightSource,
  name: string,
  quantizer: Quantizer | null,
  onBytes: (bytes: number) => void,
): Promise<RowShards> {
  const info = source.info(name);
  if (!info) throw new MissingTensorError(name);
  const { dtype } = info;
  const rowBytes = info.shape[1] * DTYPE_BYTES[dtype];
  const chunkBytes = quantizer?.chunkBytes(dtype) ?? CHUNK_BYTES;
  const table = allocateRowShards(gpu, name, info.shape, quantizer ? 'I8' : dtype);
  try {
    for (const { tensor, first, count, scalesAt } of table.shards) {
      const begin = first * rowBytes;
      for await (const { offset, bytes } of tensorChunks(source, name, begin, begin + count * rowBytes, chunkBytes)) {
        if (!allFinite(bytes, dtype)) throw new NonFiniteWeightsError(name);
        if (quantizer) await quantizer.toBytes(bytes, dtype, tensor, scalesAt, offset / DTYPE_BYTES[dtype]);
        else {
          writePadded(gpu, tensor.buffer, offset, bytes);
          await gpu.device.queue.onSubmittedWorkDone();
        }
        onBytes(bytes.byteLength);
      }
    }
  } catch (error) {
    for (const { tensor } of table.shards) gpu.ledger.destroy(tensor.buffer);
    throw error;
  }
  return table;
}
