/** Small reads of neighbouring rows become few large ones: the last blocks of a file are kept. */
import type { RangeSource } from '../../formats/range_source.ts';

const BLOCK_BYTES = 2 ** 19;
const BLOCKS_KEPT = 8;

/** The same file, read in blocks of 512 KiB of which the eight last used are held. */
export function blockCache(source: RangeSource): RangeSource {
  const blocks = new Map<number, Promise<Uint8Array>>();
  const block = (index: number): Promise<Uint8Array> => {
    const begin = index * BLOCK_BYTES;
    const held = blocks.get(index) ?? source.read(begin, Math.min(begin + BLOCK_BYTES, source.size));
    // The last used stands last.
    blocks.delete(index);
    blocks.set(index, held);
    held.catch(() => blocks.delete(index));
    for (const oldest of blocks.keys()) {
      if (blocks.size <= BLOCKS_KEPT) break;
      blocks.delete(oldest);
    }
    return held;
  };
  return {
    name: source.name,
    size: source.size,
    async read(begin, end) {
      if (end - begin > BLOCK_BYTES || begin < 0 || end > source.size || begin >= end) return source.read(begin, end);
      const first = Math.floor(begin / BLOCK_BYTES);
      const last = Math.floor((end - 1) / BLOCK_BYTES);
      const at = first * BLOCK_BYTES;
      const head = await block(first);
      if (first === last) return head.slice(begin - at, end - at) as Uint8Array<ArrayBuffer>;
      const joined = new Uint8Array(end - begin);
      const tail = await block(last);
      joined.set(head.subarray(begin - at));
      joined.set(tail.subarray(0, end - last * BLOCK_BYTES), last * BLOCK_BYTES - begin);
      return joined;
    },
  };
}
