import type { Capabilities } from '../device/capabilities.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor, type TensorView } from '../plan/tensor.ts';
import { type TableDtype, type TableFormat, tableConstants } from './float_dtype.ts';
import { defineKernel, type ElementType, inout, input, numbers, output } from './kernel.ts';
import { type Columns, matmulReduce } from './matmul_reduce.ts';
import {
  leftOperand,
  type MatmulShape,
  splitDepth,
  type Tile,
  tileConstants,
  tileRequirements,
} from './matmul_tile.ts';

/** Weights that a matrix tile reads at a time. */
const RUN = 8;

export interface MatmulDenseVariant {
  readonly tile: Tile;
  readonly dtype: TableDtype;
  readonly transposed: boolean;
  readonly accumulate: boolean;
  readonly aligned: boolean;
  readonly splitK: boolean;
  /** x is in 16 bits. */
  readonly xHalves: boolean;
}

/**
 * y [T, width] = x [T, depth] · Wᵀ, W [width, depth], or transposed y = x·W, W [depth, width]; W in f32, f16, bf16 or
 * 8 bits (int8_quantize.ts), sums in f32. Relative error ≤ 2e-5 against float64.
 */
export function matmulDenseKernel(v: MatmulDenseVariant, capabilities: Capabilities) {
  const floats = numbers(v.aligned);
  const left = leftOperand(v.tile, v.aligned, v.xHalves);
  // Four weights.
  const vectors: ElementType = v.dtype === 'I8' ? 'u32' : v.dtype === 'F32' ? 'vec4<u32>' : 'vec2<u32>';
  return defineKernel({
    name: v.transposed ? 'matmul_dense_dx' : 'matmul_dense',
    shader: 'matmul_dense.wgsl',
    requires: tileRequirements(v.tile),
    bindings: {
      x: input(left.type),
      weight: input(v.aligned ? vectors : 'u32'),
      y: v.accumulate ? inout(floats) : output(floats),
    },
    params: {
      depth: 'u32',
      width: 'u32',
      x_stride: 'u32',
      x_at: 'u32',
      y_stride: 'u32',
      y_at: 'u32',
      first_token: 'u32',
      row_count: 'u32',
      split_depth: 'u32',
      plane: 'u32',
      scales_at: 'u32',
    },
    constants: {
      ...tileConstants(v.tile, capabilities, RUN),
      ...tableConstants(v.dtype),
      WIDE_DTYPE: v.dtype === 'F32',
      TRANSPOSED: v.transposed,
      B_ALONG_K: !v.transposed,
      ALIGNED: v.aligned,
      ...left.constants,
      ACCUMULATE: v.accumulate,
      SPLIT_K: v.splitK,
      LOW_RANK: false,
    },
  });
}

export interface MatmulDenseOptions extends TableFormat {
  readonly x: Columns;
  readonly y: Columns;
  readonly weight: Tensor | TensorView;
  readonly depth: number;
  readonly width: number;
  readonly transposed?: boolean;
  readonly accumulate?: boolean;
  /** Rows of the micro-batch this dispatch handles; all by default. */
  readonly rows?: { readonly first: number; readonly count: number };
  /** Overrides the choice of tile and split. */
  readonly shape?: MatmulShape;
}

export function matmulDense(plan: PlanBuilder, options: MatmulDenseOptions): void {
  const { x, y, weight, dtype, scalesAt = 0, depth, width, transposed = false, accumulate = false } = options;
  const rows = options.rows ?? { first: 0, count: plan.capacity };
  const op = transposed ? 'matmul_dense_dx' : 'matmul_dense';
  const aligned = [x.stride, x.at, y.stride, y.at, depth, width].every((size) => size % 4 === 0);
  const wholeRuns = [depth, width, ...(inHalves(x.tensor) ? [x.stride, x.at] : [])].every((size) => size % RUN === 0);
  const precision = aligned && wholeRuns ? plan.precision : 'f32';
  const shape = options.shape ?? plan.matmulShape({ op, rows: rows.count, widths: [width], depth, precision });
  const { tile, splits } = shape;
  const split = splits > 1;
  const kernel = matmulDenseKernel(
    {
      tile,
      dtype,
      transposed,
      accumulate: accumulate && !split,
      aligned,
      splitK: split,
      xHalves: inHalves(x.tensor),
    },
    plan.capabilities,
  );
  const partials = split ? plan.tensor('partial sums', splits * rows.count * width * 4) : null;
  const part = splitDepth(depth, shape);
  const parts = split ? Math.ceil(depth / part) : 1;
  plan.dispatch(kernel, {
    bindings: { x: x.tensor, weight, y: partials ?? y.tensor },
    params: {
      depth,
      width,
      x_stride: x.stride,
      x_at: x.at,
      y_stride: split ? width : y.stride,
      y_at: split ? 0 : y.at,
      first_token: rows.first,
      row_count: rows.count,
      split_depth: part,
      plane: rows.count * width,
      scales_at: scalesAt,
    },
    workgroups: (tokens) => {
      const count = Math.min(rows.count, tokens - rows.first);
      return count > 0 ? [Math.ceil(width / tile.TILE_N), Math.ceil(count / tile.TILE_M), parts] : null;
    },
    flopsPerToken: (2 * depth * width * rows.count) / plan.capacity,
  });
  if (partials) matmulReduce(plan, { partials, splits: parts, y, width, rows, accumulate, aligned });
}
