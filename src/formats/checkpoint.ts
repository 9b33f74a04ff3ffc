/**
 * A model folder's weights as one set of named tensors: `model.safetensors`, or `model.safetensors.index.json` with its
 * shards. The engine's WeightSource port is satisfied by {@link Checkpoint}.
 */
import { FLOAT_DTYPES, type FloatDtype, isFloatDtype } from './float_dtypes.ts';
import { readJsonFile } from './json_file.ts';
import { type NestedScales, type QuantizedHeader, quantizedHeader, readNestedScales } from './quant_state.ts';
import { FileMissingError, type Folder } from './range_source.ts';
import {
  readSafetensorsHeader,
  SafetensorsError,
  type SafetensorsFile,
  type SafetensorsTensor,
} from './safetensors.ts';
import { parseStrictJson } from './strict_json.ts';

export interface CheckpointTensor extends SafetensorsTensor {
  readonly file: SafetensorsFile;
}

export interface FloatTensorInfo {
  readonly dtype: FloatDtype;
  readonly shape: readonly number[];
  /** Bytes of the whole tensor. */
  readonly byteLength: number;
}

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** Undefined when there is no such tensor; throws {@link SafetensorsError} when it is not F32, F16 or BF16. */
  info(name: string): FloatTensorInfo | undefined;
  /** Bytes [begin, end) of the tensor, little-endian, row-major. Rejects with {@link SafetensorsError} when there is no such
   * tensor, RangeError outside it. */
  read(name: string, begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Undefined for a tensor that bitsandbytes has not quantized to 4 bits. Throws as {@link quantizedHeader}. */
  quantized(name: string): QuantizedHeader | undefined;
  /** Absmax and its second level of a linear in 4 bits. Rejects as {@link readNestedScales}. */
  scales(
    name: string,
    shape: readonly number[],
    tables: { readonly codes: Float32Array; readonly scales: Float32Array },
  ): Promise<{ readonly absmax: Uint8Array<ArrayBuffer>; readonly nested: NestedScales | null }>;
}

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const SHARD_CAP = 10_000;
/** Bytes. Real indexes have under 1 MB. */
const INDEX_CAP = 25_000_000;
/** Header reads under way at once: enough to hide a server's latency, few enough not to be throttled. */
const PARALLEL_READS = 8;

/** Pairs (ours, theirs) of how tensor names begin; see `ModelSpec.tensors.olderPrefixes`. */
export type Prefixes = readonly (readonly [string, string])[];

/**
 * Opens a folder's checkpoint, reading only headers. Like transformers, prefers the single file when both forms are
 * there. Tensors whose names begin the older way are known by their newer names. Throws {@link SafetensorsError} naming
 * the file, shard or tensor that is wrong.
 */
export async function openCheckpoint(folder: Folder, olderPrefixes: Prefixes = []): Promise<Checkpoint> {
  const tensors = renamed(await openTensors(folder), olderPrefixes);
  return makeCheckpoint(folder.name, tensors);
}

function renamed(tensors: Map<string, CheckpointTensor>, prefixes: Prefixes): Map<string, CheckpointTensor> {
  if (prefixes.length === 0) return tensors;
  const result = new Map(tensors);
  for (const [name, tensor] of tensors) {
    const prefix = prefixes.find(([, theirs]) => name.startsWith(theirs));
    if (prefix === undefined) continue;
    const ours = prefix[0] + name.slice(prefix[1].length);
    if (!tensors.has(ours)) result.set(ours, tensor);
  }
  return result;
}

async function openTensors(folder: Folder): Promise<Map<string, CheckpointTensor>> {
  if (await folder.has(SINGLE)) return openFiles(folder, [SINGLE], null);
  if (await folder.has(INDEX)) {
    const weightMap = await readIndex(folder);
    return openFiles(folder, [...new Set(weightMap.values())], weightMap);
  }
  throw new SafetensorsError(
    folder.name,
    `the folder has neither ${SINGLE} nor ${INDEX}`,
    'Choose a model with weights in the safetensors format.',
  );
}

