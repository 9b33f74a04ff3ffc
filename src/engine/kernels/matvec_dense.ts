import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';
import { DTYPE_CODE } from './float_dtype.ts';
import { defineKernel, input, output } from './kernel.ts';
import { chooseMatvecShape, type MatvecShape, MOST_ROWS, matvecConstants, TEAMS } from './matvec.ts';

/** Weights a read of 16 bytes. */
const runOf = (dtype: FloatDtype) => (dtype === 'F32' ? 4 : 8);

/**
 * y [T, width] = x [T, depth] · Wᵀ, W [width, depth] in f32, f16 or bf16, sums in f32, for at most `rows` tokens. Relative
 * error ≤ 2e-5 against float64.
 */
function matvecDenseKernel(rows: number, dtype: FloatDtype, shape: MatvecShape) {
  return defineKernel({
    name: 'matvec_dense',
    shader: 'matvec_dense.wgsl',
    bindings: { x: input('vec4<f32>'), weight: input('vec4<u32>'), y: output('f32') },
    params: { depth: 'u32', width: 'u32', weight_at: 'u32', y_stride: 'u32', y_at: 'u32' },
    constants: {
      ...matvecConstants(rows, shape, runOf(dtype) / 4),
      DTYPE: DTYPE_CODE[dtype],
      WIDE_DTYPE: dtype === 'F32',
    },
  });
}

export interface MatvecDenseOptions {
  /** [T, depth]. */
  readonly x: Tensor | TensorView;
  readonly y: { readonly tensor: Tensor; readonly stride: number; readonly at: number };
  readonly weight: Tensor | TensorView;
  /** Where W begins, in elements; whole runs. */
  readonly weightAt?: number;
  readonly dtype: FloatDtype;
  readonly depth: number;
  readonly width: number;
  /** Overrides the choice. */
  readonly shape?: MatvecShape;
}

/** Whether {@link matvecDense} can do it: few rows, and a depth and a beginning of whole runs. */
export const fitsMatvecDense = (rows: number, dtype: FloatDtype, depth: number, weightAt = 0): boolean =>
  rows <= MOST_ROWS && depth % runOf(dtype) === 0 && weightAt % runOf(dtype) === 0;

export function matvecDense(plan: PlanBuilder, options: MatvecDenseOptions): void {
  const { x, y, weight, weightAt = 0, dtype, depth, width } = options;
  const shape = options.shape ?? chooseMatvecShape(plan.capacity, width, depth / runOf(dtype));
  plan.dispatch(matvecDenseKernel(plan.capacity, dtype, shape), {
    bindings: { x, weight, y: y.tensor },
    params: { depth, width, weight_at: weightAt, y_stride: y.stride, y_at: y.at },
    workgroups: () => [Math.ceil(width / (TEAMS * shape.perTeam)), 1, 1],
    flopsPerToken: 2 * depth * width,
  });
}
