/** What Windows' programs save as "Unicode": written again as UTF-8, once, into a scratch file that can be read from its middle. */
import type { RangeSource } from '../../formats/range_source.ts';
import type { CreateScratch } from '../../formats/scratch.ts';
import { DataFileError } from './problem.ts';

const CHUNK_BYTES = 2 ** 20;

/** By its byte order mark. */
export async function utf16Encoding(source: RangeSource): Promise<'utf-16le' | 'utf-16be' | null> {
  if (source.size < 2) return null;
  const [first, second] = await source.read(0, 2);
  if (first === 0xff && second === 0xfe) return 'utf-16le';
  return first === 0xfe && second === 0xff ? 'utf-16be' : null;
}

/** @throws DataFileError for what is no such text; the signal's reason when aborted */
export async function rewriteUtf16(
  source: RangeSource,
  encoding: 'utf-16le' | 'utf-16be',
  createScratch: CreateScratch,
  { signal, onProgress }: { signal?: AbortSignal | undefined; onProgress?: ((bytesRead: number) => void) | undefined },
): Promise<RangeSource> {
  const scratch = await createScratch();
  const decoder = new TextDecoder(encoding, { fatal: true });
  const encoder = new TextEncoder();
  try {
    for (let begin = 0; begin < source.size; begin += CHUNK_BYTES) {
      signal?.throwIfAborted();
      const end = Math.min(begin + CHUNK_BYTES, source.size);
      const bytes = await source.read(begin, end);
      await scratch.write(encoder.encode(decode(decoder, bytes, end < source.size, source.name)));
      onProgress?.(end);
    }
    return await scratch.finish(source.name);
  } catch (error) {
    await scratch.discard();
    throw error;
  }
}

function decode(decoder: TextDecoder, bytes: Uint8Array, stream: boolean, file: string): string {
  try {
    return decoder.decode(bytes, { stream });
  } catch {
    const reason = 'The file begins as UTF-16 does, but is none. Save it again as UTF-8.';
    throw new DataFileError({ file, line: 1, field: '', kind: 'encoding', reason });
  }
}
