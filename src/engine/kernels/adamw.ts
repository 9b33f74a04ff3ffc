import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { LOG_FIELDS } from './cross_entropy.ts';
import { type Binding, defineKernel, grid, inout, input, output } from './kernel.ts';

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

/**
 * One AdamW update of `elements` parameters with the gradient times clip[0], decay first (Loshchilov & Hutter 2019,
 * torch.optim.AdamW); rates and bias corrections come from the step. f32. Relative error ≤ 1e-5. With two rates, LoRA+'s
 * (arXiv 2402.12354), the second one begins and ends at the borders.
 */
const adamwKernelFor = (twoRates: boolean) =>
  defineKernel({
    name: 'adamw',
    shader: 'adamw.wgsl',
    bindings: {
      parameters: inout('f32'),
      gradients: input('f32'),
      moment1: inout('f32'),
      moment2: inout('f32'),
      clip: input('f32'),
      ...(twoRates ? { borders: input('u32') } : {}),
    } as Record<string, Binding>,
    params: { elements: 'u32', borders: 'u32' },
    constants: { TWO_RATES: twoRates },
  });

export interface AdamwOptions {
  readonly parameters: Tensor;
  readonly gradients: Tensor;
  readonly moment1: Tensor;
  readonly moment2: Tensor;
  readonly clip: Tensor;
  readonly elements: number;
  /** Ascending elements at which the learning rate changes between the first and the second; null: the first for all. */
  readonly borders?: { readonly tensor: Tensor; readonly count: number } | null;
}

export function adamw(plan: PlanBuilder, options: AdamwOptions): void {
  const { parameters, gradients, moment1, moment2, clip, elements, borders = null } = options;
  plan.dispatch(adamwKernelFor(borders !== null), {
    bindings: { parameters, gradients, moment1, moment2, clip, ...(borders ? { borders: borders.tensor } : {}) },
    params: { elements, borders: borders?.count ?? 0 },
    workgroups: () => grid(Math.ceil(elements / GROUP)),
    // The optimizer's plan runs for one token.
    flopsPerToken: 16 * elements,
  });
}
