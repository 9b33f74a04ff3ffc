import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, input, output, type ParamType } from './kernel.ts';

/** Queries, or keys, a workgroup (shaders/common/attention.wgsl). */
const TILE = 32;

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Multiplies q·k. */
  readonly scale: number;
  /** A query sees keys with index > q − window; null for all of its document. */
  readonly window: number | null;
}

const PARAMS = {
  group: 'u32',
  heads: 'u32',
  stride: 'u32',
  o_stride: 'u32',
  k_at: 'u32',
  v_at: 'u32',
  capacity: 'u32',
  window: 'u32',
  scale: 'f32',
} as const satisfies Record<string, ParamType>;

const params = (shape: AttentionShape, capacity: number) => ({
  group: shape.heads / shape.kvHeads,
  heads: shape.heads,
  stride: (shape.heads + 2 * shape.kvHeads) * shape.headDim,
  o_stride: shape.heads * shape.headDim,
  k_at: shape.heads * shape.headDim,
  v_at: (shape.heads + shape.kvHeads) * shape.headDim,
  capacity,
  window: shape.window ?? 0,
  scale: shape.scale,
});

/**
 * o [T, heads · headDim] = softmax(scale · q·kᵀ)·v, causal, within documents (documents [T, 2]: first token, one after
 * the last) and the window, grouped-query; lse [heads, capacity]. qkv [T, (heads + 2·kvHeads)·headDim]. Scores are
 * never stored (Dao et al. 2022). Relative error ≤ 1e-5.
 */
export function attentionForwardKernel(headDim: number) {
  return defineKernel({
    name: 'attention_forward',
    shader: 'attention_forward.wgsl',
    bindings: { qkv: input('f32'), documents: input('vec2<u32>'), o: output('f32'), lse: output('f32') },
    params: PARAMS,
    constants: { HEAD_DIM: headDim },
  });
}

export interface AttentionForwardOptions {
  readonly shape: AttentionShape;
  readonly qkv: Tensor;
  readonly documents: Tensor;
  readonly o: Tensor;
  readonly lse: Tensor;
}

export function attentionForward(plan: PlanBuilder, { shape, qkv, documents, o, lse }: AttentionForwardOptions): void {
  plan.dispatch(attentionForwardKernel(shape.headDim), {
    bindings: { qkv, documents, o, lse },
    params: params(shape, plan.capacity),
    workgroups: (tokens) => [Math.ceil(tokens / TILE), shape.heads, 1],
    flopsPerToken: 2 * shape.heads * shape.headDim * plan.capacity,
  });
}

/** delta [heads, capacity] = Σ_d do·o. Relative error ≤ 1e-5. */
export function attentionDeltaKernel(headDim: number) {
  return defineKernel({
    name: 'attention_delta',
    shader: 'attention_delta.wgsl',
    bindings: { o: input('f32'), d_o: input('f32'), delta: output('f32') },
    params: { heads: 'u32', capacity: 'u32' },
    constants: { HEAD_DIM: headDim },
  });
}

const BACKWARD_INPUTS = {
  qkv: input('f32'),
  documents: input('vec2<u32>'),
  d_o: input('f32'),
  lse: input('f32'),
  delta: input('f32'),
} as const;

/** The query part of d_qkv, laid out as qkv. One workgroup owns each output: no atomics. Relative error ≤ 1e-5. */
export function attentionBackwardQueryKernel(headDim: number) {
  return defineKernel({
    name: 'attention_backward_query',
    shader: 'attention_backward_query.wgsl',
    bindings: { ...BACKWARD_INPUTS, d_qkv: output('f32') },
    params: PARAMS,
    constants: { HEAD_DIM: headDim },
  });
}

/** The key and value parts of d_qkv, summed over each group's query heads. Relative error ≤ 1e-5. */
export function attentionBackwardKeyValueKernel(headDim: number) {
  return defineKernel({
    name: 'attention_backward_key_value',
    shader: 'attention_backward_key_value.wgsl',
    bindings: { ...BACKWARD_INPUTS, d_qkv: output('f32') },
    params: PARAMS,
    constants: { HEAD_DIM: headDim },
  });
}

export interface AttentionBackwardOptions extends AttentionForwardOptions {
  readonly dO: Tensor;
  readonly delta: Tensor;
  readonly dQkv: Tensor;
}

/** Three dispatches: delta, then dq, then dk and dv. */
export function attentionBackward(plan: PlanBuilder, options: AttentionBackwardOptions): void {
  const { shape, qkv, documents, o, lse, dO, delta, dQkv } = options;
  plan.dispatch(attentionDeltaKernel(shape.headDim), {
    bindings: { o, d_o: dO, delta },
    params: { heads: shape.heads, capacity: plan.capacity },
    workgroups: (tokens) => grid(Math.ceil((tokens * shape.heads) / 64)),
    flopsPerToken: 2 * shape.heads * shape.headDim,
  });
  const bindings = { qkv, documents, d_o: dO, lse, delta, d_qkv: dQkv };
  plan.dispatch(attentionBackwardQueryKernel(shape.headDim), {
    bindings,
    params: params(shape, plan.capacity),
    workgroups: (tokens) => [Math.ceil(tokens / TILE), shape.heads, 1],
    flopsPerToken: 3 * shape.heads * shape.headDim * plan.capacity,
  });
  plan.dispatch(attentionBackwardKeyValueKernel(shape.headDim), {
    bindings,
    params: params(shape, plan.capacity),
    workgroups: (tokens) => [Math.ceil(tokens / TILE), shape.kvHeads, 1],
    flopsPerToken: 4 * shape.heads * shape.headDim * plan.capacity,
  });
}
