import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { type Binding, defineKernel, grid, inout, input, output } from './kernel.ts';
import { NORM_GROUP, type NormWeight } from './rms_norm.ts';

/**
 * dx [T, width] (+)= the gradient of rms_norm's input, for a frozen weight; beside it the forward result again, if wanted.
 * Relative error ≤ 1e-5.
 */
export function rmsNormBackwardKernel(accumulate: boolean, normed: boolean) {
  return defineKernel({
    name: 'rms_norm_backward',
    shader: 'rms_norm_backward.wgsl',
    bindings: {
      x: input('f32'),
      weight: input('f32'),
      dy: input('f32'),
      dx: accumulate ? inout('f32') : output('f32'),
      ...(normed ? { normed: output('f32') } : {}),
    } as Record<string, Binding>,
    params: { width: 'u32', weight_at: 'u32', epsilon: 'f32' },
    constants: { GROUP: NORM_GROUP, ACCUMULATE: accumulate, NORMED: normed },
  });
}

export interface RmsNormBackwardOptions {
  readonly x: Tensor;
  readonly weight: NormWeight;
  readonly dy: Tensor;
  readonly dx: Tensor;
  readonly accumulate: boolean;
  /** Gets rms_norm's result again. */
  readonly normed?: Tensor;
}

export function rmsNormBackward(plan: PlanBuilder, options: RmsNormBackwardOptions): void {
  const { x, weight, dy, dx, accumulate, normed } = options;
  plan.dispatch(rmsNormBackwardKernel(accumulate, normed !== undefined), {
    bindings: { x, weight: weight.tensor, dy, dx, ...(normed ? { normed } : {}) },
    params: { width: weight.width, weight_at: weight.at, epsilon: weight.epsilon },
    workgroups: (tokens) => grid(tokens),
    flopsPerToken: 8 * weight.width,
  });
}
