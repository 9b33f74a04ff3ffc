import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor, type TensorView } from '../plan/tensor.ts';
import { type Binding, defineKernel, grid, inout, input, numbers, output, type ParamType } from './kernel.ts';
import type { GroupAdapter } from './matmul_nf4.ts';
import type { Columns } from './matmul_reduce.ts';

/** Ranks a workgroup of shaders/low_rank.wgsl. */
const RANKS = 16;

const uniforms = (fields: readonly string[], segments: number, type: ParamType = 'u32'): Record<string, ParamType> =>
  Object.fromEntries(
    Array.from({ length: segments }, (_, s) => fields.map((field) => [`${field}_${s}`, type] as const)).flat(),
  );

const numbered = (values: Readonly<Record<string, number>>, s: number) =>
  Object.entries(values).map(([field, value]) => [`${field}_${s}`, value]);

const wholeGroups = (sizes: readonly number[]) => sizes.every((size) => size % 4 === 0);
const vectorInput = (vectors: boolean, halves = false) => input(numbers(vectors, halves));

interface LowRankVariant {
  readonly segments: number;
  readonly transposed: boolean;
  readonly aligned: boolean;
  /** Whether rows of M, transposed its ranks, lie in whole groups of four. */
  readonly loraVectors: boolean;
  /** Vectors of tokens a workgroup: 1 or 2 on a GPU (no measured shape wants 4), 16 where a CPU plays it. */
  readonly rows: number;
  readonly strength: boolean;
  /** x is in 16 bits. */
  readonly halves: boolean;
}

/** Vectors of the depth that an invocation of shaders/low_rank.wgsl reads before it multiplies them. */
const DEPTH_UNROLL = 2;
/** As many as keep a large GPU busy, if need be of fewer tokens each. */
const WORKGROUPS = 256;
/** Where a CPU plays the GPU, many outputs and few sums: four to eight times as fast there. */
const SOFTWARE_ROWS = 16;

/** Vectors of tokens a workgroup. */
function chooseRows({ capabilities, capacity }: PlanBuilder, tiles: number): number {
  if (capabilities.software) return SOFTWARE_ROWS;
  return Math.ceil(capacity / 8) * tiles >= WORKGROUPS ? 2 : 1;
}

/**
 * u [T, columns] = s · x·Mᵀ for each segment's columns, f32: LoRA's s · A·x, M = A [rank, depth], or strength · s · A·x with
 * a factor of each token's own; transposed the gradient s · dy·B, from B [depth, rank]. Relative error ≤ 2e-5 against float64.
 */
