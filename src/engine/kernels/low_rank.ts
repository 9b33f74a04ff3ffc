import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import { type Binding, defineKernel, grid, inout, input, output, type ParamType } from './kernel.ts';
import type { GroupAdapter } from './matmul_nf4.ts';
import type { Columns } from './matmul_reduce.ts';

/** Tokens, and ranks, a workgroup of shaders/low_rank.wgsl. */
const TOKENS = 16;
const RANKS = 16;

const uniforms = (fields: readonly string[], segments: number, type: ParamType = 'u32'): Record<string, ParamType> =>
  Object.fromEntries(
    Array.from({ length: segments }, (_, s) => fields.map((field) => [`${field}_${s}`, type] as const)).flat(),
  );

const numbered = (values: Readonly<Record<string, number>>, s: number) =>
  Object.entries(values).map(([field, value]) => [`${field}_${s}`, value]);

interface LowRankVariant {
  readonly segments: number;
  readonly transposed: boolean;
  readonly aligned: boolean;
  readonly strength: boolean;
}

/**
 * u [T, columns] = s · x·Mᵀ for each segment's columns, f32: LoRA's s · A·x, M = A [rank, depth], or strength · s · A·x with
 * a factor of each token's own; transposed the gradient s · dy·B, from B [depth, rank]. Relative error ≤ 2e-5 against float64.
 */
export function lowRankKernel({ segments, transposed, aligned, strength }: LowRankVariant) {
  return defineKernel({
    name: transposed ? 'low_rank_dx' : 'low_rank',
    shader: 'low_rank.wgsl',
    bindings: {
      x: input(aligned ? 'vec4<f32>' : 'f32'),
      lora: input('f32'),
      u: output('f32'),
      ...(strength ? { strength: input('f32') } : {}),
    } as Record<string, Binding>,
    params: {
      x_stride: 'u32',
      u_stride: 'u32',
      ...uniforms(['x_at', 'depth', 'lora_at', 'u_at', 'rank', 'tile'], segments),
      ...uniforms(['scale'], segments, 'f32'),
    } as Record<string, ParamType>,
    constants: { SEGMENTS: segments, TRANSPOSED: transposed, ALIGNED: aligned, STRENGTH: strength },
  });
}

interface Product {
  readonly xAt: number;
  readonly depth: number;
  readonly loraAt: number;
  readonly uAt: number;
  readonly rank: number;
  readonly scale: number;
}

interface LowRankOptions {
  readonly x: Columns;
  readonly lora: Tensor | TensorView;
  readonly u: Tensor;
  readonly columns: number;
  readonly transposed: boolean;
  readonly strength?: Tensor;
  readonly products: readonly Product[];
}

function lowRank(plan: PlanBuilder, { x, lora, u, columns, transposed, strength, products }: LowRankOptions): void {
  const aligned = [x.stride, ...products.flatMap(({ xAt, depth }) => [xAt, depth])].every((size) => size % 4 === 0);
  let tiles = 0;
  const params: Record<string, number> = { x_stride: x.stride, u_stride: columns };
  for (const [s, { xAt, depth, loraAt, uAt, rank, scale }] of products.entries()) {
    const values = { x_at: xAt, depth, lora_at: loraAt, u_at: uAt, rank, tile: tiles, scale };
    Object.assign(params, Object.fromEntries(numbered(values, s)));
    tiles += Math.ceil(rank / RANKS);
  }
  plan.dispatch(lowRankKernel({ segments: products.length, transposed, aligned, strength: strength !== undefined }), {
    bindings: { x: x.tensor, lora, u, ...(strength && { strength }) },
    params,
    workgroups: (tokens) => [Math.ceil(tokens / TOKENS), tiles, 1],
    flopsPerToken: products.reduce((sum, { depth, rank }) => sum + 2 * depth * rank, 0),
  });
}

/** Adapted linears of a group: their part of the adapter, and where their outputs lie in the group's. */
function adapted(adapter: GroupAdapter, outFeatures: readonly number[]) {
  let begin = 0;
  return outFeatures.flatMap((width, i) => {
    const at = begin;
    begin += width;
    const part = adapter.parts[i];
    return part ? [{ ...part, begin: at, width }] : [];
  });
}

