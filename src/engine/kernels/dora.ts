import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor, type TensorView } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';
import { floatsConstants } from './float_dtype.ts';
import { type Binding, defineKernel, grid, inout, input, numbers, output, type ParamType } from './kernel.ts';
import type { GroupAdapter, LinearGroup } from './matmul_nf4.ts';

/** Outputs a workgroup of shaders/dora_norm.wgsl, and of shaders/dora_backward.wgsl. */
const NORM_OUTPUTS = 4;
const BACKWARD_COLUMNS = 32;

/**
 * norms [out] = ‖W_i + s·B_i·A‖, f32 (Liu et al. 2024, eq. 5). Relative error ≤ 1e-5 against float64.
 *
 * @param floats what W is in, or null: 4 bits
 */
const doraNormKernel = (doubleQuant: boolean, floats: FloatDtype | null) =>
  defineKernel({
    name: 'dora_norm',
    shader: 'dora_norm.wgsl',
    bindings: { slab: input('u32'), lora: input('f32'), norms: inout('f32') },
    params: {
      codes_at: 'u32',
      absmax_at: 'u32',
      nested_at: 'u32',
      in_features: 'u32',
      out_features: 'u32',
      a_at: 'u32',
      b_at: 'u32',
      rank: 'u32',
      norm_at: 'u32',
      scale: 'f32',
    },
    constants: { DOUBLE_QUANT: doubleQuant, SLAB_VECTORS: false, ...floatsConstants(floats) },
  });

export interface DoraOptions {
  readonly group: LinearGroup;
  readonly adapter: GroupAdapter;
  /** Of all linears; a part's `dora.normAt` is where its own begin. */
  readonly norms: Tensor;
}

/** The norms of every adapted linear of a group. */
export function doraNorms(plan: PlanBuilder, { group, adapter, norms }: DoraOptions): void {
  for (const [i, part] of adapter.parts.entries()) {
    if (!part?.dora) continue;
    const { codesAt, absmaxAt, nestedAt, inFeatures, outFeatures } = group.linears[i];
    plan.dispatch(doraNormKernel(group.doubleQuant, absmaxAt === null ? group.floats : null), {
      bindings: { slab: group.slab, lora: adapter.parameters, norms },
      params: {
        codes_at: codesAt,
        absmax_at: absmaxAt ?? 0,
        nested_at: nestedAt,
        in_features: inFeatures,
        out_features: outFeatures,
        a_at: adapter.aAt + part.uAt * inFeatures,
        b_at: part.bAt,
        rank: part.rank,
        norm_at: part.dora.normAt,
        scale: part.scale,
      },
      workgroups: () => [Math.ceil(outFeatures / NORM_OUTPUTS), 1, 1],
      flopsPerToken: (2 * part.rank * inFeatures * outFeatures) / plan.capacity,
    });
  }
}

const FIELDS = ['begin', 'adapted', 'magnitude_at', 'norm_at', 'bias_at'] as const;

/**
 * What the shaders know of a group's linears.
 *
 * @param elements of a number that a row's width is counted in
 */
function segmentParams(
  { group, adapter }: DoraOptions,
  elements: number,
): {
  types: Record<string, ParamType>;
  values: Record<string, number>;
} {
  const values: Record<string, number> = { width: group.outFeatures / elements };
  let begin = 0;
  for (const [s, { outFeatures, biasAt }] of group.linears.entries()) {
    const dora = adapter.parts[s]?.dora;
    const own = [begin, dora ? 1 : 0, dora?.magnitudeAt ?? 0, dora?.normAt ?? 0, biasAt ?? 0];
    for (const [f, field] of FIELDS.entries()) values[`${field}_${s}`] = own[f];
    begin += outFeatures;
  }
  return { types: Object.fromEntries(Object.keys(values).map((name) => [name, 'u32' as const])), values };
}