export function lowRankKernel({ segments, transposed, aligned, loraVectors, rows, strength, halves }: LowRankVariant) {
  return defineKernel({
    name: transposed ? 'low_rank_dx' : 'low_rank',
    shader: 'low_rank.wgsl',
    bindings: {
      x: vectorInput(aligned, halves),
      lora: vectorInput(loraVectors),
      u: output('f32'),
      ...(strength ? { strength: input('f32') } : {}),
    } as Record<string, Binding>,
    params: {
      x_stride: 'u32',
      u_stride: 'u32',
      ...uniforms(['x_at', 'depth', 'lora_at', 'u_at', 'rank', 'tile'], segments),
      ...uniforms(['scale'], segments, 'f32'),
    } as Record<string, ParamType>,
    constants: {
      SEGMENTS: segments,
      TRANSPOSED: transposed,
      ALIGNED: aligned,
      LORA_VECTORS: loraVectors,
      ROWS: rows,
      STRENGTH: strength,
      UNROLL: DEPTH_UNROLL,
    },
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
  readonly rows?: number;
}

function lowRank(plan: PlanBuilder, options: LowRankOptions): void {
  const { x, lora, u, columns, transposed, strength, products } = options;
  const aligned = wholeGroups([x.stride, ...products.flatMap(({ xAt, depth }) => [xAt, depth])]);
  const loraVectors = wholeGroups(products.flatMap((p) => [p.loraAt, transposed ? p.rank : p.depth]));
  let tiles = 0;
  const params: Record<string, number> = { x_stride: x.stride, u_stride: columns };
  for (const [s, { xAt, depth, loraAt, uAt, rank, scale }] of products.entries()) {
    const values = { x_at: xAt, depth, lora_at: loraAt, u_at: uAt, rank, tile: tiles, scale };
    Object.assign(params, Object.fromEntries(numbered(values, s)));
    tiles += Math.ceil(rank / RANKS);
  }
  const rows = options.rows ?? chooseRows(plan, tiles);
  const variant = {
    segments: products.length,
    transposed,
    aligned,
    loraVectors,
    rows,
    strength: strength !== undefined,
    halves: inHalves(x.tensor),
  };
  plan.dispatch(lowRankKernel(variant), {
    bindings: { x: x.tensor, lora, u, ...(strength && { strength }) },
    params,
    workgroups: (tokens) => [Math.ceil(tokens / (4 * rows)), tiles, 1],
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
  /** Vectors of tokens a workgroup; overrides the choice. */
  readonly rows?: number;
}

/** u = s · A·x of all adapted linears of a group; those with the same s lie one below the other and are one product. */
export function lowRankForward(plan: PlanBuilder, options: LowRankForwardOptions): void {
  const { x, inFeatures, adapter, u, strength, rows } = options;
  lowRank(plan, {
    x,
    lora: adapter.parameters,
    u,
    columns: adapter.columns,
    transposed: false,
    strength,
    rows,
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
  /** Vectors of tokens a workgroup; overrides the choice. */
  readonly rows?: number;
}

/** du = s · dy·B of all adapted linears of a group. */
export function lowRankBackward(plan: PlanBuilder, options: LowRankBackwardOptions): void {
  const { dy, outFeatures, adapter, du, rows } = options;
  lowRank(plan, {
    x: dy,
    lora: adapter.parameters,
    u: du,
    columns: adapter.columns,
    transposed: true,
    rows,
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

/** Ranks and features a workgroup of shaders/low_rank_gradient.wgsl. */
const NARROW = 16;
const WIDE = 64;
/** Tokens that an invocation reads before it multiplies them. */
const TOKEN_UNROLL = 4;

interface LowRankGradientVariant {
  readonly segments: number;
  readonly aligned: boolean;
  /** Whether the ranks' columns of u and du lie in whole groups of four. */
  readonly narrowVectors: boolean;
  readonly split: boolean;
  /** The group's input is in 16 bits. */
  readonly halves: boolean;
}

/**
 * dA [columns, in] += duᵀ·x and each dB [out, rank] += dyᵀ·u, u with its factor s, f32, in one dispatch (Hu et al. 2021, differentiated).
 * Relative error ≤ 2e-5 against float64; the order of summation is fixed.
 */
export function lowRankGradientKernel({ segments, aligned, narrowVectors, split, halves }: LowRankGradientVariant) {
  return defineKernel({
    name: 'low_rank_gradient',
    shader: 'low_rank_gradient.wgsl',
    bindings: {
      wide_0: vectorInput(aligned, halves),
      narrow_0: vectorInput(narrowVectors),
      wide_1: vectorInput(aligned),
      narrow_1: vectorInput(narrowVectors),
      ...(split ? { partials: output('f32') } : { gradients: inout('f32') }),
    } as Record<string, Binding>,
    params: {
      wide_stride_0: 'u32',
      x_at: 'u32',
      in_features: 'u32',
      wide_stride_1: 'u32',
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
      NARROW_VECTORS: narrowVectors,
      SPLIT: split,
      NARROW: NARROW / 4,
      UNROLL: TOKEN_UNROLL,
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

/**
 * Parts of the tokens: as many as make enough workgroups for a large GPU, of 512 tokens at least; two where there are as
 * many, since a part's sums wait for memory more than they add. Shorter parts gain less than adding them costs.
 */
function chooseSplits(tiles: number, { capacity, capabilities }: PlanBuilder): number {
  if (capabilities.software) return 1;
  const most = Math.min(4, Math.floor(capacity / 512));
  return Math.max(1, Math.min(most, Math.max(2, Math.ceil(160 / tiles))));
}

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
  const params: Record<string, number> = {
    wide_stride_0: x.stride,
    x_at: x.at,
    in_features: inFeatures,
    wide_stride_1: dy.stride,
    u_stride: adapter.columns,
    a_at: aAt,
    a_u_at: alone?.uAt ?? 0,
    a_rank: aRank,
    plane: count,
  };
  for (const [s, { uAt, rank, begin, width, bAt }] of parts.entries()) {
    const values = { u_at: uAt, rank, dy_at: dy.at + begin, out: width, b_at: bAt, tile: tiles };
    Object.assign(params, Object.fromEntries(numbered(values, s)));
    tiles += tilesOf(rank, width);
  }
  // Of one linear alone there are none: partial sums lie as the gradients do, and its A and B need not lie together.
  params.split_tokens = Math.ceil(plan.capacity / (options.splits ?? (alone ? 1 : chooseSplits(tiles, plan))));
  const splits = Math.ceil(plan.capacity / params.split_tokens);
  const aligned = wholeGroups(sizes);
  const narrowVectors = wholeGroups([
    adapter.columns,
    alone?.uAt ?? 0,
    aRank,
    ...parts.flatMap((p) => [p.uAt, p.rank]),
  ]);
  const split = splits > 1;
  const partials = split ? plan.tensor('partial gradients', splits * count * 4) : null;
  const halves = inHalves(x.tensor);
  plan.dispatch(lowRankGradientKernel({ segments: parts.length, aligned, narrowVectors, split, halves }), {
    bindings: {
      wide_0: x.tensor,
      narrow_0: du,
      wide_1: dy.tensor,
      narrow_1: u,
      ...(partials ? { partials } : { gradients: adapter.gradients }),
    },
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