/** Neighbouring columns of u with the same factor. */
function sameScale({ parts }: GroupAdapter) {
  const merged: { uAt: number; rank: number; scale: number }[] = [];
  for (const part of parts) {
    const last = merged.at(-1);
    if (part && last?.scale === part.scale) last.rank += part.rank;
    else if (part) merged.push({ uAt: part.uAt, rank: part.rank, scale: part.scale });
  }
  return merged;
}

export interface LowRankForwardOptions {
  /** The group's input [T, in]. */
  readonly x: Columns;
  readonly inFeatures: number;
  readonly adapter: GroupAdapter;
  /** [T, columns]. */
  readonly u: Tensor;
  /** [T], how much of the adapter each token gets; 1 unless given. */
  readonly strength?: Tensor;
}

/** u = s · A·x of all adapted linears of a group; those with the same s lie one below the other and are one product. */
export function lowRankForward(plan: PlanBuilder, options: LowRankForwardOptions): void {
  const { x, inFeatures, adapter, u, strength } = options;
  lowRank(plan, {
    x,
    lora: adapter.parameters,
    u,
    columns: adapter.columns,
    transposed: false,
    strength,
    products: sameScale(adapter).map(({ uAt, rank, scale }) => ({
      xAt: x.at,
      depth: inFeatures,
      loraAt: adapter.aAt + uAt * inFeatures,
      uAt,
      rank,
      scale,
    })),
  });
}

export interface LowRankBackwardOptions {
  /** The gradient of the group's outputs, side by side. */
  readonly dy: Columns;
  /** Widths of the outputs. */
  readonly outFeatures: readonly number[];
  readonly adapter: GroupAdapter;
  /** [T, columns]. */
  readonly du: Tensor;
}

/** du = s · dy·B of all adapted linears of a group. */
export function lowRankBackward(plan: PlanBuilder, options: LowRankBackwardOptions): void {
  const { dy, outFeatures, adapter, du } = options;
  lowRank(plan, {
    x: dy,
    lora: adapter.parameters,
    u: du,
    columns: adapter.columns,
    transposed: true,
    products: adapted(adapter, outFeatures).map(({ begin, width, bAt, uAt, rank, scale }) => ({
      xAt: dy.at + begin,
      depth: width,
      loraAt: bAt,
      uAt,
      rank,
      scale,
    })),
  });
}

/**
 * How a workgroup of shaders/low_rank_gradient.wgsl goes through the tokens: in steps, each shared by slices. 14 KiB of
 * workgroup memory; steps of 64 would need 24 and are slower, since fewer workgroups share a multiprocessor.
 */
const STEP_TOKENS = 32;
const SLICES = 4;
/** Ranks and features a workgroup. */
const NARROW = 16;
const WIDE = 64;

interface LowRankGradientVariant {
  readonly segments: number;
  readonly aligned: boolean;
  readonly split: boolean;
}

/**
 * dA [columns, in] += duᵀ·x and each dB [out, rank] += dyᵀ·u, u with its factor s, f32, in one dispatch (Hu et al. 2021, differentiated).
 * Relative error ≤ 2e-5 against float64; the order of summation is fixed.
 */
export function lowRankGradientKernel({ segments, aligned, split }: LowRankGradientVariant) {
  const wide = input(aligned ? 'vec4<f32>' : 'f32');
  return defineKernel({
    name: 'low_rank_gradient',
    shader: 'low_rank_gradient.wgsl',
    bindings: {
      x: wide,
      dy: wide,
      u: input('f32'),
      du: input('f32'),
      ...(split ? { partials: output('f32') } : { gradients: inout('f32') }),
    } as Record<string, Binding>,
    params: {
      x_stride: 'u32',
      x_at: 'u32',
      in_features: 'u32',
      dy_stride: 'u32',
      u_stride: 'u32',
      a_at: 'u32',
      a_u_at: 'u32',
      a_rank: 'u32',
      split_tokens: 'u32',
      plane: 'u32',
      ...uniforms(['u_at', 'rank', 'dy_at', 'out', 'b_at', 'tile'], segments),
    } as Record<string, ParamType>,
    constants: {
      SEGMENTS: segments,
      ALIGNED: aligned,
      SPLIT: split,
      STEP_TOKENS,
      SLICES,
      ROUNDS: STEP_TOKENS / SLICES,
      READS_EACH: (STEP_TOKENS * WIDE) / 4 / (64 * SLICES),
    },
  });
}

