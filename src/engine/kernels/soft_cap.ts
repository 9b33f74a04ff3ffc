import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, inout } from './kernel.ts';

/** x [rows, width] = cap · tanh(x / cap) in place, for a chunk of a micro-batch's logits. Relative error ≤ 1e-5. */
export function softCapKernel(vectors: boolean) {
  return defineKernel({
    name: 'soft_cap',
    shader: 'soft_cap.wgsl',
    bindings: { x: inout(vectors ? 'vec4<f32>' : 'f32') },
    params: { width: 'u32', first_token: 'u32', rows: 'u32', cap: 'f32' },
    constants: { VECTORS: vectors },
  });
}

export interface SoftCapOptions {
  readonly x: Tensor;
  readonly width: number;
  /** The chunk of the micro-batch that `x` holds. */
  readonly rows: { readonly first: number; readonly count: number };
  readonly cap: number;
}

export function softCap(plan: PlanBuilder, { x, width, rows, cap }: SoftCapOptions): void {
  const wide = width % 4 === 0 ? 4 : 1;
  plan.dispatch(softCapKernel(wide === 4), {
    bindings: { x },
    params: { width: width / wide, first_token: rows.first, rows: rows.count, cap },
    workgroups: (tokens) => {
      const count = Math.min(rows.count, tokens - rows.first);
      return count > 0 ? grid(Math.ceil((count * (width / wide)) / 64)) : null;
    },
    flopsPerToken: (10 * width * rows.count) / plan.capacity,
  });
}
