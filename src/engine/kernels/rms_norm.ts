import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor } from '../plan/tensor.ts';
import { type Binding, defineKernel, grid, inNumbers, input, numbers, output } from './kernel.ts';

/** Invocations a token. */
export const NORM_GROUP = 64;

/**
 * y [T, width] (= residual +) x / √(mean(x²) + ε) · weight, f32 (Zhang & Sennrich 2019). Relative error ≤ 1e-5.
 *
 * @param halves y is in 16 bits
 */
export function rmsNormKernel(residual: boolean, vectors: boolean, halves = false) {
  const type = numbers(vectors);
  return defineKernel({
    name: 'rms_norm',
    shader: 'rms_norm.wgsl',
    bindings: {
      x: input(type),
      weight: input(type),
      y: output(numbers(vectors, halves)),
      ...(residual ? { residual: input(type) } : {}),
    } as Record<string, Binding>,
    params: { width: 'u32', weight_at: 'u32', epsilon: 'f32' },
    constants: { GROUP: NORM_GROUP, RESIDUAL: residual, VECTORS: vectors },
  });
}

/** A norm's f32 weight inside a buffer of words. */
export interface NormWeight {
  readonly tensor: Tensor;
  readonly at: number;
  readonly width: number;
  readonly epsilon: number;
}

export interface RmsNormOptions {
  readonly x: Tensor;
  readonly weight: NormWeight;
  readonly y: Tensor;
  /** Added to the result. */
  readonly residual?: Tensor;
}

export function rmsNorm(plan: PlanBuilder, { x, weight, y, residual }: RmsNormOptions): void {
  const { count, vectors } = inNumbers(weight.width, weight.at);
  plan.dispatch(rmsNormKernel(residual !== undefined, vectors, inHalves(y)), {
    bindings: { x, weight: weight.tensor, y, ...(residual ? { residual } : {}) },
    params: { width: count, weight_at: vectors ? weight.at / 4 : weight.at, epsilon: weight.epsilon },
    workgroups: (tokens) => grid(tokens),
    flopsPerToken: 4 * weight.width,
  });
}
