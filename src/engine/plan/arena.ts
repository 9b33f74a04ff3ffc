/**
 * One pool of buffers for all that lives only inside a step. Tensors whose lives do not meet share bytes. Placement is
 * decided once, when a plan is whole; several plans (training, evaluation) share the same buffers.
 */
import type { BufferRequest, MemoryCategory, MemoryLedger } from '../device/ledger.ts';
import { type ArenaTensor, align } from './tensor.ts';

/** First and last dispatch that touches a tensor. */
export interface Lifetime {
  readonly first: number;
  readonly last: number;
}

export interface Place {
  readonly chunk: string;
  readonly offset: number;
}

export interface Layout {
  readonly places: ReadonlyMap<ArenaTensor, Place>;
  /** Bytes each chunk needs. */
  readonly chunks: ReadonlyMap<string, number>;
}

/**
 * Greedy placement: largest first, each at the lowest offset that no tensor alive at the same time occupies, in the
 * first chunk of its category with room.
 *
 * @param chunkLimit bytes no chunk may pass (the device's maxBufferSize)
 */
export function placeTensors(lifetimes: ReadonlyMap<ArenaTensor, Lifetime>, chunkLimit: number): Layout {
  const places = new Map<ArenaTensor, Place>();
  const chunks = new Map<string, number>();
  const placed = new Map<string, { tensor: ArenaTensor; offset: number }[]>();
  const bySize = [...lifetimes.keys()].sort((a, b) => b.bytes - a.bytes);
  for (const tensor of bySize) {
    const life = lifetimes.get(tensor)!;
    const bytes = align(tensor.bytes);
    for (let n = 0; !places.has(tensor); n++) {
      const chunk = `${tensor.category} ${n}`;
      const neighbours = (placed.get(chunk) ?? [])
        .filter((other) => {
          const otherLife = lifetimes.get(other.tensor)!;
          return otherLife.first <= life.last && life.first <= otherLife.last;
        })
        .sort((a, b) => a.offset - b.offset);
      let offset = 0;
      for (const other of neighbours) {
        if (offset + bytes <= other.offset) break;
        offset = Math.max(offset, other.offset + align(other.tensor.bytes));
      }
      if (offset > 0 && offset + bytes > chunkLimit) continue;
      places.set(tensor, { chunk, offset });
      placed.set(chunk, [...(placed.get(chunk) ?? []), { tensor, offset }]);
      chunks.set(chunk, Math.max(chunks.get(chunk) ?? 0, offset + bytes));
    }
  }
  return { places, chunks };
}

/** Bytes of each chunk of an arena for these layouts: the most that one of them needs. */
function chunkBytes(layouts: readonly Layout[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const layout of layouts) {
    for (const [chunk, bytes] of layout.chunks) sizes.set(chunk, Math.max(sizes.get(chunk) ?? 0, bytes));
  }
  return sizes;
}

/** Bytes of an arena for these layouts, known before it is made. */
export const arenaBytes = (layouts: readonly Layout[]): number =>
  [...chunkBytes(layouts).values()].reduce((sum, bytes) => sum + bytes, 0);

/** The buffers behind one or more layouts. */
export class Arena {
  readonly #ledger: MemoryLedger;
  readonly #buffers = new Map<string, GPUBuffer>();

  constructor(ledger: MemoryLedger, layouts: readonly Layout[]) {
    this.#ledger = ledger;
    for (const [chunk, size] of chunkBytes(layouts)) {
      const request: BufferRequest = {
        label: `arena ${chunk}`,
        size,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
        category: chunk.split(' ')[0] as MemoryCategory,
      };
      this.#buffers.set(chunk, ledger.create(request));
    }
  }

  buffer(chunk: string): GPUBuffer {
    const buffer = this.#buffers.get(chunk);
    if (!buffer) throw new Error(`arena has no chunk ${chunk}`);
    return buffer;
  }

  /** All chunks: tests poison them between steps. */
  buffers(): GPUBuffer[] {
    return [...this.#buffers.values()];
  }

  dispose(): void {
    for (const buffer of this.#buffers.values()) this.#ledger.destroy(buffer);
    this.#buffers.clear();
  }
}
