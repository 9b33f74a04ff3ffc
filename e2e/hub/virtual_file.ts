/** Files made of pieces that are never all in memory: bytes, ranges of files on disk, numbers from a seed. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

export type Part =
  | { readonly bytes: Uint8Array }
  /** Bytes [begin, end) of a file on disk. */
  | { readonly file: string; readonly begin: number; readonly end: number }
  /** `size` bytes of weights, the same for the same seed and offset. */
  | { readonly seed: number; readonly size: number; readonly dtype: 'BF16' | 'F16' | 'F32' };

const CHUNK = 64 * 1024;
/** Above this a synthetic file's SHA-256 is made up: hashing gigabytes would take longer than serving them. */
const HASH_CAP = 512 * 2 ** 20;

export class VirtualFile {
  readonly size: number;
  readonly #parts: readonly Part[];
  #sha256: Promise<string> | undefined;

  constructor(parts: readonly Part[]) {
    this.#parts = parts;
    this.size = parts.reduce((sum, part) => sum + partSize(part), 0);
  }

  /** Bytes [begin, end) in chunks of at most 64 KiB. */
  async *read(begin: number, end: number): AsyncGenerator<Uint8Array> {
    let at = 0;
    for (const part of this.#parts) {
      const size = partSize(part);
      const from = Math.max(begin, at) - at;
      const to = Math.min(end, at + size) - at;
      if (from < to) yield* readPart(part, from, to);
      at += size;
    }
  }

  async bytes(begin = 0, end = this.size): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.read(begin, end)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  get sha256(): Promise<string> {
    this.#sha256 ??= this.#hash();
    return this.#sha256;
  }

  async #hash(): Promise<string> {
    const hash = createHash('sha256');
    if (this.size > HASH_CAP) hash.update(JSON.stringify([this.size, this.#parts.map(partSize)]));
    else for await (const chunk of this.read(0, this.size)) hash.update(chunk);
    return hash.digest('hex');
  }
}

export const textFile = (text: string) => new VirtualFile([{ bytes: new TextEncoder().encode(text) }]);

export const diskFile = (file: string, size: number) => new VirtualFile([{ file, begin: 0, end: size }]);

function partSize(part: Part): number {
  if ('bytes' in part) return part.bytes.length;
  return 'file' in part ? part.end - part.begin : part.size;
}

async function* readPart(part: Part, from: number, to: number): AsyncGenerator<Uint8Array> {
  if ('file' in part) {
    const handle = await open(part.file);
    try {
      for (let at = from; at < to; ) {
        const { bytesRead, buffer } = await handle.read(
          Buffer.alloc(Math.min(CHUNK, to - at)),
          0,
          undefined,
          part.begin + at,
        );
        if (bytesRead === 0) throw new Error(`${part.file} ends early.`);
        yield buffer.subarray(0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await handle.close();
    }
    return;
  }
  for (let at = from; at < to; at += CHUNK) {
    const end = Math.min(to, at + CHUNK);
    yield 'bytes' in part ? part.bytes.subarray(at, end) : seededBytes(part.seed, part.dtype, at, end);
  }
}

/** Small finite numbers of the dtype, by 4-byte words: any range can be made without what lies before it. */
function seededBytes(seed: number, dtype: 'BF16' | 'F16' | 'F32', begin: number, end: number): Uint8Array {
  const first = begin >>> 2;
  const words = new Uint32Array(Math.ceil(end / 4) - first);
  // Sign and low bits from the hash, an exponent that keeps magnitudes between 2^-8 and 2^-4.
  const [mask, base] =
    dtype === 'F32' ? [0x81ffffff, 0x3c000000] : dtype === 'BF16' ? [0x81ff81ff, 0x3c003c00] : [0x8fff8fff, 0x1c001c00];
  for (let i = 0; i < words.length; i++) words[i] = (mix(seed + Math.imul(first + i, 0x9e3779b1)) & mask) | base;
  return new Uint8Array(words.buffer, begin - first * 4, end - begin);
}

/** MurmurHash3's finalizer. */
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
