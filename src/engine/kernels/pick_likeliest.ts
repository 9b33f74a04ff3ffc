import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, inout, input } from './kernel.ts';

/**
 * The likeliest token of each row of logits [T, vocab], noted in picked [slots, limit] as (id, the logit's bits), and made the
 * next step's input. Exact; a row of NaN gives the id `vocab`.
 */
const pickLikeliestKernel = defineKernel({
  name: 'pick_likeliest',
  shader: 'pick_likeliest.wgsl',
  bindings: {
    logits: input('f32'),
    slots: input('u32'),
    ids: inout('u32'),
    positions: inout('u32'),
    counts: inout('u32'),
    picked: inout('vec2<u32>'),
  },
  params: { vocab: 'u32', limit: 'u32' },
  constants: {},
});

export interface PickLikeliestOptions {
  readonly logits: Tensor;
  readonly vocab: number;
  /** Which sequence each row belongs to. */
  readonly slots: Tensor;
  readonly ids: Tensor;
  readonly positions: Tensor;
  /** How many each slot has picked so far. */
  readonly counts: Tensor;
  readonly picked: Tensor;
  /** The most that a slot picks. */
  readonly limit: number;
}

export function pickLikeliest(plan: PlanBuilder, options: PickLikeliestOptions): void {
  const { logits, vocab, slots, ids, positions, counts, picked, limit } = options;
  plan.dispatch(pickLikeliestKernel, {
    bindings: { logits, slots, ids, positions, counts, picked },
    params: { vocab, limit },
    workgroups: (tokens) => [tokens, 1, 1],
    flopsPerToken: vocab,
  });
}
