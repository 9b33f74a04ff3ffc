/** Quantized linears for tests: a slab of words as shaders/common/nf4.wgsl reads it, and the weight it stands for. */
import type { QuantizedLinear } from '../matmul_nf4.ts';
import { DYNAMIC_MAP, NF4_CODEBOOK } from '../nf4_codebook.ts';
import {
  doubleDequantizeReference,
  doubleQuantizeReference,
  nf4DequantizeReference,
  nf4QuantizeReference,
  packCodes,
} from '../nf4_quantize.reference.ts';
import type { Random } from './random.ts';

export interface TestLinear {
  readonly slab: Uint32Array<ArrayBuffer>;
  readonly linear: Omit<QuantizedLinear, 'slab'>;
  /** Dequantized, [outFeatures, inFeatures]. */
  readonly weight: Float64Array<ArrayBuffer>;
  readonly bias: Float32Array<ArrayBuffer> | undefined;
}

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

/** Bytes in words of four, the first lowest. */
export function packBytes(bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
}

export interface TestLinearOptions {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly doubleQuant: boolean;
  readonly bias?: boolean;
}

/** A random weight whose blocks differ in size, quantized, with gaps between the ranges of its slab. */
export function randomLinear(random: Random, options: TestLinearOptions): TestLinear {
  const { inFeatures, outFeatures, doubleQuant } = options;
  const values = random.normal(inFeatures * outFeatures).map((x, i) => x * (1 + ((i >> 6) % 5)));
  const { codes, absmax } = nf4QuantizeReference(values);
  const words: number[] = [...bitsOf(NF4_CODEBOOK), ...bitsOf(DYNAMIC_MAP)];
  const append = (range: Uint32Array) => {
    for (let gap = random.integer(0, 4); gap > 0; gap--) words.push(random.word());
    const at = words.length;
    for (const word of range) words.push(word);
    return at;
  };
  const nested = doubleQuant ? doubleQuantizeReference(absmax) : null;
  const codesAt = append(packCodes(codes));
  const absmaxAt = append(nested ? packBytes(nested.quantized) : bitsOf(absmax));
  const nestedAt = nested ? append(bitsOf(Float32Array.of(nested.offset, ...nested.nestedAbsmax))) : 0;
  const bias = options.bias ? random.normal(outFeatures, 10) : undefined;
  const biasAt = bias ? append(bitsOf(bias)) : null;
  return {
    slab: Uint32Array.from(words),
    linear: { codesAt, absmaxAt, nestedAt, biasAt, inFeatures, outFeatures, doubleQuant },
    weight: nf4DequantizeReference({ codes, absmax: nested ? doubleDequantizeReference(nested) : absmax }),
    bias,
  };
}
