import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, inout, input } from './kernel.ts';

/** One layer's keys and values of several sequences (shaders/kv_store.wgsl), f32. */
export interface KvCacheLayer {
  /** [slots, kvHeads, headVectors, context] vectors of four. */
  readonly keys: Tensor;
  /** [slots, kvHeads, context, headVectors] vectors of four. */
  readonly values: Tensor;
  /** Positions a slot. */
  readonly context: number;
}

/** Vectors of four that a head takes in the cache. */
export const headVectors = (headDim: number) => Math.ceil(headDim / 4);

/** Copies keys and values of qkv [T, (heads + 2·kvHeads)·headDim] to each token's slot and position. Exact. */
const kvStoreKernel = (headDim: number) =>
  defineKernel({
    name: 'kv_store',
    shader: 'kv_store.wgsl',
    bindings: {
      qkv: input('f32'),
      positions: input('u32'),
      slots: input('u32'),
      keys: inout('vec4<f32>'),
      values: inout('vec4<f32>'),
    },
    params: { stride: 'u32', k_at: 'u32', v_at: 'u32', kv_heads: 'u32', context: 'u32' },
    constants: { HEAD_DIM: headDim, HEAD_VECTORS: headVectors(headDim) },
  });

export interface KvStoreOptions {
  readonly shape: { readonly heads: number; readonly kvHeads: number; readonly headDim: number };
  readonly qkv: Tensor;
  readonly positions: Tensor;
  /** Which sequence each token belongs to. */
  readonly slots: Tensor;
  readonly cache: KvCacheLayer;
}

export function kvStore(plan: PlanBuilder, { shape, qkv, positions, slots, cache }: KvStoreOptions): void {
  const { heads, kvHeads, headDim } = shape;
  plan.dispatch(kvStoreKernel(headDim), {
    bindings: { qkv, positions, slots, keys: cache.keys, values: cache.values },
    params: {
      stride: (heads + 2 * kvHeads) * headDim,
      k_at: heads * headDim,
      v_at: (heads + kvHeads) * headDim,
      kv_heads: kvHeads,
      context: cache.context,
    },
    workgroups: (tokens) => grid(Math.ceil((tokens * kvHeads * headVectors(headDim)) / 64)),
    flopsPerToken: 2 * kvHeads * headDim,
  });
}
