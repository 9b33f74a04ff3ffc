import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import { type Binding, defineKernel, inout, input, output } from './kernel.ts';
import { chooseTile, type Tile } from './matmul_tile.ts';

/** A matrix inside a row-major tensor: `at` columns in, `stride` elements from row to row. */
export interface Columns {
  readonly tensor: Tensor | TensorView;
  readonly stride: number;
  readonly at: number;
}

/** A quantized linear inside a layer's slab: word offsets (shaders/common/nf4.wgsl). */
export interface QuantizedLinear {
  readonly slab: Tensor;
  readonly codesAt: number;
  readonly absmaxAt: number;
  /** Unused without double quantization. */
  readonly nestedAt: number;
  /** f32 bias, or null. */
  readonly biasAt: number | null;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly doubleQuant: boolean;
}

export interface MatmulNf4Variant {
  readonly tile: Tile;
  readonly doubleQuant: boolean;
  /** y = x·W instead of x·Wᵀ: the gradient of the input. */
  readonly transposed: boolean;
  readonly aligned: boolean;
  readonly lora: boolean;
  readonly bias: boolean;
  readonly residual: boolean;
  readonly accumulate: boolean;
}

/**
 * y [T, width] = x [T, depth] · dequant(W)ᵀ (+ lora_scale · u·Bᵀ) (+ bias) (+ residual), f32; W [width, depth] as
 * bitsandbytes stores it, or transposed (see {@link MatmulNf4Variant}). Relative error ≤ 2e-5 against float64.
 * Source: LoRA (Hu et al. 2021), QLoRA (Dettmers et al. 2023) eq. 5.
 */
export function matmulNf4Kernel(v: MatmulNf4Variant) {
  const bindings: Record<string, Binding> = {
    x: input('f32'),
    slab: input('u32'),
    y: v.accumulate ? inout('f32') : output('f32'),
    ...(v.lora ? { u: input('f32'), lora: input('f32') } : {}),
    ...(v.residual ? { residual: input('f32') } : {}),
  };
  return defineKernel({
    name: v.transposed ? 'matmul_nf4_dx' : 'matmul_nf4',
    shader: 'matmul_nf4.wgsl',
    bindings,
    params: {
      depth: 'u32',
      width: 'u32',
      x_stride: 'u32',
      x_at: 'u32',
      y_stride: 'u32',
      y_at: 'u32',
      codes_at: 'u32',
      absmax_at: 'u32',
      nested_at: 'u32',
      bias_at: 'u32',
      rank: 'u32',
      lora_scale: 'f32',
    },
    constants: {
      ...v.tile,
      DOUBLE_QUANT: v.doubleQuant,
      TRANSPOSED: v.transposed,
      A_ALONG_K: true,
      B_ALONG_K: !v.transposed,
      ALIGNED: v.aligned,
      LORA: v.lora,
      BIAS: v.bias,
      RESIDUAL: v.residual,
      ACCUMULATE: v.accumulate,
    },
  });
}

export interface MatmulNf4Options {
  readonly x: Columns;
  readonly y: Columns;
  readonly linear: QuantizedLinear;
  readonly transposed: boolean;
  /** u [T, rank] and B [out, rank] (A [rank, in] when transposed). */
  readonly lora?: { readonly u: Tensor; readonly matrix: Tensor; readonly rank: number; readonly scale: number };
  /** [T, width], added to the result. */
  readonly residual?: Tensor;
  readonly accumulate?: boolean;
  /** Overrides the choice of tile. */
  readonly tile?: Tile;
}

export function matmulNf4(plan: PlanBuilder, options: MatmulNf4Options): void {
  const { x, y, linear, transposed, lora, residual } = options;
  const depth = transposed ? linear.outFeatures : linear.inFeatures;
  const width = transposed ? linear.inFeatures : linear.outFeatures;
  const bias = transposed ? null : linear.biasAt;
  const tile = options.tile ?? chooseTile(plan.capacity, width, plan.capabilities);
  const kernel = matmulNf4Kernel({
    tile,
    doubleQuant: linear.doubleQuant,
    transposed,
    aligned: linear.inFeatures % 4 === 0,
    lora: lora !== undefined,
    bias: bias !== null,
    residual: residual !== undefined,
    accumulate: options.accumulate ?? false,
  });
  const bindings: Record<string, Tensor | TensorView> = { x: x.tensor, slab: linear.slab, y: y.tensor };
  if (lora) Object.assign(bindings, { u: lora.u, lora: lora.matrix });
  if (residual) bindings.residual = residual;
  plan.dispatch(kernel, {
    bindings,
    params: {
      depth,
      width,
      x_stride: x.stride,
      x_at: x.at,
      y_stride: y.stride,
      y_at: y.at,
      codes_at: linear.codesAt,
      absmax_at: linear.absmaxAt,
      nested_at: linear.nestedAt,
      bias_at: bias ?? 0,
      rank: lora?.rank ?? 0,
      lora_scale: lora?.scale ?? 0,
    },
    workgroups: (tokens) => [Math.ceil(width / tile.TILE_N), Math.ceil(tokens / tile.TILE_M), 1],
    flopsPerToken: 2 * depth * width,
  });
}
