import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, inout, input, output } from './kernel.ts';

export const LOSS_GROUP = 256;

/**
 * loss [T, 2] = (negative log likelihood, 1 if the target is the likeliest), and with GRADIENT logits [rows, vocab]
 * becomes (softmax − onehot) / N in place; N from the step. Targets below 0 are not trained. Logits that were soft-capped
 * with `cap` get the gradient of what they were before. Relative error ≤ 1e-5.
 */
export function crossEntropyKernel(gradient: boolean, vectors: boolean, capped: boolean) {
  return defineKernel({
    name: 'cross_entropy',
    shader: 'cross_entropy.wgsl',
    bindings: { logits: inout(vectors ? 'vec4<f32>' : 'f32'), targets: input('i32'), loss: output('f32') },
    params: { vocab: 'u32', first_token: 'u32', rows: 'u32', cap: 'f32' },
    constants: { GROUP: LOSS_GROUP, GRADIENT: gradient, VECTORS: vectors, CAPPED: capped },
  });
}

export interface CrossEntropyOptions {
  readonly logits: Tensor;
  readonly targets: Tensor;
  readonly loss: Tensor;
  readonly vocab: number;
  /** The chunk of the micro-batch that `logits` holds. */
  readonly rows: { readonly first: number; readonly count: number };
  readonly gradient: boolean;
  /** What the logits were soft-capped with; null by default. */
  readonly cap?: number | null;
}

export function crossEntropy(plan: PlanBuilder, options: CrossEntropyOptions): void {
  const { logits, targets, loss, vocab, rows, gradient, cap = null } = options;
  plan.dispatch(crossEntropyKernel(gradient, vocab % 4 === 0, cap !== null), {
    bindings: { logits, targets, loss },
    params: { vocab, first_token: rows.first, rows: rows.count, cap: cap ?? 1 },
    workgroups: (tokens) => {
      const count = Math.min(rows.count, tokens - rows.first);
      return count > 0 ? grid(count) : null;
    },
    flopsPerToken: (12 * vocab * rows.count) / plan.capacity,
  });
}

/** f32 values a step in the log ring: Σ negative log likelihood, hits, gradient norm, and one spare. */
export const LOG_FIELDS = 4;

/** Adds Σ loss to the step's line of the log ring. */
export const lossSumKernel = defineKernel({
  name: 'loss_sum',
  shader: 'loss_sum.wgsl',
  bindings: { loss: input('f32'), log_ring: inout('f32') },
  params: {},
  constants: { GROUP: LOSS_GROUP, LOG_FIELDS },
});

export function lossSum(plan: PlanBuilder, { loss, logRing }: { loss: Tensor; logRing: Tensor }): void {
  plan.dispatch(lossSumKernel, {
    bindings: { loss, log_ring: logRing },
    params: {},
    workgroups: () => [1, 1, 1],
    flopsPerToken: 2,
  });
}
