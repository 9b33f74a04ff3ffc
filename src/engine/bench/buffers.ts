/** Buffers of random data for timing: made once a name, filled by repeating one block, since only speed matters. */
import type { Gpu } from '../device/gpu.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import type { VariantChoice } from './variant_choice.ts';

const BLOCK_WORDS = 2 ** 20;

/** Marsaglia's xorshift32: fast, and good enough to look like data. */
export function xorshift(seed: number): () => number {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

export class BenchBuffers {
  readonly #gpu: Gpu;
  readonly #tensors = new Map<string, BufferTensor>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** `count` f32 values, uniform within ±`size`. */
  floats(name: string, count: number, size = 1): BufferTensor {
    return this.#get(name, count * 4, (next) => {
      const values = new Float32Array(Math.min(count, BLOCK_WORDS));
      for (let i = 0; i < values.length; i++) values[i] = size * (next() / 2 ** 31 - 1);
      return values;
    });
  }

  /** The same for what linears and attention read and write: `stored=f16` makes them 16 bits wide. */
  activations(name: string, count: number, { stored }: VariantChoice): BufferTensor {
    if (stored !== 'f16') return this.floats(name, count);
    // Halves from ±1/8 to ±1/4.
    return { ...this.words(name, count / 2, 0x83ff83ff, 0x30003000), halves: true };
  }

  /** `count` words, every bit random; `mask` clears some, `set` sets some. */
  words(name: string, count: number, mask = 0xffffffff, set = 0): BufferTensor {
    return this.#get(name, count * 4, (next) => {
      const values = new Uint32Array(Math.min(count, BLOCK_WORDS));
      for (let i = 0; i < values.length; i++) values[i] = (next() & mask) | set;
      return values;
    });
  }

  /** Pairs of bf16 values within ±0.03, as trained weights are. */
  bf16(name: string, count: number): BufferTensor {
    return this.#get(name, count * 2, (next) => bf16Block(Math.min(count, 2 * BLOCK_WORDS), next));
  }

  values(name: string, data: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): BufferTensor {
    return this.#get(name, data.byteLength, () => data);
  }

  dispose(): void {
    for (const { buffer } of this.#tensors.values()) this.#gpu.ledger.destroy(buffer);
    this.#tensors.clear();
  }

  #get(
    name: string,
    bytes: number,
    block: (next: () => number) => Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>,
  ): BufferTensor {
    const known = this.#tensors.get(name);
    if (known) {
      if (known.bytes < bytes) throw new Error(`${name} was made with ${known.bytes} bytes, now it needs ${bytes}`);
      return known;
    }
    const buffer = this.#gpu.ledger.create({
      label: name,
      size: bytes,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
      category: 'activations',
    });
    const tensor = bufferTensor(name, buffer);
    this.#tensors.set(name, tensor);
    const data = block(xorshift(0x9e3779b9 + this.#tensors.size));
    const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    for (let at = 0; at < bytes; at += source.byteLength) {
      const part = Math.min(source.byteLength, bytes - at);
      this.#gpu.device.queue.writeBuffer(buffer, at, source, 0, part & ~3);
    }
    return tensor;
  }
}

/** An even number of bf16 values, uniform within ±0.03 but for the low bits. */
export function bf16Block(count: number, next: () => number): Uint16Array<ArrayBuffer> {
  const values = new Uint16Array(Math.ceil(count / 2) * 2);
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let i = 0; i < values.length; i++) {
    float[0] = 0.03 * (next() / 2 ** 31 - 1);
    values[i] = bits[0] >>> 16;
  }
  return values;
}
