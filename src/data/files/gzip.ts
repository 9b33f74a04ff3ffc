/** A compressed file cannot be read from its middle: it is unpacked once into a scratch file that can. */
import type { RangeSource } from '../../formats/range_source.ts';
import type { CreateScratch } from '../../formats/scratch.ts';
import { DataFileError } from './problem.ts';

const CHUNK_BYTES = 2 ** 20;
/** Of what a file becomes: a gzip bomb unpacks to a thousand times its size. */
export const UNPACKED_CAP = 16 * 2 ** 30;

export async function isGzip(source: RangeSource): Promise<boolean> {
  if (source.size < 3) return false;
  const [first, second, method] = await source.read(0, 3);
  return first === 0x1f && second === 0x8b && method === 8;
}

export interface UnpackPorts {
  readonly signal?: AbortSignal | undefined;
  readonly cap?: number;
  /** Packed bytes read so far. */
  readonly onProgress?: (bytesRead: number) => void;
}

/**
 * The unpacked file, without `.gz` in its name.
 *
 * @throws DataFileError when it is damaged, cut off or too large; the signal's reason when aborted
 */
export async function unpackGzip(
  source: RangeSource,
  createScratch: CreateScratch,
  { signal, cap = UNPACKED_CAP, onProgress }: UnpackPorts = {},
): Promise<RangeSource> {
  const fail = (reason: string) => new DataFileError({ file: source.name, line: 1, field: '', kind: 'syntax', reason });
  const scratch = await createScratch();
  let at = 0;
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (at >= source.size) return controller.close();
      const end = Math.min(at + CHUNK_BYTES, source.size);
      controller.enqueue(await source.read(at, end));
      at = end;
      onProgress?.(at);
    },
  });
  const reader = packed.pipeThrough(new DecompressionStream('gzip')).getReader();
  try {
    for (let written = 0; ; ) {
      signal?.throwIfAborted();
      const { done, value } = await reader.read().catch((error: unknown) => {
        const detail = error instanceof Error ? error.message : String(error);
        throw fail(`The file cannot be unpacked (${detail}). Download it again.`);
      });
      if (done) return await scratch.finish(source.name.replace(/\.gz$/i, ''));
      written += value.length;
      if (written > cap) throw fail(`The file unpacks to more than ${cap} bytes. Split it into several.`);
      await scratch.write(value as Uint8Array<ArrayBuffer>);
    }
  } catch (error) {
    await reader.cancel().catch(() => undefined);
    await scratch.discard();
    throw error;
  }
}

/** Scratch in memory, for where there is no other: small files only. */
export function memoryScratch(cap = 256 * 2 ** 20): CreateScratch {
  return async () => {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    return {
      async write(bytes) {
        size += bytes.length;
        if (size > cap)
          throw new RangeError(`More than ${cap} bytes do not go into memory here. Unpack the file first.`);
        parts.push(bytes);
      },
      async finish(name) {
        const blob = new Blob(parts);
        return {
          name,
          size,
          read: async (begin, end) => new Uint8Array(await blob.slice(begin, end).arrayBuffer()),
        };
      },
      async discard() {
        parts.length = 0;
      },
    };
  };
}
