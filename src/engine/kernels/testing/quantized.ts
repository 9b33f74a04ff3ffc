/** Linears for tests, in 4 bits or some in floats: a slab of words as shaders/common/nf4.wgsl reads it, and the weights it stands for. */
import type { FloatDtype } from '../../weight_source.ts';
import type { LinearGroup, QuantizedLinear } from '../matmul_nf4.ts';
import { DYNAMIC_MAP, NF4_CODEBOOK } from '../nf4_codebook.ts';
import {
  dequantizeReference,
  doubleDequantizeReference,
  doubleQuantizeReference,
  packCodes,
  quantizeReference,
} from '../nf4_quantize.reference.ts';
import { randomTable } from './float_table.ts';
import type { Random } from './random.ts';

export interface TestGroup {
  readonly slab: Uint32Array<ArrayBuffer>;
  readonly group: Omit<LinearGroup, 'slab'>;
  /** Dequantized, all linears one below the other, [outFeatures, inFeatures]. */
  readonly weight: Float64Array<ArrayBuffer>;
  /** Zeros for a linear without. */
  readonly bias: Float32Array<ArrayBuffer> | undefined;
}

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

/** Bytes in words of four, the first lowest. */
export function packBytes(bytes: Uint8Array): Uint32Array<ArrayBuffer> {
  const padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  padded.set(bytes);
  return new Uint32Array(padded.buffer);
}

export interface TestFloats {
  readonly dtype: FloatDtype;
  readonly of: readonly number[];
}

export const floatsTitle = (floats: TestFloats | undefined): string =>
  floats ? `${floats.of.join(' and ')} in ${floats.dtype}` : '';

export interface TestGroupOptions {
  readonly inFeatures: number;
  /** Of each linear. */
  readonly outFeatures: readonly number[];
  readonly doubleQuant: boolean;
  /** Those linears, by their index, are in this dtype. */
  readonly floats?: TestFloats;
  /** Biases on all linears, or on all but the last of several. */
  readonly bias?: boolean;
}

/** Random weights whose blocks differ in size, quantized, with gaps between the ranges of their slab. */
export function randomGroup(random: Random, options: TestGroupOptions): TestGroup {
  const { inFeatures, outFeatures, doubleQuant, floats } = options;
  const words: number[] = [...bitsOf(NF4_CODEBOOK), ...bitsOf(DYNAMIC_MAP)];
  // Codes and elements lie at whole vectors, as in a layer's slab; the rest anywhere.
  const append = (range: Uint32Array, alignment = 1) => {
    for (let gap = random.integer(0, 4); gap > 0 || words.length % alignment > 0; gap--) words.push(random.word());
    const at = words.length;
    for (const word of range) words.push(word);
    return at;
  };
  const weights: number[] = [];
  const biases: number[] = [];
  const quantized = (count: number) => {
    const { codes, absmax } = quantizeReference(random.normal(count).map((x, i) => x * (1 + ((i >> 6) % 5))));
    const nested = doubleQuant ? doubleQuantizeReference(absmax) : null;
    const values = dequantizeReference({ codes, absmax: nested ? doubleDequantizeReference(nested) : absmax });
    const codesAt = append(packCodes(codes), 4);
    const absmaxAt = append(nested ? packBytes(nested.quantized) : bitsOf(absmax));
    const nestedAt = nested ? append(bitsOf(Float32Array.of(nested.offset, ...nested.nestedAbsmax))) : 0;
    return { codesAt, absmaxAt, nestedAt, values };
  };
  const elements = (dtype: FloatDtype, count: number) => {
    const { words: own, values } = randomTable(random, dtype, count, { scale: 2 });
    return { codesAt: append(own, 4), absmaxAt: null, nestedAt: 0, values };
  };
  const linears = outFeatures.map((width, l): QuantizedLinear => {
    const { values, ...places } = floats?.of.includes(l)
      ? elements(floats.dtype, inFeatures * width)
      : quantized(inFeatures * width);
    for (const value of values) weights.push(value);
    const has = options.bias && (l === 0 || l < outFeatures.length - 1);
    const bias = has ? random.normal(width, 10) : new Float32Array(width);
    for (const value of bias) biases.push(value);
    return { ...places, biasAt: has ? append(bitsOf(bias)) : null, inFeatures, outFeatures: width };
  });
  return {
    slab: Uint32Array.from(words),
    group: {
      ...{ doubleQuant, floats: floats?.dtype ?? null, linears, inFeatures },
      outFeatures: outFeatures.reduce((a, b) => a + b, 0),
    },
    weight: Float64Array.from(weights),
    bias: options.bias ? Float32Array.from(biases) : undefined,
  };
}
