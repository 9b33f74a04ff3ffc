import type { Capabilities } from '../device/capabilities.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor, type TensorView } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';
import { elementsARead, floatsConstants } from './float_dtype.ts';
import { type Binding, defineKernel, input, numbers, output, type ParamType } from './kernel.ts';
import { type Columns, matmulReduce } from './matmul_reduce.ts';
import {
  isMatrix,
  leftOperand,
  type MatmulShape,
  splitDepth,
  type Tile,
  tileConstants,
  tileRequirements,
} from './matmul_tile.ts';

/** A linear inside a layer's slab, in 4 bits or not: word offsets (shaders/common/nf4.wgsl). */
export interface QuantizedLinear {
  /** Of its codes, or of its elements where it is in floats. */
  readonly codesAt: number;
  /** Null where it is in floats. */
  readonly absmaxAt: number | null;
  /** Unused without double quantization. */
  readonly nestedAt: number;
  /** f32 bias, or null. */
  readonly biasAt: number | null;
  readonly inFeatures: number;
  readonly outFeatures: number;
}

/** Linears of one slab that share an input; their outputs lie side by side. */
export interface LinearGroup {
  readonly slab: Tensor;
  readonly doubleQuant: boolean;
  /** What those of them are in that are not in 4 bits; null where all are. */
  readonly floats: FloatDtype | null;
  readonly linears: readonly QuantizedLinear[];
  readonly inFeatures: number;
  /** All linears' together. */
  readonly outFeatures: number;
}

/** The adapter of a group's linears: one run of parameters, offsets in elements. */
export interface GroupAdapter {
  readonly parameters: Tensor | TensorView;
  /** In the same order. */
  readonly gradients: Tensor | TensorView;
  /** Columns of u: all ranks together. */
  readonly columns: number;
  /** A [columns, in] of all adapted linears, one below the other. */
  readonly aAt: number;
  /** For each linear its adapter; null where it has none. */
  readonly parts: readonly (AdapterPart | null)[];
}

export interface AdapterPart {
  /** Its columns of u = s · A·x, which has the factor s = α/r (or α/√r) in it. */
  readonly uAt: number;
  readonly rank: number;
  readonly scale: number;
  /** B [out, rank]. */
  readonly bAt: number;
  /** DoRA: the magnitudes [out] among the parameters, and the norms [out] among all linears' norms. */
  readonly dora?: { readonly magnitudeAt: number; readonly normAt: number };
}

export interface MatmulNf4Variant {
  readonly tile: Tile;
  readonly segments: number;
  readonly doubleQuant: boolean;
  /** As of {@link LinearGroup}. */
  readonly floats: FloatDtype | null;
  /** y = x·W instead of x·Wᵀ: the gradient of the input. */
  readonly transposed: boolean;
  readonly aligned: boolean;
  readonly splitK: boolean;
  readonly lora: boolean;
  /** Everything about the low-rank product comes in groups of four. */
  readonly loraVectors: boolean;
  readonly bias: boolean;
  readonly residual: boolean;
  /** What is in 16 bits: x, y. */
  readonly xHalves: boolean;
  readonly yHalves: boolean;
}

/** Weights in 4 bits that are read at a time: a row is whole runs, and a block of 64 is two. */
export const CODE_RUN = 32;

/** The same where some may be in floats. */
export const runOf = (floats: FloatDtype | null): number => (floats ? elementsARead(floats) : CODE_RUN);

const SEGMENT_FIELDS = [
  'begin',
  'width',
  'codes_at',
  'absmax_at',
  'nested_at',
  'bias_at',
  'lora_at',
  'u_at',
  'rank',
  'tile',
] as const;
type SegmentValues = Record<(typeof SEGMENT_FIELDS)[number], number>;

/**
 * y [T, width] = x [T, depth] · dequant(W)ᵀ (+ u·Bᵀ) (+ bias) (+ residual), f32; W [width, depth] as bitsandbytes
 * stores it, some linears perhaps in f32, f16 or bf16, or transposed (see {@link MatmulNf4Variant}). Relative error ≤ 2e-5 against float64. Source: LoRA (Hu et
 * al. 2021), QLoRA (Dettmers et al. 2023) eq. 5.
 */
