import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import type { AttentionShape } from './attention.ts';
import { type Binding, defineKernel, input, output, type ParamType } from './kernel.ts';
import { headVectors, type KvCacheLayer } from './kv_store.ts';

/** Keys a workgroup. */
const SPAN = 256;
const GROUP = 128;

/**
 * o [T, heads · headDim] = softmax(scale · q·kᵀ, soft-capped)·v, each token one query over its own sequence's cached keys up
 * to its position, within the window, grouped-query; or partial sums of spans of keys. Relative error ≤ 1e-5.
 */
function attentionDecodeKernel(headDim: number, span: number, capped: boolean, split: boolean) {
  return defineKernel({
    name: 'attention_decode',
    shader: 'attention_decode.wgsl',
    bindings: {
      qkv: input('f32'),
      positions: input('u32'),
      slots: input('u32'),
      keys: input('vec4<f32>'),
      values: input('vec4<f32>'),
      ...(split ? { partials: output('vec4<f32>') } : { o: output('f32') }),
    } as Record<string, Binding>,
    params: {
      stride: 'u32',
      heads: 'u32',
      kv_heads: 'u32',
      group: 'u32',
      context: 'u32',
      window: 'u32',
      splits: 'u32',
      scale: 'f32',
      soft_cap: 'f32',
    } as Record<string, ParamType>,
    constants: {
      HEAD_DIM: headDim,
      HEAD_VECTORS: headVectors(headDim),
      SPAN: span,
      GROUP,
      CAPPED: capped,
      SPLIT: split,
    },
  });
}

/** The spans' partial sums put together. Relative error ≤ 1e-5. */
const attentionDecodeSumKernel = (headDim: number) =>
  defineKernel({
    name: 'attention_decode_sum',
    shader: 'attention_decode_sum.wgsl',
    bindings: { partials: input('vec4<f32>'), o: output('f32') },
    params: { heads: 'u32', splits: 'u32' },
    constants: { HEAD_DIM: headDim, HEAD_VECTORS: headVectors(headDim) },
  });

export interface AttentionDecodeOptions {
  readonly shape: AttentionShape;
  /** The new tokens' [T, (heads + 2·kvHeads)·headDim], of which the queries are read. */
  readonly qkv: Tensor;
  readonly positions: Tensor;
  readonly slots: Tensor;
  /** With the new tokens' own keys and values. */
  readonly cache: KvCacheLayer;
  readonly o: Tensor;
  /** Overrides the choice. */
  readonly span?: number;
}

export function attentionDecode(plan: PlanBuilder, options: AttentionDecodeOptions): void {
  const { shape, qkv, positions, slots, cache, o, span = SPAN } = options;
  const { heads, kvHeads, headDim, scale, window, softCap } = shape;
  const splits = Math.ceil(cache.context / span);
  const split = splits > 1;
  const partials = split
    ? plan.tensor('partial attention', plan.capacity * heads * splits * (headVectors(headDim) + 1) * 16)
    : null;
  plan.dispatch(attentionDecodeKernel(headDim, span, typeof softCap === 'number', split), {
    bindings: { qkv, positions, slots, keys: cache.keys, values: cache.values, ...(partials ? { partials } : { o }) },
    params: {
      stride: (heads + 2 * kvHeads) * headDim,
      heads,
      kv_heads: kvHeads,
      group: heads / kvHeads,
      context: cache.context,
      window: window ?? 0,
      splits,
      scale,
      soft_cap: softCap ?? 1,
    },
    workgroups: (tokens) => [heads, tokens, splits],
    flopsPerToken: 4 * heads * headDim * cache.context,
  });
  if (!partials) return;
  plan.dispatch(attentionDecodeSumKernel(headDim), {
    bindings: { partials, o },
    params: { heads, splits },
    workgroups: (tokens) => [heads, tokens, 1],
    flopsPerToken: 2 * splits * heads * headDim,
  });
}
