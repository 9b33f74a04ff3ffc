import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor, type TensorView } from '../plan/tensor.ts';
import { type Binding, defineKernel, grid, inout, input, numbers, output } from './kernel.ts';
import type { Columns } from './matmul_reduce.ts';

const MASK = {
  mask_id: 'u32',
  threshold: 'u32',
  kept_scale: 'f32',
  dropped_scale: 'f32',
  width: 'u32',
  padded: 'u32',
} as const;

export interface DropoutMask {
  /** p: the share that is set to zero. */
  readonly probability: number;
  /** A number of the module's own: each has its own mask. */
  readonly module: number;
  /** The module's inputs. */
  readonly width: number;
}

/** Random words below this are dropped. */
export const dropoutThreshold = (probability: number) => Math.round(probability * 2 ** 32);

const maskParams = ({ probability, module, width }: DropoutMask) => ({
  mask_id: module,
  threshold: dropoutThreshold(probability),
  kept_scale: 1 / (1 - probability),
  dropped_scale: 0,
  width,
  padded: Math.ceil(width / 4) * 4,
});

const quads =
  ({ width }: DropoutMask) =>
  (tokens: number) =>
    grid(Math.ceil((tokens * Math.ceil(width / 4)) / 64));

/**
 * y [T, width] = dropout(x), by a generator that counts (Philox): step, micro-batch, module and element decide. The
 * complement is what that takes away: x − dropout(x). Exact: an element times one of two factors.
 *
 * @param halves x and y are in 16 bits
 */
export const dropoutKernel = (halves: boolean) =>
  defineKernel({
    name: 'dropout',
    shader: 'dropout.wgsl',
    bindings: { x: input(numbers(halves, halves)), y: output(numbers(halves, halves)) },
    params: { ...MASK, x_stride: 'u32', x_at: 'u32' },
    constants: { VECTORS: halves },
  });

export interface DropoutOptions {
  readonly mask: DropoutMask;
  readonly x: Columns;
  readonly y: Tensor;
  /** x − dropout(x) in place of dropout(x). */
  readonly complement?: boolean;
}

export function dropout(plan: PlanBuilder, { mask, x, y, complement }: DropoutOptions): void {
  const factors = complement ? { kept_scale: 1 - 1 / (1 - mask.probability), dropped_scale: 1 } : {};
  const halves = inHalves(y);
  if (halves && [mask.width, x.stride, x.at].some((size) => size % 4 !== 0))
    throw new Error(`dropout over rows of ${mask.width} of ${x.stride} only in f32`);
  plan.dispatch(dropoutKernel(halves), {
    bindings: { x: x.tensor, y },
    params: { ...maskParams(mask), ...factors, x_stride: x.stride, x_at: x.at },
    workgroups: quads(mask),
    flopsPerToken: 30 * mask.width,
  });
}

/**
 * dx [T, width] += dropout(du·A (+ addend)) with the same mask: the gradient of one module's input. Relative error ≤ 2e-5.
 */
export const dropoutExpandKernel = (addend: boolean) =>
  defineKernel({
    name: 'dropout_expand',
    shader: 'dropout_expand.wgsl',
    bindings: {
      du: input('f32'),
      lora: input('f32'),
      dx: inout('f32'),
      ...(addend ? { addend: input('f32') } : {}),
    } as Record<string, Binding>,
    params: { ...MASK, rank: 'u32', a_at: 'u32', du_stride: 'u32', du_at: 'u32' },
    constants: { ADDEND: addend },
  });

export interface DropoutExpandOptions {
  readonly mask: DropoutMask;
  readonly du: Columns;
  readonly lora: Tensor | TensorView;
  /** A [rank, width] in it. */
  readonly aAt: number;
  readonly rank: number;
  readonly dx: Tensor;
  /** [T, width], which goes through the mask with du·A. */
  readonly addend?: Tensor;
}

export function dropoutExpand(plan: PlanBuilder, options: DropoutExpandOptions): void {
  const { mask, du, lora, aAt, rank, dx, addend } = options;
  plan.dispatch(dropoutExpandKernel(addend !== undefined), {
    bindings: { du: du.tensor, lora, dx, ...(addend && { addend }) },
    params: { ...maskParams(mask), rank, a_at: aAt, du_stride: du.stride, du_at: du.at },
    workgroups: quads(mask),
    flopsPerToken: 2 * rank * mask.width + 30 * mask.width,
  });
}