export function matmulNf4Kernel(v: MatmulNf4Variant, capabilities: Capabilities) {
  const run = runOf(v.floats);
  const left = leftOperand(v.tile, v.aligned, v.xHalves);
  const floats = numbers(v.aligned);
  const lowRank = numbers(v.loraVectors);
  const bindings: Record<string, Binding> = {
    x: input(left.type),
    slab: input(isMatrix(v.tile) ? 'vec4<u32>' : 'u32'),
    y: output(numbers(v.aligned, v.yHalves)),
    ...(v.lora ? { u: input(lowRank), lora: input(lowRank) } : {}),
    ...(v.residual ? { residual: input(floats) } : {}),
  };
  const params: Record<string, ParamType> = {
    depth: 'u32',
    width: 'u32',
    x_stride: 'u32',
    x_at: 'u32',
    y_stride: 'u32',
    y_at: 'u32',
    u_stride: 'u32',
    split_depth: 'u32',
    plane: 'u32',
  };
  for (let s = 0; s < v.segments; s++) for (const field of SEGMENT_FIELDS) params[`${field}_${s}`] = 'u32';
  return defineKernel({
    name: v.transposed ? 'matmul_nf4_dx' : 'matmul_nf4',
    shader: 'matmul_nf4.wgsl',
    requires: tileRequirements(v.tile),
    bindings,
    params,
    constants: {
      ...tileConstants(v.tile, capabilities, run),
      ...floatsConstants(v.floats),
      ...(isMatrix(v.tile) ? { RUN_EIGHTS: run / 8 } : {}),
      SLAB_VECTORS: isMatrix(v.tile),
      SEGMENTS: v.segments,
      DOUBLE_QUANT: v.doubleQuant,
      TRANSPOSED: v.transposed,
      B_ALONG_K: !v.transposed,
      ALIGNED: v.aligned,
      ...left.constants,
      SPLIT_K: v.splitK,
      LORA: v.lora,
      LOW_RANK: v.lora,
      LORA_VECTORS: v.loraVectors,
      BIAS: v.bias,
      RESIDUAL: v.residual,
    },
  });
}

export interface MatmulNf4Options {
  readonly x: Columns;
  readonly y: Columns;
  readonly group: LinearGroup;
  readonly transposed: boolean;
  /** Adds u·Bᵀ; when transposed, u is the gradient d(A·x), and u·A is added. Both have the factor s in them. */
  readonly lora?: { readonly u: Tensor; readonly adapter: GroupAdapter };
  /** [T, width], added to the result. */
  readonly residual?: Tensor;
  /** Overrides the choice of tile and split. */
  readonly shape?: MatmulShape;
}

/** Offsets and ranks are whole groups of four. */
const inVectors = ({ columns, aAt, parts }: GroupAdapter) =>
  wholeGroups(columns, aAt, ...parts.flatMap((part) => (part ? [part.uAt, part.rank, part.bAt] : [])));

const wholeGroups = (...sizes: number[]) => sizes.every((size) => size % 4 === 0);

