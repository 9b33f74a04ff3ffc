import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor } from '../plan/tensor.ts';
import { type Binding, defineKernel, grid, inNumbers, inout, input, numbers, output } from './kernel.ts';
import { NORM_GROUP, type NormWeight } from './rms_norm.ts';

/**
 * dx [T, width] (+)= the gradient of rms_norm's input, for a frozen weight; beside it the forward result again, if wanted.
 * Relative error ≤ 1e-5.
 *
 * @param halves the forward result is in 16 bits
 */
export function rmsNormBackwardKernel(accumulate: boolean, normed: boolean, vectors: boolean, halves = false) {
  const type = numbers(vectors);
  return defineKernel({
    name: 'rms_norm_backward',
    shader: 'rms_norm_backward.wgsl',
    bindings: {
      x: input(type),
      weight: input(type),
      dy: input(type),
      dx: accumulate ? inout(type) : output(type),
      ...(normed ? { normed: output(numbers(vectors, halves)) } : {}),
    } as Record<string, Binding>,
    params: { width: 'u32', weight_at: 'u32', epsilon: 'f32' },
    constants: { GROUP: NORM_GROUP, ACCUMULATE: accumulate, NORMED: normed, VECTORS: vectors },
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
  const { count, vectors } = inNumbers(weight.width, weight.at);
  const halves = normed !== undefined && inHalves(normed);
  plan.dispatch(rmsNormBackwardKernel(accumulate, normed !== undefined, vectors, halves), {
    bindings: { x, weight: weight.tensor, dy, dx, ...(normed ? { normed } : {}) },
    params: { width: count, weight_at: vectors ? weight.at / 4 : weight.at, epsilon: weight.epsilon },
    workgroups: (tokens) => grid(tokens),
    flopsPerToken: 8 * weight.width,
  });
}