export interface DoraForwardOptions extends DoraOptions {
  /** [T, width] = W·x + s·B(A·x), the outputs of the group side by side. */
  readonly z: Tensor;
  readonly y: Tensor;
  /** [T, width], added to the result. */
  readonly residual?: Tensor;
  /** [T, width], added to the result; all of a linear without an adapter, whose z may then hold anything. */
  readonly beside?: Tensor;
  /** [T], how much of the adapter each token gets; 1 unless given. */
  readonly strength?: Tensor;
}

/**
 * y [T, width] = factor · z (+ beside) (+ bias) (+ residual), the factor magnitude / norm, or with a strength between 1 and
 * that, f32. Relative error ≤ 1e-5 against float64. In 16 bits z, or z and y.
 */
export function doraForward(plan: PlanBuilder, options: DoraForwardOptions): void {
  const { group, adapter, norms, z, y, residual, beside, strength } = options;
  const bias = group.linears.some(({ biasAt }) => biasAt !== null);
  const vectors = inHalves(z);
  if (vectors && group.linears.some(({ outFeatures }) => outFeatures % 4 !== 0))
    throw new Error('DoRA over linears that are no whole groups of four only in f32');
  const { types, values } = segmentParams(options, vectors ? 4 : 1);
  const type = numbers(vectors);
  const kernel = defineKernel({
    name: 'dora_forward',
    shader: 'dora_forward.wgsl',
    bindings: {
      z: input(numbers(vectors, vectors)),
      lora: input('f32'),
      norms: input('f32'),
      y: output(numbers(vectors, inHalves(y))),
      ...(bias ? { slab: input('u32') } : {}),
      ...(residual ? { residual: input(type) } : {}),
      ...(beside ? { beside: input(type) } : {}),
      ...(strength ? { strength: input('f32') } : {}),
    } as Record<string, Binding>,
    params: types,
    constants: {
      SEGMENTS: group.linears.length,
      BIAS: bias,
      RESIDUAL: residual !== undefined,
      BESIDE: beside !== undefined,
      STRENGTH: strength !== undefined,
      VECTORS: vectors,
    },
  });
  const bindings: Record<string, Tensor | TensorView> = { z, lora: adapter.parameters, norms, y };
  if (bias) bindings.slab = group.slab;
  if (residual) bindings.residual = residual;
  if (beside) bindings.beside = beside;
  if (strength) bindings.strength = strength;
  plan.dispatch(kernel, {
    bindings,
    params: values,
    workgroups: (tokens) => grid(Math.ceil((tokens * values.width) / 64)),
    flopsPerToken: 4 * group.outFeatures,
  });
}

export interface DoraBackwardOptions extends DoraOptions {
  readonly z: Tensor;
  readonly dy: Tensor;
  readonly dz: Tensor;
  /** Gets dz − dy. */
  readonly rest?: Tensor;
}

/**
 * dz [T, width] = magnitude / norm · dy (and rest = dz − dy), and the magnitudes' gradients += Σ_t dy·z / norm, the norm
 * taken as a constant, f32, or z in 16 bits. Relative error ≤ 1e-5 against float64; the order of summation is fixed.
 */
export function doraBackward(plan: PlanBuilder, options: DoraBackwardOptions): void {
  const { group, adapter, norms, z, dy, dz, rest } = options;
  const { types, values } = segmentParams(options, 1);
  const halves = inHalves(z);
  const kernel = defineKernel({
    name: 'dora_backward',
    shader: 'dora_backward.wgsl',
    bindings: {
      dy: input('f32'),
      z: input(halves ? 'vec2<f16>' : 'f32'),
      lora: input('f32'),
      norms: input('f32'),
      dz: output('f32'),
      gradients: inout('f32'),
      ...(rest ? { rest: output('f32') } : {}),
    } as Record<string, Binding>,
    params: types,
    constants: { SEGMENTS: group.linears.length, REST: rest !== undefined, HALVES: halves },
  });
  plan.dispatch(kernel, {
    bindings: { dy, z, lora: adapter.parameters, norms, dz, gradients: adapter.gradients, ...(rest && { rest }) },
    params: values,
    workgroups: () => [Math.ceil(group.outFeatures / BACKWARD_COLUMNS), 1, 1],
    flopsPerToken: 4 * group.outFeatures,
  });
}
