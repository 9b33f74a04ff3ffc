import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';
import { DTYPE_CODE } from './float_dtype.ts';
import { defineKernel, grid, inout, input, output } from './kernel.ts';

/** Elements a block of absmax; blocks a second-level block of double quantization. */
export const BLOCK = 64;
export const NESTED_BLOCK = 256;

/**
 * `elements` values of `source` (words in their dtype, the first element at the start) to NF4 or FP4: codes, eight a word from
 * `first_word`, and f32 absmax from `first_block`. Codes equal bitsandbytes' (REFERENCE.md §1) bit for bit: the reciprocal of absmax
 * is correctly rounded by integers. A NaN or Inf lowers flags[0] to `tensor`.
 */
export function nf4QuantizeKernel(dtype: FloatDtype) {
  return defineKernel({
    name: 'nf4_quantize',
    shader: 'nf4_quantize.wgsl',
    bindings: {
      source: input('u32'),
      thresholds: input('f32'),
      codes: output('u32'),
      absmax: output('f32'),
      flags: inout('atomic<u32>'),
    },
    params: { elements: 'u32', tensor: 'u32', first_word: 'u32', first_block: 'u32' },
    constants: { DTYPE: DTYPE_CODE[dtype] },
  });
}

export interface Nf4QuantizeOptions {
  readonly source: Tensor;
  readonly dtype: FloatDtype;
  /** Of `quantizationTable`. */
  readonly thresholds: Tensor;
  readonly codes: Tensor | TensorView;
  readonly absmax: Tensor | TensorView;
  readonly flags: Tensor;
  readonly elements: number;
  readonly tensor: number;
  readonly firstWord: number;
  readonly firstBlock: number;
}

export function nf4Quantize(plan: PlanBuilder, options: Nf4QuantizeOptions): void {
  const { source, dtype, thresholds, codes, absmax, flags, elements, tensor, firstWord, firstBlock } = options;
  plan.dispatch(nf4QuantizeKernel(dtype), {
    bindings: { source, thresholds, codes, absmax, flags },
    params: { elements, tensor, first_word: firstWord, first_block: firstBlock },
    workgroups: () => grid(Math.ceil(elements / 8 / 256)),
  });
}

/** offset[0] = mean of `blocks` absmax values, correctly rounded but for values 2^-32 of the largest. */
export const absmaxMeanKernel = defineKernel({
  name: 'absmax_mean',
  shader: 'absmax_mean.wgsl',
  bindings: { absmax: input('f32'), offset: output('f32') },
  params: { blocks: 'u32' },
  constants: {},
});

/**
 * Double quantization: (absmax − nested[0]) to one byte each, four a word, with the second-level absmax in nested[1 …].
 * Bit for bit REFERENCE.md §1 for the offset it is given.
 */
export const absmaxQuantizeKernel = defineKernel({
  name: 'absmax_quantize',
  shader: 'absmax_quantize.wgsl',
  bindings: {
    absmax: input('f32'),
    thresholds: input('f32'),
    quantized: output('u32'),
    nested: inout('f32'),
  },
  params: { blocks: 'u32' },
  constants: {},
});

export interface DoubleQuantizeOptions {
  readonly absmax: Tensor | TensorView;
  /** 255 midpoints of the dynamic map. */
  readonly thresholds: Tensor;
  readonly quantized: Tensor | TensorView;
  readonly nested: Tensor | TensorView;
  readonly blocks: number;
}

/** Two dispatches: the offset, then the bytes. */
export function doubleQuantize(plan: PlanBuilder, options: DoubleQuantizeOptions): void {
  const { absmax, thresholds, quantized, nested, blocks } = options;
  plan.dispatch(absmaxMeanKernel, {
    bindings: { absmax, offset: nested },
    params: { blocks },
    workgroups: () => [1, 1, 1],
  });
  plan.dispatch(absmaxQuantizeKernel, {
    bindings: { absmax, thresholds, quantized, nested },
    params: { blocks },
    workgroups: () => grid(Math.ceil(blocks / NESTED_BLOCK)),
  });
}
