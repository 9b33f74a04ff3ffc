/** Safetensors checkpoints put together on the fly: one on disk in another number of shards, or one from a seed. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Part, textFile, VirtualFile } from './virtual_file.ts';

export type SeedDtype = 'BF16' | 'F16' | 'F32';

export interface ShardTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Part;
  /** Bytes. */
  readonly size: number;
}

export const INDEX = 'model.safetensors.index.json';
const BYTES: Readonly<Record<SeedDtype, number>> = { BF16: 2, F16: 2, F32: 4 };

/** The tensors of safetensors files on disk, in the order of their data; nothing but headers is read. */
export function tensorsOnDisk(files: readonly string[]): ShardTensor[] {
  return files.flatMap((file) => {
    const bytes = readFileSync(file);
    const headerBytes = Number(bytes.readBigUInt64LE(0));
    const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = JSON.parse(
      bytes.toString('utf8', 8, 8 + headerBytes),
    );
    return Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0])
      .map(
        ([
          name,
          {
            dtype,
            shape,
            data_offsets: [begin, end],
          },
        ]) => {
          const at = 8 + headerBytes;
          return { name, dtype, shape, size: end - begin, data: { file, begin: at + begin, end: at + end } };
        },
      );
  });
}

/** Tensors of weights from a seed; each tensor's numbers depend on its name and the seed alone. */
export function tensorsFromSeed(
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  dtype: SeedDtype,
  seed: number,
): ShardTensor[] {
  return tensors.map(({ name, shape }) => {
    const size = shape.reduce((product, dimension) => product * dimension, BYTES[dtype]);
    const own = createHash('sha256').update(`${seed}/${name}`).digest().readUInt32LE(0);
    return { name, dtype, shape, size, data: { seed: own, size, dtype } };
  });
}

/** path → file: `model.safetensors` for one shard, else `model-0000i-of-0000n.safetensors` with their index. */
export function shardFiles(tensors: readonly ShardTensor[], shards: number): Map<string, VirtualFile> {
  if (shards === 1) return new Map([['model.safetensors', safetensorsFile(tensors)]]);
  const total = tensors.reduce((sum, { size }) => sum + size, 0);
  const groups: ShardTensor[][] = Array.from({ length: shards }, () => []);
  let before = 0;
  for (const tensor of tensors) {
    // By the middle of its data, so that shards come out about equal.
    groups[Math.min(shards - 1, Math.floor(((before + tensor.size / 2) / total) * shards))]?.push(tensor);
    before += tensor.size;
  }
  const number = (i: number) => String(i).padStart(5, '0');
  const files = new Map<string, VirtualFile>();
  const weight_map: Record<string, string> = {};
  for (const [i, group] of groups.entries()) {
    const path = `model-${number(i + 1)}-of-${number(shards)}.safetensors`;
    files.set(path, safetensorsFile(group));
    for (const { name } of group) weight_map[name] = path;
  }
  files.set(INDEX, textFile(JSON.stringify({ metadata: { total_size: total }, weight_map })));
  return files;
}

function safetensorsFile(tensors: readonly ShardTensor[]): VirtualFile {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let at = 0;
  for (const { name, dtype, shape, size } of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + size] };
    at += size;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  // Padded with spaces, so that the data begins at a multiple of 8.
  const bytes = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(text, 8);
  return new VirtualFile([{ bytes }, ...tensors.map(({ data }) => data)]);
}
