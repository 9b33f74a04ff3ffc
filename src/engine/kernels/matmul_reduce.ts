import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor, type TensorView } from '../plan/tensor.ts';
import { type Binding, defineKernel, grid, inout, input, numbers, output } from './kernel.ts';

/** A matrix inside a row-major tensor: `at` columns in, `stride` elements from row to row. */
export interface Columns {
  readonly tensor: Tensor | TensorView;
  readonly stride: number;
  readonly at: number;
}

/** Biases of products that lie side by side: from which column on, and where in the slab (null: none). */
export interface SegmentBias {
  readonly begin: number;
  readonly biasAt: number | null;
}

export interface MatmulReduceOptions {
  /** [splits, rows · width]. */
  readonly partials: Tensor;
  readonly splits: number;
  readonly y: Columns;
  readonly width: number;
  /** Rows of the micro-batch. */
  readonly rows: { readonly first: number; readonly count: number };
  readonly bias?: { readonly slab: Tensor; readonly segments: readonly SegmentBias[] };
  readonly residual?: Tensor;
  readonly accumulate?: boolean;
  /** Whether all sizes are whole groups of four. */
  readonly aligned: boolean;
}

/** y = Σ partial sums of a matmul with split depth (+ bias) (+ residual) (+ y), f32, y perhaps in 16 bits. Relative error ≤ 1e-6. */
export function matmulReduce(plan: PlanBuilder, options: MatmulReduceOptions): void {
  const { partials, splits, y, width, rows, bias, residual, accumulate = false, aligned } = options;
  const type = numbers(aligned);
  const wide = aligned ? 4 : 1;
  const segments = bias?.segments ?? [];
  const bindings: Record<string, Binding> = {
    partials: input(type),
    y: accumulate ? inout(type) : output(numbers(aligned, inHalves(y.tensor))),
    ...(residual ? { residual: input(type) } : {}),
    ...(bias ? { slab: input('u32') } : {}),
  };
  const bound: Record<string, Tensor | TensorView> = { partials, y: y.tensor };
  if (residual) bound.residual = residual;
  if (bias) bound.slab = bias.slab;
  const segmentParams = segments.flatMap(({ begin, biasAt }, s) => [
    [`begin_${s}`, begin],
    [`bias_at_${s}`, biasAt ?? 0],
  ]);
  const params = {
    splits,
    plane: rows.count * width,
    width,
    y_stride: y.stride,
    y_at: y.at,
    first_token: rows.first,
    row_count: rows.count,
    ...Object.fromEntries(segmentParams),
  } as Record<string, number>;
  const kernel = defineKernel({
    name: 'matmul_reduce',
    shader: 'matmul_reduce.wgsl',
    bindings,
    params: Object.fromEntries(Object.keys(params).map((name) => [name, 'u32' as const])),
    constants: {
      WIDE: wide,
      ALIGNED: aligned,
      SEGMENTS: segments.length,
      BIAS: bias !== undefined,
      RESIDUAL: residual !== undefined,
      ACCUMULATE: accumulate,
    },
  });
  plan.dispatch(kernel, {
    bindings: bound,
    params,
    workgroups: (tokens) => {
      const count = Math.min(rows.count, tokens - rows.first);
      return count > 0 ? grid(Math.ceil((count * width) / wide / 64)) : null;
    },
    flopsPerToken: splits * width,
  });
}
