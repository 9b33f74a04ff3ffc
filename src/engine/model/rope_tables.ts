import type { RopeSpec } from '../../formats/model_spec.ts';
import { inverseFrequenciesAt } from '../../formats/rope.ts';
import type { Gpu } from '../device/gpu.ts';
import type { RopeTables } from '../kernels/rope.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';

/**
 * cos and sin of every position's angles, [positions, half]. The angle is an f32 product, as transformers computes it;
 * its cosine is taken in float64, as WGSL's own is good to 2^-11 only.
 */
export function ropeAngles(
  inverseFrequencies: readonly number[],
  attentionScaling: number,
  positions: number,
): { cosines: Float32Array<ArrayBuffer>; sines: Float32Array<ArrayBuffer> } {
  const half = inverseFrequencies.length;
  const cosines = new Float32Array(positions * half);
  const sines = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * Math.fround(inverseFrequencies[i]));
      cosines[p * half + i] = Math.cos(angle) * attentionScaling;
      sines[p * half + i] = Math.sin(angle) * attentionScaling;
    }
  }
  return { cosines, sines };
}

/**
 * The length that a rope's frequencies are made for when a batch of `length` positions follows one for `before`. Dynamic
 * NTK has a memory in transformers (`dynamic_rope_update`): a longer batch raises the length, and only one below the
 * limit resets it.
 */
export function effectiveLength({ long }: RopeSpec, before: number, length: number): number {
  if (long?.kind !== 'dynamic') return length;
  return length > before || length < long.beyond ? length : before;
}

/** A rotary embedding's tables on the GPU, kept at what the length of the batch at hand asks for. */
export class LengthRope implements RopeTables {
  readonly cosines: BufferTensor;
  readonly sines: BufferTensor;
  readonly half: number;
  readonly #gpu: Gpu;
  readonly #spec: RopeSpec;
  readonly #positions: number;
  #length = 0;
  /** What the tables are made of. */
  #frequencies: readonly number[];

  /** @param positions the highest position + 1 */
  constructor(gpu: Gpu, spec: RopeSpec, positions: number) {
    this.#gpu = gpu;
    this.#spec = spec;
    this.#positions = positions;
    this.half = spec.inverseFrequencies.length;
    const buffer = (label: string) => {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
      const size = positions * this.half * 4;
      return bufferTensor(label, gpu.ledger.create({ label, size, usage, category: 'weights' }));
    };
    this.cosines = buffer('RoPE cosines');
    this.sines = buffer('RoPE sines');
    this.#frequencies = spec.inverseFrequencies;
    this.#write();
  }

  /** Makes the tables those of a batch of `length` positions, before it is run. Returns whether they have changed. */
  fit(length: number): boolean {
    this.#length = effectiveLength(this.#spec, this.#length, length);
    const frequencies = inverseFrequenciesAt(this.#spec, this.#length);
    if (frequencies.every((value, i) => value === this.#frequencies[i])) return false;
    this.#frequencies = frequencies;
    this.#write();
    return true;
  }

  /** Forgets the lengths of earlier batches. */
  restart(): void {
    this.#length = 0;
  }

  /** All that a batch leaves behind: the length that the tables were last made for. */
  get length(): number {
    return this.#length;
  }

  /** Makes the tables those of a run whose {@link length} this was. */
  remember(length: number): void {
    this.#length = length;
    this.#frequencies = inverseFrequenciesAt(this.#spec, length);
    this.#write();
  }

  /** Tables for more positions, at the same length. This one stays, until it is disposed of. */
  longer(positions: number): LengthRope {
    const rope = new LengthRope(this.#gpu, this.#spec, positions);
    rope.remember(this.#length);
    return rope;
  }

  dispose(): void {
    for (const { buffer } of [this.cosines, this.sines]) this.#gpu.ledger.destroy(buffer);
  }

  #write(): void {
    const { cosines, sines } = ropeAngles(this.#frequencies, this.#spec.attentionScaling, this.#positions);
    this.#gpu.device.queue.writeBuffer(this.cosines.buffer, 0, cosines);
    this.#gpu.device.queue.writeBuffer(this.sines.buffer, 0, sines);
  }
}
