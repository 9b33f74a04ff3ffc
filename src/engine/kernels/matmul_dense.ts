import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';
import { DTYPE_CODE } from './float_dtype.ts';
import { defineKernel, inout, input, output } from './kernel.ts';
import type { Columns } from './matmul_nf4.ts';
import { chooseTile, type Tile } from './matmul_tile.ts';

export interface MatmulDenseVariant {
  readonly tile: Tile;
  readonly dtype: FloatDtype;
  readonly transposed: boolean;
  readonly accumulate: boolean;
}

/**
 * y [T, width] = scale · x [T, depth] · Wᵀ, W [width, depth], or transposed y = scale · x·W, W [depth, width]; W in
 * f32, f16 or bf16, sums in f32. Relative error ≤ 2e-5 against float64.
 */
export function matmulDenseKernel(v: MatmulDenseVariant) {
  return defineKernel({
    name: v.transposed ? 'matmul_dense_dx' : 'matmul_dense',
    shader: 'matmul_dense.wgsl',
    bindings: { x: input('f32'), weight: input('u32'), y: v.accumulate ? inout('f32') : output('f32') },
    params: {
      depth: 'u32',
      width: 'u32',
      x_stride: 'u32',
      x_at: 'u32',
      y_stride: 'u32',
      y_at: 'u32',
      first_token: 'u32',
      row_count: 'u32',
      scale: 'f32',
    },
    constants: {
      ...v.tile,
      DTYPE: DTYPE_CODE[v.dtype],
      TRANSPOSED: v.transposed,
      A_ALONG_K: true,
      B_ALONG_K: !v.transposed,
      ACCUMULATE: v.accumulate,
    },
  });
}

export interface MatmulDenseOptions {
  readonly x: Columns;
  readonly y: Columns;
  readonly weight: Tensor | TensorView;
  readonly dtype: FloatDtype;
  readonly depth: number;
  readonly width: number;
  readonly transposed?: boolean;
  readonly accumulate?: boolean;
  readonly scale?: number;
  /** Rows of the micro-batch this dispatch handles; all by default. */
  readonly rows?: { readonly first: number; readonly count: number };
  readonly tile?: Tile;
}

export function matmulDense(plan: PlanBuilder, options: MatmulDenseOptions): void {
  const { x, y, weight, dtype, depth, width } = options;
  const rows = options.rows ?? { first: 0, count: plan.capacity };
  const tile = options.tile ?? chooseTile(rows.count, width, plan.capabilities);
  const kernel = matmulDenseKernel({
    tile,
    dtype,
    transposed: options.transposed ?? false,
    accumulate: options.accumulate ?? false,
  });
  plan.dispatch(kernel, {
    bindings: { x: x.tensor, weight, y: y.tensor },
    params: {
      depth,
      width,
      x_stride: x.stride,
      x_at: x.at,
      y_stride: y.stride,
      y_at: y.at,
      first_token: rows.first,
      row_count: rows.count,
      scale: options.scale ?? 1,
    },
    workgroups: (tokens) => {
      const count = Math.min(rows.count, tokens - rows.first);
      return count > 0 ? [Math.ceil(width / tile.TILE_N), Math.ceil(count / tile.TILE_M), 1] : null;
    },
    flopsPerToken: (2 * depth * width * rows.count) / plan.capacity,
  });
}
