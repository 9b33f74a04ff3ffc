/**
 * The embedding table and the output head in their checkpoint's dtype, or in 8 bits, split by rows where a binding must
 * be smaller.
 */
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { DTYPE_BYTES, type TableDtype } from '../kernels/float_dtype.ts';
import { INT8_BLOCK, int8Words } from '../kernels/int8_quantize.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import { TABLE_SECTION_BYTES, tableSection, type WeightCache } from '../weight_cache.ts';
import type { FloatDtype, WeightSource } from '../weight_source.ts';
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
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
      category: 'weights',
    });
    shards.push({ tensor: bufferTensor(name, buffer), first, count, scalesAt });
  }
  return { dtype, shards };
}

/** A stretch of a table as the GPU has it, at most as long as a section of the cache. */
export interface TablePiece {
  readonly section: string;
  readonly buffer: GPUBuffer;
  /** Bytes from the buffer's start. */
  readonly offset: number;
  readonly bytes: number;
  /** Bytes from the table's start. */
  readonly begin: number;
}

/** All of a table, shard by shard. */
export function tablePieces(name: string, { dtype, shards }: RowShards, width: number): TablePiece[][] {
  let begin = 0;
  return shards.map(({ tensor: { buffer }, count }) => {
    const total = sizeOf(count, width, dtype).bytes;
    const pieces: TablePiece[] = [];
    for (let offset = 0; offset < total; offset += TABLE_SECTION_BYTES) {
      const bytes = Math.min(TABLE_SECTION_BYTES, total - offset);
      pieces.push({ section: tableSection(name, begin + offset), buffer, offset, bytes, begin: begin + offset });
    }
    begin += total;
    return pieces;
  });
}

/** @param quantizer makes 8 bits of the table; null keeps the checkpoint's dtype */
export async function loadRowShards(
  gpu: Gpu,
  source: WeightSource,
  name: string,
  quantizer: Quantizer | null,
  onBytes: (bytes: number) => void,
  cache: WeightCache | null,
): Promise<RowShards> {
  const info = source.info(name);
  if (!info) throw new MissingTensorError(name);
  const { dtype } = info;
  const width = info.shape[1];
  const table = allocateRowShards(gpu, name, info.shape, quantizer ? 'I8' : dtype);
  try {
    const pieces = tablePieces(name, table, width);
    for (const [i, shard] of table.shards.entries()) {
      if (quantizer) await loadBytes(gpu, { source, name, dtype, width }, shard, pieces[i], quantizer, onBytes, cache);
      else await loadFloats(gpu, { source, name, dtype, width }, pieces[i], onBytes, cache);
    }
  } catch (error) {
    for (const { tensor } of table.shards) gpu.ledger.destroy(tensor.buffer);
    throw error;
  }
  return table;
}

interface TableSource {
  readonly source: WeightSource;
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly width: number;
}

/** A shard in the checkpoint's dtype: a piece of it is what the source has at the same place. */
async function loadFloats(
  gpu: Gpu,
  { source, name, dtype }: TableSource,
  pieces: readonly TablePiece[],
  onBytes: (bytes: number) => void,
  cache: WeightCache | null,
): Promise<void> {
  for (const { section, buffer, offset, bytes: byteLength, begin } of pieces) {
    const cached = await cache?.read(section);
    const bytes = cached?.byteLength === byteLength ? cached : await source.read(name, begin, begin + byteLength);
    if (!allFinite(bytes, dtype)) throw new NonFiniteWeightsError(name);
    writePadded(gpu, buffer, offset, bytes);
    if (bytes !== cached) await cache?.write(section, bytes);
    await gpu.device.queue.onSubmittedWorkDone();
    onBytes(byteLength);
  }
}

/** A shard in 8 bits, from the cache where all of it is there. */
async function loadBytes(
  gpu: Gpu,
  { source, name, dtype, width }: TableSource,
  { tensor, first, count, scalesAt }: RowShard,
  pieces: readonly TablePiece[],
  quantizer: Quantizer,
  onBytes: (bytes: number) => void,
  cache: WeightCache | null,
): Promise<void> {
  const rowBytes = width * DTYPE_BYTES[dtype];
  let missing = cache === null;
  for (const { section, offset, bytes } of cache ? pieces : []) {
    const cached = await cache?.read(section);
    missing ||= cached?.byteLength !== bytes;
    if (missing || !cached) break;
    writePadded(gpu, tensor.buffer, offset, cached);
  }
  if (!missing) {
    onBytes(count * rowBytes);
    return;
  }
  const begin = first * rowBytes;
  const chunks = tensorChunks(source, name, begin, begin + count * rowBytes, quantizer.chunkBytes(dtype));
  for await (const { offset, bytes } of chunks) {
    if (!allFinite(bytes, dtype)) throw new NonFiniteWeightsError(name);
    await quantizer.toBytes(bytes, dtype, tensor, scalesAt, offset / DTYPE_BYTES[dtype]);
    onBytes(bytes.byteLength);
  }
  if (!cache) return;
  for (const { section, offset, bytes } of pieces) {
    await cache.write(section, new Uint8Array(await readBuffer(gpu, tensor.buffer, offset, bytes)));
  }
}
