import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor } from '../plan/tensor.ts';
import {
  ATTENTION_MATRIX,
  type AttentionPass,
  type AttentionVariant,
  attentionConstants,
  attentionRows,
  chooseAttentionParts,
} from './attention_variant.ts';
import { defineKernel, type ElementType, grid, inout, input, numbers, output, type ParamType } from './kernel.ts';
import { MATRIX_EXTENSIONS } from './matmul_tile.ts';
import { type RopeTables, rope } from './rope.ts';

export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Multiplies q·k. */
  readonly scale: number;
  /** A query sees keys with index > q − window; null for all of its document. */
  readonly window: number | null;
  /** c in c·tanh(score/c), or null, as by default. */
  readonly softCap?: number | null;
}

const PARAMS = {
  group: 'u32',
  heads: 'u32',
  stride: 'u32',
  o_stride: 'u32',
  k_at: 'u32',
  v_at: 'u32',
  capacity: 'u32',
  window: 'u32',
  scale: 'f32',
  soft_cap: 'f32',
} as const satisfies Record<string, ParamType>;

/** Where rows and heads lie, counted in the elements that the kernels bind: vectors of four where heads allow it. */
function params({ heads, kvHeads, headDim, scale, window, softCap }: AttentionShape, capacity: number) {
  const head = headDim % 4 === 0 ? headDim / 4 : headDim;
  return {
    group: heads / kvHeads,
    heads,
    stride: (heads + 2 * kvHeads) * head,
    o_stride: heads * head,
    k_at: heads * head,
    v_at: (heads + kvHeads) * head,
    capacity,
    window: window ?? 0,
    scale,
    soft_cap: softCap ?? 1,
  };
}

const isCapped = ({ softCap }: AttentionShape): boolean => typeof softCap === 'number';

const choice = (plan: PlanBuilder, pass: AttentionPass, { heads, kvHeads, headDim, window }: AttentionShape) =>
  plan.attentionChoice({ pass, rows: plan.capacity, heads, kvHeads, headDim, window, precision: plan.precision });

/** The pass's shader, and what it enables. */
const files = (variant: AttentionVariant, pass: AttentionPass) => ({
  shader: variant === ATTENTION_MATRIX ? `attention_matrix_${pass}.wgsl` : `attention_${pass}.wgsl`,
  requires: variant === ATTENTION_MATRIX ? MATRIX_EXTENSIONS : [],
});

const elements = (headDim: number, halves = false): ElementType => numbers(headDim % 4 === 0, halves);

/** Matrices take heads of whole blocks by eight, as they are in 16 bits. */
const qkvElements = (headDim: number, variant: AttentionVariant, halves: boolean): ElementType =>
  halves && variant === ATTENTION_MATRIX ? 'vec8<f16>' : elements(headDim, halves);

/**
 * o [T, heads · headDim] = softmax(scale · q·kᵀ, soft-capped)·v, causal, within documents (documents [T, 2]: first token, one after
 * the last) and the window, grouped-query; lse [heads, capacity]. qkv [T, (heads + 2·kvHeads)·headDim]. Scores are
 * never stored (Dao 2023). Relative error ≤ 1e-5, by matrices 5e-3.
 *
 * @param halves qkv and o are in 16 bits, here and in what follows
 */
export function attentionForwardKernel(headDim: number, variant: AttentionVariant, capped: boolean, halves = false) {
  const type = elements(headDim, halves);
  return defineKernel({
    name: 'attention_forward',
    ...files(variant, 'forward'),
    bindings: {
      qkv: input(qkvElements(headDim, variant, halves)),
      documents: input('vec2<u32>'),
      o: output(type),
      lse: output('f32'),
    },
    params: PARAMS,
    constants: { ...attentionConstants(headDim, variant, { SCORES: 1, OUTS: 1 }), CAPPED: capped, HALVES: halves },
  });
}

export interface AttentionForwardOptions {
  readonly shape: AttentionShape;
  readonly qkv: Tensor;
  readonly documents: Tensor;
  readonly o: Tensor;
  readonly lse: Tensor;
  /** Chosen by shape and device unless given. */
  readonly variant?: AttentionVariant;
}

