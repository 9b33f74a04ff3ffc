import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor, TensorView } from '../plan/tensor.ts';
import { LOG_FIELDS } from './cross_entropy.ts';
import { type Binding, type Constants, defineKernel, grid, inout, input, output } from './kernel.ts';
import { DYNAMIC_MAP, midpoints, UNSIGNED_DYNAMIC_MAP } from './nf4_codebook.ts';

/** Gradients a workgroup sums for the norm. */
export const NORM_SPAN = 4096;
const GROUP = 256;

/** partials[first_partial + i] = Σ g² over the i-th span of NORM_SPAN gradients. */
export const gradNormPartialsKernel = defineKernel({
  name: 'grad_norm_partials',
  shader: 'grad_norm_partials.wgsl',
  bindings: { gradients: input('f32'), partials: output('f32') },
  params: { elements: 'u32', first_partial: 'u32' },
  constants: { GROUP, SPAN: NORM_SPAN },
});

export interface GradNormPartialsOptions {
  readonly gradients: Tensor;
  readonly partials: Tensor;
  readonly elements: number;
  readonly firstPartial: number;
}

export function gradNormPartials(plan: PlanBuilder, options: GradNormPartialsOptions): void {
  const { gradients, partials, elements, firstPartial } = options;
  plan.dispatch(gradNormPartialsKernel, {
    bindings: { gradients, partials },
    params: { elements, first_partial: firstPartial },
    workgroups: () => grid(Math.ceil(elements / NORM_SPAN)),
    flopsPerToken: 2 * elements,
  });
}

/** clip[0] = min(1, max_grad_norm / (norm + 1e-6)), as torch's clip_grad_norm_; the norm goes to the log ring.
 * −1 when the norm is NaN or infinite: then {@link adamw} changes nothing. */
export const gradNormKernel = defineKernel({
  name: 'grad_norm',
  shader: 'grad_norm.wgsl',
  bindings: { partials: input('f32'), clip: output('f32'), log_ring: inout('f32') },
  params: { partials: 'u32' },
  constants: { GROUP, LOG_FIELDS },
});

export interface GradNormOptions {
  readonly partials: Tensor;
  readonly count: number;
  readonly clip: Tensor;
  readonly logRing: Tensor;
}

export function gradNorm(plan: PlanBuilder, { partials, count, clip, logRing }: GradNormOptions): void {
  plan.dispatch(gradNormKernel, {
    bindings: { partials, clip, log_ring: logRing },
    params: { partials: count },
    workgroups: () => [1, 1, 1],
  });
}

/** Bits that a moment is kept in. */
export type MomentBits = 8 | 32;

/** Parameters that share a scale where moments are in 8 bits; bitsandbytes' block. */
export const MOMENT_BLOCK = 256;

/** Bytes of a page: the moments of so many parameters (a multiple of {@link MOMENT_BLOCK}), in the order kernels have them. */
export const momentPageBytes = (bits: MomentBits, pageElements: number) =>
  bits === 32 ? 8 * pageElements : 2 * pageElements + (8 * pageElements) / MOMENT_BLOCK;

/** Values of signed and unsigned 8-bit codes, then the midpoints of neighbours of either, 256 words each. */
export function momentTables(): Float32Array<ArrayBuffer> {
  const tables = new Float32Array(4 * 256);
  tables.set(DYNAMIC_MAP);
  tables.set(UNSIGNED_DYNAMIC_MAP, 256);
  tables.set(midpoints(DYNAMIC_MAP), 512);
  tables.set(midpoints(UNSIGNED_DYNAMIC_MAP), 768);
  return tables;
}

/**
 * One AdamW update of `elements` parameters with the gradient times clip[0], decay first (Loshchilov & Hutter 2019,
 * torch.optim.AdamW); rates and bias corrections come from the step. f32. Relative error ≤ 1e-5. With two rates, LoRA+'s
 * (arXiv 2402.12354), the second one begins and ends at the borders.
 *
 * In 8 bits the moments are bitsandbytes' block-wise ones (Dettmers et al. 2022), its CPU form: the nearest code of the
 * dynamic maps, the update from moments that are not yet coded. A page of zeros stands for moments of zero.
 */
const adamwKernelFor = (bits: MomentBits, pageElements: number, twoRates: boolean) =>
  defineKernel({
    name: bits === 32 ? 'adamw' : 'adamw_8bit',
    shader: bits === 32 ? 'adamw.wgsl' : 'adamw_8bit.wgsl',
    bindings: {
      parameters: inout('f32'),
      gradients: input('f32'),
      moments: inout(bits === 32 ? 'f32' : 'u32'),
      clip: input('f32'),
      ...(bits === 8 ? { tables: input('f32') } : {}),
      ...(twoRates ? { borders: input('u32') } : {}),
    } as Record<string, Binding>,
    params: { elements: 'u32', first: 'u32', borders: 'u32' },
    constants: {
      PAGE: pageElements,
      TWO_RATES: twoRates,
      ...(bits === 8 ? { GROUP: MOMENT_BLOCK / 4 } : {}),
    } as Constants,
  });

/** How moments lie in the pages that {@link adamw} updates. */
export interface MomentLayout {
  readonly bits: MomentBits;
  readonly pageElements: number;
  /** {@link momentTables}, for 8 bits. */
  readonly tables: Tensor | null;
}

export interface AdamwOptions {
  readonly parameters: Tensor | TensorView;
  readonly gradients: Tensor | TensorView;
  /** Whole pages, for the parameters in order. */
  readonly moments: Tensor | TensorView;
  readonly layout: MomentLayout;
  readonly clip: Tensor;
  readonly elements: number;
  /** Ascending elements at which the learning rate changes between the first and the second; null: the first for all. */
  readonly borders?: { readonly tensor: Tensor; readonly count: number } | null;
  /** What the borders count the first of these parameters as. */
  readonly first?: number;
}

export function adamw(plan: PlanBuilder, options: AdamwOptions): void {
  const { parameters, gradients, moments, layout, clip, elements, borders = null, first = 0 } = options;
  const { bits, pageElements, tables } = layout;
  plan.dispatch(adamwKernelFor(bits, pageElements, borders !== null), {
    bindings: {
      ...{ parameters, gradients, moments, clip },
      ...(tables ? { tables } : {}),
      ...(borders ? { borders: borders.tensor } : {}),
    },
    params: { elements, first, borders: borders?.count ?? 0 },
    workgroups: () => grid(Math.ceil(elements / GROUP)),
    // The optimizer's plan runs for one token.
    flopsPerToken: 16 * elements,
  });
}