const lowRankGradientSumKernel = defineKernel({
  name: 'low_rank_gradient_sum',
  shader: 'low_rank_gradient_sum.wgsl',
  bindings: { partials: input('f32'), gradients: inout('f32') },
  params: { splits: 'u32', count: 'u32', first: 'u32' },
  constants: {},
});

/** Tokens that a workgroup sums at most while others would stand idle. */
const SPLIT_TOKENS = 512;
const MOST_SPLITS = 8;

export interface LowRankGradientOptions {
  readonly x: Columns;
  readonly inFeatures: number;
  readonly dy: Columns;
  readonly outFeatures: readonly number[];
  readonly u: Tensor;
  readonly du: Tensor;
  readonly adapter: GroupAdapter;
  /** Of this linear of the group alone: where each has an input of its own, as dropout makes it. */
  readonly only?: number;
  /** Overrides the choice. */
  readonly splits?: number;
}

export function lowRankGradient(plan: PlanBuilder, options: LowRankGradientOptions): void {
  const { x, inFeatures, dy, outFeatures, u, du, adapter, only } = options;
  const alone = only === undefined ? null : adapter.parts[only];
  const parts = adapted(
    alone ? { ...adapter, parts: adapter.parts.map((p, i) => (i === only ? p : null)) } : adapter,
    outFeatures,
  );
  const aRank = alone?.rank ?? adapter.columns;
  const aAt = adapter.aAt + (alone?.uAt ?? 0) * inFeatures;
  const sizes = [x.stride, x.at, inFeatures, dy.stride, dy.at, ...parts.flatMap(({ begin, width }) => [begin, width])];
  const tilesOf = (narrow: number, wide: number) => Math.ceil(narrow / NARROW) * Math.ceil(wide / WIDE);
  let tiles = tilesOf(aRank, inFeatures);
  const count = aRank * inFeatures + parts.reduce((sum, { rank, width }) => sum + rank * width, 0);
  const wanted =
    // Partial sums lie as the gradients do, and a linear's A and B need not lie together.
    options.splits ??
    (alone ? 1 : plan.capabilities.software ? 1 : Math.min(MOST_SPLITS, plan.capacity / SPLIT_TOKENS));
  const splitTokens = Math.ceil(plan.capacity / Math.max(1, wanted) / STEP_TOKENS) * STEP_TOKENS;
  const splits = Math.ceil(plan.capacity / splitTokens);
  const params: Record<string, number> = {
    x_stride: x.stride,
    x_at: x.at,
    in_features: inFeatures,
    dy_stride: dy.stride,
    u_stride: adapter.columns,
    a_at: aAt,
    a_u_at: alone?.uAt ?? 0,
    a_rank: aRank,
    split_tokens: splitTokens,
    plane: count,
  };
  for (const [s, { uAt, rank, begin, width, bAt }] of parts.entries()) {
    const values = { u_at: uAt, rank, dy_at: dy.at + begin, out: width, b_at: bAt, tile: tiles };
    Object.assign(params, Object.fromEntries(numbered(values, s)));
    tiles += tilesOf(rank, width);
  }
  const aligned = sizes.every((size) => size % 4 === 0);
  const split = splits > 1;
  const partials = split ? plan.tensor('partial gradients', splits * count * 4) : null;
  plan.dispatch(lowRankGradientKernel({ segments: parts.length, aligned, split }), {
    bindings: { x: x.tensor, dy: dy.tensor, u, du, ...(partials ? { partials } : { gradients: adapter.gradients }) },
    params,
    workgroups: () => [tiles, splits, 1],
    flopsPerToken: 2 * aRank * inFeatures + parts.reduce((sum, p) => sum + 2 * p.rank * p.width, 0),
  });
  if (partials) {
    plan.dispatch(lowRankGradientSumKernel, {
      bindings: { partials, gradients: adapter.gradients },
      params: { splits, count, first: aAt },
      workgroups: () => grid(Math.ceil(count / 64)),
      flopsPerToken: (splits * count) / plan.capacity,
    });
  }
}
