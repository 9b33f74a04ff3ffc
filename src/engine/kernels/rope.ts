import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, inout, input } from './kernel.ts';

/** In 16 bits, two neighbouring pairs at a time: of a word both halves are written. */
const NEIGHBOURS = 2;

/**
 * Rotates the first `heads` heads of each row of x [T, stride] in place by its position's angles (half-split RoPE);
 * `inverse` applies the transposed rotation, which is the gradient. cosines and sines [positions, half], f32.
 * Relative error ≤ 1e-5.
 *
 * @param halves x is in 16 bits
 */
export const ropeKernel = (halves: boolean) =>
  defineKernel({
    name: 'rope',
    shader: 'rope.wgsl',
    bindings: {
      x: inout(halves ? 'vec2<f16>' : 'f32'),
      positions: input('u32'),
      cosines: input('f32'),
      sines: input('f32'),
    },
    params: { stride: 'u32', heads: 'u32', head_dim: 'u32', half: 'u32', sign: 'f32' },
    constants: { NEIGHBOURS: halves },
  });

export interface RopeTables {
  readonly cosines: Tensor;
  readonly sines: Tensor;
  /** Rotated dimensions / 2. */
  readonly half: number;
}

export interface RopeOptions {
  readonly x: Tensor;
  readonly positions: Tensor;
  readonly tables: RopeTables;
  readonly stride: number;
  /** Query and key heads together. */
  readonly heads: number;
  readonly headDim: number;
  readonly inverse: boolean;
}

export function rope(plan: PlanBuilder, { x, positions, tables, stride, heads, headDim, inverse }: RopeOptions): void {
  const halves = inHalves(x);
  if (halves && [stride, headDim, tables.half].some((size) => size % NEIGHBOURS !== 0))
    throw new Error(`rope turns heads of ${headDim}, ${2 * tables.half} of them turned, only in f32`);
  const own = halves ? NEIGHBOURS : 1;
  plan.dispatch(ropeKernel(halves), {
    bindings: { x, positions, cosines: tables.cosines, sines: tables.sines },
    params: { stride, heads, head_dim: headDim, half: tables.half, sign: inverse ? -1 : 1 },
    workgroups: (tokens) => grid(Math.ceil((tokens * heads * tables.half) / own / 64)),
    flopsPerToken: 6 * heads * tables.half,
  });
}
