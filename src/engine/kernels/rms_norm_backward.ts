import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, inout, input, output } from './kernel.ts';
import { NORM_GROUP, type NormWeight } from './rms_norm.ts';

/** dx [T, width] (+)= the gradient of rms_norm's input, for a frozen weight. Relative error ≤ 1e-5. */
export function rmsNormBackwardKernel(accumulate: boolean) {
  return defineKernel({
    name: 'rms_norm_backward',
    shader: 'rms_norm_backward.wgsl',
    bindings: {
      x: input('f32'),
      weight: input('f32'),
      dy: input('f32'),
      dx: accumulate ? inout('f32') : output('f32'),
    },
    params: { width: 'u32', weight_at: 'u32', epsilon: 'f32' },
    constants: { GROUP: NORM_GROUP, ACCUMULATE: accumulate },
  });
}

export interface RmsNormBackwardOptions {
  readonly x: Tensor;
  readonly weight: NormWeight;
  readonly dy: Tensor;
  readonly dx: Tensor;
  readonly accumulate: boolean;
}

export function rmsNormBackward(plan: PlanBuilder, { x, weight, dy, dx, accumulate }: RmsNormBackwardOptions): void {
  plan.dispatch(rmsNormBackwardKernel(accumulate), {
    bindings: { x, weight: weight.tensor, dy, dx },
    params: { width: weight.width, weight_at: weight.at, epsilon: weight.epsilon },
    workgroups: (tokens) => grid(tokens),
    flopsPerToken: 8 * weight.width,
  });
}