export function attentionForward(plan: PlanBuilder, options: AttentionForwardOptions): void {
  const { shape, qkv, documents, o, lse } = options;
  const { capacity } = plan;
  const variant = options.variant ?? choice(plan, 'forward', shape).variant;
  plan.dispatch(attentionForwardKernel(shape.headDim, variant, isCapped(shape), inHalves(qkv)), {
    bindings: { qkv, documents, o, lse },
    params: params(shape, capacity),
    workgroups: (tokens) => [shape.heads, Math.ceil(tokens / attentionRows(variant)), 1],
    flopsPerToken: 2 * shape.heads * shape.headDim * capacity,
  });
}

/**
 * The query part of d_qkv, laid out as qkv, and delta [heads, capacity] = Σ_d do·o. One workgroup owns each output: no
 * atomics. Relative error ≤ 1e-5, by matrices 5e-3.
 */
export function attentionBackwardQueryKernel(
  headDim: number,
  variant: AttentionVariant,
  capped: boolean,
  halves = false,
) {
  const type = elements(headDim);
  return defineKernel({
    name: 'attention_backward_query',
    ...files(variant, 'backward_query'),
    bindings: {
      qkv: input(qkvElements(headDim, variant, halves)),
      documents: input('vec2<u32>'),
      o: input(elements(headDim, halves)),
      d_o: input(type),
      lse: input('f32'),
      delta: output('f32'),
      d_qkv: output(type),
    },
    params: PARAMS,
    constants: { ...attentionConstants(headDim, variant, { SCORES: 2, OUTS: 1 }), CAPPED: capped, HALVES: halves },
  });
}

/**
 * The key and value parts of d_qkv, summed over each group's query heads; split, partial sums of each query head and
 * part of the queries instead, for {@link attentionBackwardSumKernel}. Relative error ≤ 1e-5, by matrices 5e-3.
 */
function backwardKeyValueDefinition(
  headDim: number,
  variant: AttentionVariant,
  capped: boolean,
  halves: boolean,
  split: boolean,
) {
  const type = elements(headDim);
  return {
    name: 'attention_backward_key_value',
    ...files(variant, 'backward_key_value'),
    bindings: {
      qkv: input(qkvElements(headDim, variant, halves)),
      documents: input('vec2<u32>'),
      d_o: input(type),
      lse: input('f32'),
      delta: input('f32'),
    },
    params: PARAMS,
    constants: {
      ...attentionConstants(headDim, variant, { SCORES: 2, OUTS: 2 }),
      CAPPED: capped,
      HALVES: halves,
      SPLIT: split,
    },
  } as const;
}

export function attentionBackwardKeyValueKernel(
  headDim: number,
  variant: AttentionVariant,
  capped: boolean,
  halves = false,
) {
  const base = backwardKeyValueDefinition(headDim, variant, capped, halves, false);
  return defineKernel({ ...base, bindings: { ...base.bindings, d_qkv: output(elements(headDim)) } });
}

export function attentionBackwardPartialsKernel(
  headDim: number,
  variant: AttentionVariant,
  capped: boolean,
  halves = false,
) {
  const base = backwardKeyValueDefinition(headDim, variant, capped, halves, true);
  return defineKernel({
    ...base,
    bindings: { ...base.bindings, partials: output(elements(headDim)) },
    params: { ...PARAMS, parts: 'u32' },
  });
}

/**
 * Adds partials [T, heads, parts, 2, headDim] over groups and parts into the key and value parts of d_qkv; with rope
 * also turns the gradients of queries and keys back. Relative error ≤ 1e-5, by matrices 5e-3.
 */
export function attentionBackwardSumKernel(headDim: number, withRope: boolean) {
  const bindings = { partials: input('f32'), d_qkv: inout('f32') };
  return defineKernel({
    name: 'attention_backward_sum',
    shader: 'attention_backward_sum.wgsl',
    bindings: withRope
      ? { ...bindings, positions: input('u32'), cosines: input('f32'), sines: input('f32') }
      : bindings,
    params: { group: 'u32', heads: 'u32', kv_heads: 'u32', parts: 'u32', half: 'u32' },
    constants: { HEAD_DIM: headDim, ROPE: withRope },
  });
}

export interface AttentionBackwardOptions extends AttentionForwardOptions {
  readonly dO: Tensor;
  readonly delta: Tensor;
  readonly dQkv: Tensor;
  /** With these d_qkv becomes the gradient of queries and keys as they were before this rotation. */
  readonly rope?: { readonly tables: RopeTables; readonly positions: Tensor };
  /** Chosen with the variant unless given; null for no split. */
  readonly parts?: number | null;
}

