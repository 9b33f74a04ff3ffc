import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, input, output } from './kernel.ts';

/** Invocations a token. */
export const NORM_GROUP = 64;

/** y [T, width] = x / √(mean(x²) + ε) · weight, f32 (Zhang & Sennrich 2019). Relative error ≤ 1e-5. */
export const rmsNormKernel = defineKernel({
  name: 'rms_norm',
  shader: 'rms_norm.wgsl',
  bindings: { x: input('f32'), weight: input('f32'), y: output('f32') },
  params: { width: 'u32', weight_at: 'u32', epsilon: 'f32' },
  constants: { GROUP: NORM_GROUP },
});

/** A norm's f32 weight inside a buffer of words. */
export interface NormWeight {
  readonly tensor: Tensor;
  readonly at: number;
  readonly width: number;
  readonly epsilon: number;
}

export function rmsNorm(plan: PlanBuilder, { x, weight, y }: { x: Tensor; weight: NormWeight; y: Tensor }): void {
  plan.dispatch(rmsNormKernel, {
    bindings: { x, weight: weight.tensor, y },
    params: { width: weight.width, weight_at: weight.at, epsilon: weight.epsilon },
    workgroups: (tokens) => grid(tokens),
    flopsPerToken: 4 * weight.width,
  });
}
