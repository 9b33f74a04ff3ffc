import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';
import { floatsConstants } from './float_dtype.ts';
import { type Binding, defineKernel, input, output, type ParamType } from './kernel.ts';
import { CODE_RUN, type GroupAdapter, type LinearGroup, runOf } from './matmul_nf4.ts';
import { chooseMatvecShape, type MatvecShape, MOST_ROWS, matvecConstants, TEAMS } from './matvec.ts';

const SEGMENT_FIELDS = [
  ...['begin', 'width', 'codes_at', 'absmax_at', 'nested_at', 'bias_at', 'lora_at', 'u_at', 'rank', 'tile'],
] as const;

interface MatvecNf4Variant {
  readonly rows: number;
  readonly shape: MatvecShape;
  readonly segments: number;
  readonly doubleQuant: boolean;
  readonly floats: FloatDtype | null;
  readonly lora: boolean;
  readonly bias: boolean;
  readonly residual: boolean;
}

/**
 * y [T, width] = x [T, depth] · dequant(W)ᵀ (+ strength · s · u·Bᵀ) (+ bias) (+ residual), f32, for at most `rows` tokens,
 * W as in {@link matmulNf4Kernel}.
 * Relative error ≤ 2e-5 against float64. Source: LoRA (Hu et al. 2021), QLoRA (Dettmers et al. 2023) eq. 5.
 */
function matvecNf4Kernel(v: MatvecNf4Variant) {
  const bindings: Record<string, Binding> = {
    x: input('vec4<f32>'),
    slab: input('vec4<u32>'),
    y: output('f32'),
    ...(v.lora ? { u: input('f32'), lora: input('f32'), strength: input('f32') } : {}),
    ...(v.residual ? { residual: input('f32') } : {}),
  };
  const params: Record<string, ParamType> = { depth: 'u32', y_stride: 'u32', u_stride: 'u32' };
  for (let s = 0; s < v.segments; s++) {
    for (const field of SEGMENT_FIELDS) params[`${field}_${s}`] = 'u32';
    params[`scale_${s}`] = 'f32';
  }
  return defineKernel({
    name: 'matvec_nf4',
    shader: 'matvec_nf4.wgsl',
    bindings,
    params,
    constants: {
      ...matvecConstants(v.rows, v.shape, runOf(v.floats) / 4),
      ...floatsConstants(v.floats),
      SLAB_VECTORS: true,
      SEGMENTS: v.segments,
      DOUBLE_QUANT: v.doubleQuant,
      LORA: v.lora,
      BIAS: v.bias,
      RESIDUAL: v.residual,
    },
  });
}

export interface MatvecNf4Options {
  /** [T, in]. */
  readonly x: Tensor | TensorView;
  /** [T, out of all linears]. */
  readonly y: Tensor;
  readonly group: LinearGroup;
  /** u [T, columns] = A·x, without s; strength [T] is how much of the adapter each row gets. */
  readonly lora?: { readonly u: Tensor; readonly adapter: GroupAdapter; readonly strength: Tensor };
  /** [T, out], added to the result. */
  readonly residual?: Tensor;
  /** Overrides the choice. */
  readonly shape?: MatvecShape;
}

/** Whether {@link matvecNf4} can do it: few rows, and a depth of whole runs. */
export const fitsMatvecNf4 = (rows: number, { inFeatures, linears }: LinearGroup): boolean =>
  rows <= MOST_ROWS && inFeatures % CODE_RUN === 0 && linears.every(({ codesAt }) => codesAt % 4 === 0);

export function matvecNf4(plan: PlanBuilder, { x, y, group, lora, residual, shape }: MatvecNf4Options): void {
  const { inFeatures, outFeatures, linears } = group;
  const chosen = shape ?? chooseMatvecShape(plan.capacity, outFeatures, inFeatures / runOf(group.floats));
  const params: Record<string, number> = {
    depth: inFeatures,
    y_stride: outFeatures,
    u_stride: lora?.adapter.columns ?? 0,
  };
  let [begin, tiles] = [0, 0];
  for (const [s, linear] of linears.entries()) {
    const part = lora?.adapter.parts[s];
    const values: Record<(typeof SEGMENT_FIELDS)[number], number> = {
      begin,
      width: linear.outFeatures,
      codes_at: linear.codesAt,
      absmax_at: linear.absmaxAt ?? 0,
      nested_at: linear.nestedAt,
      bias_at: linear.biasAt ?? 0,
      lora_at: part?.bAt ?? 0,
      u_at: part?.uAt ?? 0,
      rank: part?.rank ?? 0,
      tile: tiles,
    };
    for (const field of SEGMENT_FIELDS) params[`${field}_${s}`] = values[field];
    params[`scale_${s}`] = part?.scale ?? 0;
    begin += linear.outFeatures;
    tiles += Math.ceil(linear.outFeatures / (TEAMS * chosen.perTeam));
  }
  const kernel = matvecNf4Kernel({
    rows: plan.capacity,
    shape: chosen,
    segments: linears.length,
    doubleQuant: group.doubleQuant,
    floats: group.floats,
    lora: lora !== undefined,
    bias: linears.some(({ biasAt }) => biasAt !== null),
    residual: residual !== undefined,
  });
  const bindings: Record<string, Tensor | TensorView> = { x, slab: group.slab, y };
  if (lora) Object.assign(bindings, { u: lora.u, lora: lora.adapter.parameters, strength: lora.strength });
  if (residual) bindings.residual = residual;
  plan.dispatch(kernel, {
    bindings,
    params,
    workgroups: () => [tiles, 1, 1],
    flopsPerToken: 2 * inFeatures * outFeatures,
  });
}
