import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import { type TableDtype, type TableFormat, tableConstants } from './float_dtype.ts';
import { defineKernel, grid, input, output } from './kernel.ts';

/** y [T, width] = scale · table[ids], for the ids whose rows this shard of the table holds. Exact but for the scale. */
export function embeddingKernel(dtype: TableDtype) {
  return defineKernel({
    name: 'embedding',
    shader: 'embedding.wgsl',
    bindings: { ids: input('u32'), table: input('u32'), y: output('f32') },
    params: { width: 'u32', first_row: 'u32', rows: 'u32', scales_at: 'u32', scale: 'f32' },
    constants: tableConstants(dtype),
  });
}

export interface EmbeddingOptions extends TableFormat {
  readonly ids: Tensor;
  readonly table: Tensor | TensorView;
  readonly y: Tensor;
  readonly width: number;
  /** Rows of the whole table that this shard holds. */
  readonly rows: { readonly first: number; readonly count: number };
  readonly scale?: number;
}

export function embedding(plan: PlanBuilder, options: EmbeddingOptions): void {
  const { ids, table, dtype, scalesAt = 0, y, width, rows, scale = 1 } = options;
  plan.dispatch(embeddingKernel(dtype), {
    bindings: { ids, table, y },
    params: { width, first_row: rows.first, rows: rows.count, scales_at: scalesAt, scale },
    workgroups: (tokens) => grid(tokens),
    flopsPerToken: width,
  });
}
