import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, inout, input } from './kernel.ts';
import type { Columns } from './matmul_nf4.ts';
import { chooseTile, type Tile } from './matmul_tile.ts';

/**
 * g [height, width] += scale · Σ_t p[t, :]ᵀ·q[t, :], f32: dA = duᵀ·x and dB = s·dyᵀ·u (LoRA). Relative error ≤ 2e-5
 * against float64; the order of summation is fixed.
 */
export function matmulGradientKernel(tile: Tile) {
  return defineKernel({
    name: 'matmul_gradient',
    shader: 'matmul_gradient.wgsl',
    bindings: { p: input('f32'), q: input('f32'), g: inout('f32') },
    params: {
      height: 'u32',
      width: 'u32',
      p_stride: 'u32',
      p_at: 'u32',
      q_stride: 'u32',
      q_at: 'u32',
      scale: 'f32',
    },
    constants: { ...tile, A_ALONG_K: false, B_ALONG_K: false },
  });
}

export interface MatmulGradientOptions {
  readonly p: Columns;
  readonly q: Columns;
  readonly g: Tensor;
  readonly height: number;
  readonly width: number;
  readonly scale?: number;
  readonly tile?: Tile;
}

export function matmulGradient(plan: PlanBuilder, options: MatmulGradientOptions): void {
  const { p, q, g, height, width } = options;
  const tile = options.tile ?? chooseTile(height, width, plan.capabilities);
  plan.dispatch(matmulGradientKernel(tile), {
    bindings: { p: p.tensor, q: q.tensor, g },
    params: {
      height,
      width,
      p_stride: p.stride,
      p_at: p.at,
      q_stride: q.stride,
      q_at: q.at,
      scale: options.scale ?? 1,
    },
    workgroups: () => [Math.ceil(width / tile.TILE_N), Math.ceil(height / tile.TILE_M), 1],
    flopsPerToken: 2 * height * width,
  });
}