export function matmulNf4(plan: PlanBuilder, options: MatmulNf4Options): void {
  const { x, y, group, transposed, lora, residual } = options;
  const depth = transposed ? group.outFeatures : group.inFeatures;
  const width = transposed ? group.inFeatures : group.outFeatures;
  const widths = transposed ? [width] : group.linears.map(({ outFeatures }) => outFeatures);
  const op = transposed ? 'matmul_nf4_dx' : 'matmul_nf4';
  const bias = !transposed && group.linears.some(({ biasAt }) => biasAt !== null);
  const aligned = wholeGroups(
    ...[x.stride, x.at, y.stride, y.at, group.inFeatures],
    ...group.linears.map(({ outFeatures }) => outFeatures),
  );
  const wholeRuns =
    (transposed ? width : depth) % CODE_RUN === 0 && group.linears.every(({ codesAt }) => codesAt % 4 === 0);
  const wholeEights = !inHalves(x.tensor) || (x.stride % 8 === 0 && x.at % 8 === 0);
  // Eight weights in f32 are no single read.
  const precision = aligned && wholeRuns && wholeEights && group.floats !== 'F32' ? plan.precision : 'f32';
  const shape = options.shape ?? plan.matmulShape({ op, rows: plan.capacity, widths, depth, precision });
  const { tile, splits } = shape;
  const split = splits > 1;
  const segments = segmentValues(group, transposed, tile, lora?.adapter);
  const tiles = widths.reduce((sum, w) => sum + Math.ceil(w / tile.TILE_N), 0);
  const kernel = matmulNf4Kernel(
    {
      tile,
      segments: segments.length,
      doubleQuant: group.doubleQuant,
      floats: group.floats,
      transposed,
      aligned,
      splitK: split,
      lora: lora !== undefined,
      loraVectors: aligned && lora !== undefined && inVectors(lora.adapter),
      bias: bias && !split,
      residual: residual !== undefined && !split,
      xHalves: inHalves(x.tensor),
      yHalves: inHalves(y.tensor) && !split,
    },
    plan.capabilities,
  );
  const partials = split ? plan.tensor('partial sums', splits * plan.capacity * width * 4) : null;
  const bindings: Record<string, Tensor | TensorView> = { x: x.tensor, slab: group.slab, y: partials ?? y.tensor };
  if (lora) Object.assign(bindings, { u: lora.u, lora: lora.adapter.parameters });
  if (residual && !split) bindings.residual = residual;
  const part = splitDepth(depth, shape);
  const params: Record<string, number> = {
    depth,
    width,
    x_stride: x.stride,
    x_at: x.at,
    y_stride: split ? width : y.stride,
    y_at: split ? 0 : y.at,
    u_stride: lora?.adapter.columns ?? 0,
    split_depth: part,
    plane: plan.capacity * width,
  };
  for (const [s, values] of segments.entries()) {
    for (const field of SEGMENT_FIELDS) params[`${field}_${s}`] = values[field];
  }
  const parts = split ? Math.ceil(depth / part) : 1;
  plan.dispatch(kernel, {
    bindings,
    params,
    workgroups: (tokens) => [tiles, Math.ceil(tokens / tile.TILE_M), parts],
    flopsPerToken: 2 * depth * width,
  });
  if (partials) {
    let begin = 0;
    const biases = group.linears.map(({ biasAt, outFeatures }) => {
      begin += outFeatures;
      return { begin: begin - outFeatures, biasAt };
    });
    matmulReduce(plan, {
      partials,
      splits: parts,
      y,
      width,
      rows: { first: 0, count: plan.capacity },
      bias: bias ? { slab: group.slab, segments: biases } : undefined,
      residual,
      aligned,
    });
  }
}

/** What the shader knows of each linear. Transposed, the first one's low-rank fields stand for the whole group. */
function segmentValues(
  group: LinearGroup,
  transposed: boolean,
  tile: Tile,
  adapter: GroupAdapter | undefined,
): SegmentValues[] {
  let begin = 0;
  let tiles = 0;
  return group.linears.map((linear, i) => {
    const part = adapter?.parts[i];
    const values: SegmentValues = {
      begin,
      width: linear.outFeatures,
      codes_at: linear.codesAt,
      absmax_at: linear.absmaxAt ?? 0,
      nested_at: linear.nestedAt,
      bias_at: linear.biasAt ?? 0,
      lora_at: (transposed ? adapter?.aAt : part?.bAt) ?? 0,
      u_at: (transposed ? 0 : part?.uAt) ?? 0,
      rank: (transposed ? adapter?.columns : part?.rank) ?? 0,
      tile: tiles,
    };
    begin += linear.outFeatures;
    tiles += Math.ceil(linear.outFeatures / tile.TILE_N);
    return values;
  });
}
