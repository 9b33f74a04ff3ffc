import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';
import { DTYPE_CODE } from './float_dtype.ts';
import { defineKernel, grid, input, output } from './kernel.ts';

/** Elements, of the flattened table, that share a scale (docs/decisions/0011). */
export const INT8_BLOCK = 64;

/** Words of codes and of scales. */
export const int8Words = (elements: number) => ({
  codes: Math.ceil(elements / 4),
  scales: Math.ceil(elements / INT8_BLOCK),
});

/**
 * `elements` values of `source` (words in their dtype, the first element at the start) to signed bytes: code =
 * round(x · f32(127 · f32(1/absmax))), half to even; scale = f32(absmax · f32(1/127)), absmax over {@link INT8_BLOCK}
 * elements, each operation rounded to f32. Exact for absmax of 0 or from 2^-100 to 2^126; smaller is taken for 0.
 */
export function int8QuantizeKernel(dtype: FloatDtype) {
  return defineKernel({
    name: 'int8_quantize',
    shader: 'int8_quantize.wgsl',
    bindings: { source: input('u32'), table: output('u32') },
    params: { elements: 'u32', first_word: 'u32', first_scale: 'u32' },
    constants: { DTYPE: DTYPE_CODE[dtype] },
  });
}

export interface Int8QuantizeOptions {
  readonly source: Tensor;
  readonly dtype: FloatDtype;
  readonly table: Tensor | TensorView;
  readonly elements: number;
  /** Where codes and scales of the first element go; the first element begins a block. */
  readonly firstWord: number;
  readonly firstScale: number;
}

export function int8Quantize(plan: PlanBuilder, options: Int8QuantizeOptions): void {
  const { source, dtype, table, elements, firstWord, firstScale } = options;
  plan.dispatch(int8QuantizeKernel(dtype), {
    bindings: { source, table },
    params: { elements, first_word: firstWord, first_scale: firstScale },
    workgroups: () => grid(Math.ceil(elements / 4 / 256)),
  });
}