/** dq and delta, then dk and dv, then, where those were split or rope is to be turned back, one more dispatch. */
export function attentionBackward(plan: PlanBuilder, options: AttentionBackwardOptions): void {
  attentionBackwardQuery(plan, options);
  attentionBackwardKeyValue(plan, options);
}

/** dq and delta. */
export function attentionBackwardQuery(plan: PlanBuilder, options: AttentionBackwardOptions): void {
  const { shape, qkv, documents, o, lse, dO, delta, dQkv } = options;
  const { heads, headDim } = shape;
  const { capacity } = plan;
  const variant = options.variant ?? choice(plan, 'backward_query', shape).variant;
  plan.dispatch(attentionBackwardQueryKernel(headDim, variant, isCapped(shape), inHalves(qkv)), {
    bindings: { qkv, documents, o, d_o: dO, lse, delta, d_qkv: dQkv },
    params: params(shape, capacity),
    workgroups: (tokens) => [heads, Math.ceil(tokens / attentionRows(variant)), 1],
    flopsPerToken: 3 * heads * headDim * capacity,
  });
}

/** dk and dv, after delta; then, where those were split or rope is to be turned back, one more dispatch. */
export function attentionBackwardKeyValue(plan: PlanBuilder, options: AttentionBackwardOptions): void {
  const { shape, qkv, documents, lse, dO, delta, dQkv } = options;
  const { heads, kvHeads, headDim } = shape;
  const { capacity, capabilities } = plan;
  const capped = isCapped(shape);
  const halves = inHalves(qkv);
  const chosen = options.variant
    ? { variant: options.variant, parts: chooseAttentionParts(shape, capacity, options.variant, capabilities) }
    : choice(plan, 'backward_key_value', shape);
  const { variant } = chosen;
  const { parts = chosen.parts } = options;
  const flopsPerToken = 4 * heads * headDim * capacity;
  const tiles = (tokens: number) => Math.ceil(tokens / attentionRows(variant));
  if (parts === null) {
    plan.dispatch(attentionBackwardKeyValueKernel(headDim, variant, capped, halves), {
      bindings: { qkv, documents, d_o: dO, lse, delta, d_qkv: dQkv },
      params: params(shape, capacity),
      workgroups: (tokens) => [kvHeads, tiles(tokens), 1],
      flopsPerToken,
    });
    if (options.rope) {
      const { tables, positions } = options.rope;
      const stride = (heads + 2 * kvHeads) * headDim;
      rope(plan, { x: dQkv, positions, tables, stride, heads: heads + kvHeads, headDim, inverse: true });
    }
    return;
  }
  const partials = plan.tensor('partial d k, v', capacity * heads * parts * 2 * headDim * 4);
  plan.dispatch(attentionBackwardPartialsKernel(headDim, variant, capped, halves), {
    bindings: { qkv, documents, d_o: dO, lse, delta, partials },
    params: { ...params(shape, capacity), parts },
    workgroups: (tokens) => [heads, tiles(tokens), parts],
    flopsPerToken,
  });
  addPartials(plan, options, partials, parts);
}

function addPartials(plan: PlanBuilder, options: AttentionBackwardOptions, partials: Tensor, parts: number): void {
  const { heads, kvHeads, headDim } = options.shape;
  const turned = options.rope;
  const invocations = (turned ? heads + 2 * kvHeads : 2 * kvHeads) * Math.ceil(headDim / 2);
  plan.dispatch(attentionBackwardSumKernel(headDim, turned !== undefined), {
    bindings: {
      partials,
      d_qkv: options.dQkv,
      ...(turned && {
        positions: turned.positions,
        cosines: turned.tables.cosines,
        sines: turned.tables.sines,
      }),
    },
    params: { group: heads / kvHeads, heads, kv_heads: kvHeads, parts, half: turned?.tables.half ?? 0 },
    workgroups: (tokens) => grid(Math.ceil((tokens * invocations) / 64)),
    flopsPerToken: 2 * (heads / kvHeads) * parts * invocations,
  });
}

/**
 * Floating-point operations that each pass needs for one document of `tokens` tokens: 2 · headDim for each product of
 * each visible pair of query and key, two products forward, three for dq (scores anew), four for dk and dv.
 */
export function attentionFlops({ heads, headDim, window }: AttentionShape, tokens: number) {
  const width = Math.min(window ?? tokens, tokens);
  const pairs = (width * (width + 1)) / 2 + (tokens - width) * width;
  const product = 2 * headDim * heads * pairs;
  return { forward: 2 * product, backwardQuery: 3 * product, backwardKeyValue: 4 * product };
}
