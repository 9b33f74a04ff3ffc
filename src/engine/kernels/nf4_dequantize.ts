import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, input, output, type ParamType } from './kernel.ts';

/** Linears of one slab, all in 4 bits: what decoding needs of a LinearGroup. */
interface CodedGroup {
  readonly slab: Tensor;
  readonly doubleQuant: boolean;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly linears: readonly {
    readonly codesAt: number;
    readonly absmaxAt: number | null;
    readonly nestedAt: number;
    readonly outFeatures: number;
  }[];
}

/** Words of eight codes a workgroup. */
const WORDS = 1024;

const FIELDS = ['begin', 'codes_at', 'absmax_at', 'nested_at'] as const;

/**
 * weights [out, in] of a group's linears, one below the other, f32, as matmul_nf4.wgsl decodes them: the same bits.
 * Source: QLoRA (Dettmers et al. 2023) eq. 5.
 *
 * @param transposed named for what reads them
 */
export function nf4DequantizeKernel(segments: number, doubleQuant: boolean, transposed: boolean) {
  const params: Record<string, ParamType> = { words: 'u32' };
  for (let s = 0; s < segments; s++) for (const field of FIELDS) params[`${field}_${s}`] = 'u32';
  return defineKernel({
    name: transposed ? 'nf4_dequantize_dx' : 'nf4_dequantize',
    shader: 'nf4_dequantize.wgsl',
    bindings: { slab: input('u32'), weights: output('vec4<f32>') },
    params,
    constants: { SEGMENTS: segments, DOUBLE_QUANT: doubleQuant, FLOATS: false, SLAB_VECTORS: false },
  });
}

export function nf4Dequantize(plan: PlanBuilder, group: CodedGroup, weights: Tensor, transposed = false): void {
  const params: Record<string, number> = { words: (group.inFeatures * group.outFeatures) / 8 };
  let begin = 0;
  for (const [s, { codesAt, absmaxAt, nestedAt, outFeatures }] of group.linears.entries()) {
    const values = { begin, codes_at: codesAt, absmax_at: absmaxAt ?? 0, nested_at: nestedAt };
    for (const field of FIELDS) params[`${field}_${s}`] = values[field];
    begin += (group.inFeatures * outFeatures) / 8;
  }
  plan.dispatch(nf4DequantizeKernel(group.linears.length, group.doubleQuant, transposed), {
    bindings: { slab: group.slab, weights },
    params,
    workgroups: () => grid(Math.ceil(params.words / WORDS)),
  });
}
