/**
 * safetensors: reads a file's header by byte range and checks every rule of the format (REFERENCE.md §6; reference
 * implementation: huggingface/safetensors, `Metadata::validate`). The weights themselves are never read here.
 */
import type { RangeSource } from './range_source.ts';
import { type JsonObject, JsonSyntaxError, type JsonValue, parseStrictJson } from './strict_json.ts';

/** Bits of one element, of every dtype safetensors 0.8 knows. F4 and F6 tensors must still fill whole bytes. */
const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type SafetensorsDtype = keyof typeof DTYPE_BITS;

export interface SafetensorsTensor {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Row-major; empty for a scalar. */
  readonly shape: readonly number[];
  /** Absolute offsets in the file: bytes [begin, end). */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsFile {
  readonly source: RangeSource;
  /** `__metadata__`, empty when the file has none. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
}

const DOWNLOAD_AGAIN = 'The file is damaged or incomplete: download it again.';

/** A file, or a folder of them, that breaks the format or lacks what was asked of it. */
export class SafetensorsError extends Error {
  override name = 'SafetensorsError';
  readonly file: string;
  constructor(file: string, problem: string, advice = DOWNLOAD_AGAIN) {
    super(`${file}: ${problem}. ${advice}`);
    this.file = file;
  }
}

/** Something else lies where weights belong (a Git LFS pointer, a web page): not to be kept in any cache. */
export class NotAModelFileError extends SafetensorsError {
  override name = 'NotAModelFileError';
}

/** The format's own limit on the header, bytes. */
const FORMAT_HEADER_LIMIT = 100_000_000;
/** Ours: the header of a 400-layer model with 10^5 tensors has about 15 MB. */
const HEADER_CAP = 25_000_000;
const LENGTH_BYTES = 8;
const DIMENSION_LIMIT = 1n << 32n;
const METADATA_KEY = '__metadata__';

/**
 * Reads and checks the header. Two range reads; nothing is allocated by what the file claims before it is checked.
 * Throws {@link SafetensorsError}; what `source.read` rejects with passes through.
 */
export async function readSafetensorsHeader(source: RangeSource): Promise<SafetensorsFile> {
  const headerBytes = await readHeaderBytes(source);
  let header: JsonValue;
  try {
    header = parseStrictJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(headerBytes));
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw new SafetensorsError(source.name, `bad header: ${error.message}`);
    // The only other thing that can fail is the decoder.
    throw new SafetensorsError(source.name, 'the header is not UTF-8');
  }
  if (!(header instanceof Map)) throw new SafetensorsError(source.name, 'the header is not a JSON object');
  const metadata = readMetadata(source.name, header.get(METADATA_KEY));
  const dataBegin = LENGTH_BYTES + headerBytes.length;
  const tensors: SafetensorsTensor[] = [];
  for (const [name, entry] of header) {
    if (name !== METADATA_KEY) tensors.push(readEntry(source.name, name, entry, dataBegin));
  }
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(source, tensors, dataBegin);
  return { source, metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

async function readHeaderBytes(source: RangeSource): Promise<Uint8Array> {
  if (source.size < LENGTH_BYTES) {
    throw new NotAModelFileError(source.name, `not a model file: it has only ${source.size} bytes`);
  }
  const start = await source.read(0, Math.min(source.size, 64));
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  if (length > BigInt(HEADER_CAP)) {
    const found = recognize(start);
    if (found !== null) {
      throw new NotAModelFileError(source.name, `not a model file but ${found.what}`, found.advice);
    }
    const limit =
      length > BigInt(FORMAT_HEADER_LIMIT)
        ? `the format allows ${FORMAT_HEADER_LIMIT}`
        : `at most ${HEADER_CAP} are accepted here`;
    throw new SafetensorsError(source.name, `its header claims to have ${length} bytes; ${limit}`);
  }
  const end = LENGTH_BYTES + Number(length);
  if (end > source.size) {
    throw new SafetensorsError(
      source.name,
      `its header claims to have ${length} bytes, which is past the end of the file (${source.size} bytes)`,
    );
  }
  const header = await source.read(LENGTH_BYTES, end);
  if (header[0] !== '{'.charCodeAt(0)) throw new SafetensorsError(source.name, 'the header does not begin with "{"');
  return header;
}

/** What a file that is no safetensors file is, judged by its first bytes; null when they say nothing. */
function recognize(start: Uint8Array): { what: string; advice: string } | null {
  const text = new TextDecoder('latin1').decode(start);
  if (text.startsWith('version https://git-lfs')) {
    return { what: 'a Git LFS pointer to one', advice: 'Run "git lfs pull", or download the file from the Hub.' };
  }
  if (text.startsWith('GGUF')) {
    return { what: 'a GGUF file', advice: 'Choose a model repository that has *.safetensors files.' };
  }
  if (text.startsWith('PK\x03\x04')) {
    return { what: 'a zip archive or a PyTorch .bin file', advice: 'Choose a model that has *.safetensors files.' };
  }
  if (/^(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|head|body|!--)/i.test(text)) {
    return { what: 'a web page (HTML)', advice: 'The server sent a page instead: check the address and sign-in.' };
  }
  if (/^[\t\n\r\x20-\x7e]+$/.test(text)) {
    return { what: 'a text file', advice: 'The server may have sent an error message: check the address and sign-in.' };
  }
  return null;
}

function readMetadata(file: string, value: JsonValue | undefined): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  if (value === undefined) return metadata;
  if (!(value instanceof Map)) throw new SafetensorsError(file, `${METADATA_KEY} is not an object`);
  for (const [key, text] of value) {
    if (typeof text !== 'string') {
      throw new SafetensorsError(file, `${METADATA_KEY} has a value that is not a string, for the key ${quote(key)}`);
    }
    metadata.set(key, text);
  }
  return metadata;
}

function readEntry(file: string, name: string, entry: JsonValue, dataBegin: number): SafetensorsTensor {
  const fail = (problem: string): never => {
    throw new SafetensorsError(file, `tensor ${quote(name)}: ${problem}`);
  };
  if (!(entry instanceof Map)) return fail('its header entry is not an object');
  const dtype = entry.get('dtype');
  if (typeof dtype !== 'string' || !isDtype(dtype)) {
    return fail(`unknown dtype ${typeof dtype === 'string' ? quote(dtype) : '(none)'}`);
  }
  const shape = readIntegers(entry, 'shape') ?? fail('its shape is not a list of non-negative integers');
  const offsets = readIntegers(entry, 'data_offsets');
  const [begin, end] = offsets ?? [];
  if (offsets?.length !== 2 || begin === undefined || end === undefined) {
    return fail('data_offsets is not a pair of non-negative integers');
  }
  if (end < begin) return fail(`its data ends (${end}) before it begins (${begin})`);
  if (end > BigInt(Number.MAX_SAFE_INTEGER)) return fail(`its data_offsets [${begin}, ${end}] overflow`);
  const bytes = byteLength(shape, dtype, fail);
  if (bytes !== end - begin) {
    return fail(`shape ${shapeText(shape)} of ${dtype} takes ${bytes} bytes, but its data has ${end - begin}`);
  }
  return {
    name,
    dtype,
    shape: shape.map(Number),
    begin: dataBegin + Number(begin),
    end: dataBegin + Number(end),
  };
}

/** Bytes that the shape takes; in BigInt, so that nothing wraps. */
function byteLength(shape: readonly bigint[], dtype: SafetensorsDtype, fail: (problem: string) => never): bigint {
  let elements = 1n;
  for (const dimension of shape) {
    elements *= dimension;
    // In the reference's order: [2^31, 2^31, 2^31, 0] overflows there although it has no element.
    if (dimension >= DIMENSION_LIMIT || elements > BigInt(Number.MAX_SAFE_INTEGER)) {
      fail(`its shape ${shapeText(shape)} overflows: a dimension is below 2^32, a tensor below 2^53`);
    }
  }
  const bits = elements * BigInt(DTYPE_BITS[dtype]);
  if (bits % 8n !== 0n) fail(`shape ${shapeText(shape)} of ${dtype} does not fill whole bytes`);
  return bits / 8n;
}

function readIntegers(entry: JsonObject, key: string): bigint[] | null {
  const list = entry.get(key);
  if (!Array.isArray(list)) return null;
  const integers: bigint[] = [];
  for (const item of list) {
    if (typeof item !== 'bigint' || item < 0n) return null;
    integers.push(item);
  }
  return integers;
}

/** Every byte after the header belongs to exactly one tensor: no hole, no overlap, nothing behind the last. */
function checkCoverage(source: RangeSource, tensors: readonly SafetensorsTensor[], dataBegin: number): void {
  let covered = dataBegin;
  for (const { name, begin, end } of tensors) {
    if (begin !== covered) {
      const problem = begin < covered ? 'overlaps the one before it' : 'leaves a hole before it';
      throw new SafetensorsError(
        source.name,
        `tensor ${quote(name)} begins at byte ${begin} and ${problem} (byte ${covered} was next)`,
      );
    }
    covered = end;
  }
  if (covered === source.size) return;
  const problem =
    covered < source.size
      ? `${source.size - covered} bytes follow the last tensor`
      : `${covered - source.size} bytes are missing at the end`;
  throw new SafetensorsError(source.name, `${problem} (${source.size} bytes, expected ${covered})`);
}

function isDtype(name: string): name is SafetensorsDtype {
  return Object.hasOwn(DTYPE_BITS, name);
}

function shapeText(shape: readonly bigint[]): string {
  return shape.length > 8 ? `[${shape.slice(0, 8).join(', ')}, … ${shape.length} dimensions]` : `[${shape.join(', ')}]`;
}

function quote(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name);
}
