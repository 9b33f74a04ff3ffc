import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, inout, input, numbers, output, type ParamType } from './kernel.ts';
import { NORM_GROUP, type NormWeight } from './rms_norm.ts';

const PARAMS = {
  width: 'u32',
  stride: 'u32',
  heads: 'u32',
  kv_heads: 'u32',
  query_at: 'u32',
  key_at: 'u32',
  epsilon: 'f32',
} as const satisfies Record<string, ParamType>;

/**
 * RMSNorm of each query and key head of qkv [T, (heads + 2·kvHeads)·headDim] in place, with one weight [headDim] for
 * queries and one for keys; the heads as they were in raw [T, (heads + kvHeads)·headDim]. Relative error ≤ 1e-5.
 *
 * @param halves qkv and raw are in 16 bits
 */
export const headNormKernel = (halves: boolean) =>
  defineKernel({
    name: 'head_norm',
    shader: 'head_norm.wgsl',
    bindings: {
      qkv: inout(numbers(halves, halves)),
      weight: input('f32'),
      raw: output(numbers(halves, halves)),
    },
    params: PARAMS,
    constants: { GROUP: NORM_GROUP, VECTORS: halves },
  });

/**
 * d_qkv in place from the gradient of the normed heads to that of raw's, for frozen weights. Relative error ≤ 1e-5.
 *
 * @param halves raw is in 16 bits
 */
export const headNormBackwardKernel = (halves: boolean) =>
  defineKernel({
    name: 'head_norm_backward',
    shader: 'head_norm_backward.wgsl',
    bindings: { raw: input(numbers(halves, halves)), weight: input('f32'), d_qkv: inout(numbers(halves)) },
    params: PARAMS,
    constants: { GROUP: NORM_GROUP, VECTORS: halves },
  });

export interface HeadNormOptions {
  /** qkv, or its gradient. */
  readonly qkv: Tensor;
  readonly raw: Tensor;
  readonly heads: number;
  readonly kvHeads: number;
  /** The weights lie in one buffer. */
  readonly query: NormWeight;
  readonly key: NormWeight;
}

function dispatchOptions({ raw, heads, kvHeads, query, key }: HeadNormOptions) {
  const { epsilon } = query;
  const width = inHalves(raw) ? query.width / 4 : query.width;
  return {
    params: {
      width,
      stride: (heads + 2 * kvHeads) * width,
      heads,
      kv_heads: kvHeads,
      query_at: query.at,
      key_at: key.at,
      epsilon,
    },
    workgroups: (tokens: number) => grid(tokens * (heads + kvHeads)),
  };
}

export function headNorm(plan: PlanBuilder, options: HeadNormOptions): void {
  const { qkv, raw, query, heads, kvHeads } = options;
  plan.dispatch(headNormKernel(inHalves(raw)), {
    ...dispatchOptions(options),
    bindings: { qkv, weight: query.tensor, raw },
    flopsPerToken: 4 * query.width * (heads + kvHeads),
  });
}

export function headNormBackward(plan: PlanBuilder, options: HeadNormOptions): void {
  const { qkv, raw, query, heads, kvHeads } = options;
  plan.dispatch(headNormBackwardKernel(inHalves(raw)), {
    ...dispatchOptions(options),
    bindings: { raw, weight: query.tensor, d_qkv: qkv },
    flopsPerToken: 8 * query.width * (heads + kvHeads),
  });
}