/** Tensor name → shard, checked: names stay inside the folder and there are not absurdly many. */
async function readIndex(folder: Folder): Promise<Map<string, string>> {
  const file = `${folder.name}/${INDEX}`;
  const index = await readJsonFile(folder, INDEX, INDEX_CAP, parseStrictJson, (problem) => {
    throw new SafetensorsError(file, problem);
  });
  const weightMap = index instanceof Map ? index.get('weight_map') : undefined;
  if (!(weightMap instanceof Map)) throw new SafetensorsError(file, 'it has no weight_map object');
  const shards = new Map<string, string>();
  const names = new Set<string>();
  for (const [tensor, shard] of weightMap) {
    if (typeof shard !== 'string') throw new SafetensorsError(file, `tensor ${tensor} has no file name`);
    if (!isInsideFolder(shard) || !shard.endsWith('.safetensors')) {
      throw new SafetensorsError(
        file,
        `tensor ${tensor} is said to lie in ${JSON.stringify(shard)}`,
        'Only .safetensors files inside the model folder are read. Do not trust this model, or choose another.',
      );
    }
    shards.set(tensor, shard);
    names.add(shard);
    if (names.size > SHARD_CAP) {
      throw new SafetensorsError(file, `it lists more than ${SHARD_CAP} files`, 'Choose another model.');
    }
  }
  return shards;
}

/** A plain relative path: no way up, no root, no drive or scheme, no control characters. */
function isInsideFolder(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a file name
  if (/[\\:\u0000-\u001f\u007f]/.test(path)) return false;
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

async function openFiles(
  folder: Folder,
  names: readonly string[],
  weightMap: ReadonlyMap<string, string> | null,
): Promise<Map<string, CheckpointTensor>> {
  const tensors = new Map<string, CheckpointTensor>();
  const homes = new Map<string, string>();
  for (let first = 0; first < names.length; first += PARALLEL_READS) {
    const batch = names.slice(first, first + PARALLEL_READS);
    const files = await Promise.all(batch.map((name) => openFile(folder, name)));
    for (const [i, name] of batch.entries()) {
      const file = files[i] as SafetensorsFile;
      for (const tensor of file.tensors.values()) {
        const other = homes.get(tensor.name);
        if (other !== undefined) {
          throw new SafetensorsError(folder.name, `tensor ${tensor.name} is in both ${other} and ${name}`);
        }
        homes.set(tensor.name, name);
        tensors.set(tensor.name, { ...tensor, file });
      }
    }
  }
  for (const [tensor, shard] of weightMap ?? []) {
    if (homes.get(tensor) !== shard) {
      throw new SafetensorsError(folder.name, `${INDEX} says that tensor ${tensor} is in ${shard}, but it is not`);
    }
  }
  return tensors;
}

async function openFile(folder: Folder, name: string): Promise<SafetensorsFile> {
  try {
    return await readSafetensorsHeader(await folder.open(name));
  } catch (error) {
    if (!(error instanceof FileMissingError)) throw error;
    throw new SafetensorsError(
      folder.name,
      `the shard ${name} is missing`,
      'Download it, or drop the whole model folder.',
    );
  }
}

function makeCheckpoint(folderName: string, tensors: ReadonlyMap<string, CheckpointTensor>): Checkpoint {
  const checkpoint: Checkpoint = {
    tensors,
    info(name) {
      const tensor = tensors.get(name);
      if (tensor === undefined) return undefined;
      const { dtype, shape, begin, end } = tensor;
      if (!isFloatDtype(dtype)) {
        throw new SafetensorsError(
          tensor.file.source.name,
          `tensor ${name} has the dtype ${dtype}; weights are read from ${FLOAT_DTYPES.join(', ')}`,
          'Choose the model in 16 or 32 bit, not one that is already quantized.',
        );
      }
      return { dtype, shape, byteLength: end - begin };
    },
    async read(name, begin, end) {
      const tensor = tensors.get(name);
      if (tensor === undefined) {
        throw new SafetensorsError(folderName, `there is no tensor ${name}`, 'Is this the right model?');
      }
      const size = tensor.end - tensor.begin;
      if (!(Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= begin && begin <= end && end <= size)) {
        throw new RangeError(`Bytes [${begin}, ${end}) are outside tensor ${name} of ${size} bytes.`);
      }
      return tensor.file.source.read(tensor.begin + begin, tensor.begin + end);
    },
    quantized: (name) => quantizedHeader(tensors, name),
    async scales(name, shape, tables) {
      const nested = await readNestedScales(tensors, checkpoint.read, name, shape, tables);
      const absmax = tensors.get(`${name}.absmax`) as CheckpointTensor;
      return { absmax: await checkpoint.read(`${name}.absmax`, 0, absmax.end - absmax.begin), nested };
    },
  };
  return checkpoint;
}
