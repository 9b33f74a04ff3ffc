/** Keys and values of the tokens that several sequences have so far, on the GPU. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import type { Gpu } from '../device/gpu.ts';
import { headVectors, type KvCacheLayer } from '../kernels/kv_store.ts';
import { bufferTensor } from '../plan/tensor.ts';

/** Positions come in so many: the parts of a layer's cache begin at bindable offsets then. */
const POSITIONS = 64;

export const roundContext = (positions: number): number => Math.ceil(positions / POSITIONS) * POSITIONS;

export class KvCache {
  readonly #gpu: Gpu;
  readonly #buffers: readonly GPUBuffer[];
  /** By layer. */
  readonly layers: readonly KvCacheLayer[];

  /**
   * @param slots sequences
   * @param context positions of each, as {@link roundContext} makes them
   */
  constructor(gpu: Gpu, { attention, layers }: ModelSpec, slots: number, context: number) {
    this.#gpu = gpu;
    const half = slots * attention.kvHeads * headVectors(attention.headDim) * context * 16;
    this.#buffers = layers.map((_, i) =>
      gpu.ledger.create({
        label: `KV cache ${i}`,
        size: 2 * half,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
        category: 'cache',
      }),
    );
    this.layers = this.#buffers.map((buffer, i) => ({
      keys: bufferTensor(`keys ${i}`, buffer, 0, half),
      values: bufferTensor(`values ${i}`, buffer, half, half),
      context,
    }));
  }

  dispose(): void {
    for (const buffer of this.#buffers) this.#gpu.ledger.destroy(buffer);
  }
}
