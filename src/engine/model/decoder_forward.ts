/** The decoder's forward pass as dispatches. */
import type { LinearSpec } from '../../formats/model_spec.ts';
import { attentionForward } from '../kernels/attention.ts';
import { doraForward } from '../kernels/dora.ts';
import { dropout } from '../kernels/dropout.ts';
import { embedding } from '../kernels/embedding.ts';
import { headNorm } from '../kernels/head_norm.ts';
import { lowRankForward } from '../kernels/low_rank.ts';
import { type GroupAdapter, matmulNf4 } from '../kernels/matmul_nf4.ts';
import type { Columns } from '../kernels/matmul_reduce.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { rope } from '../kernels/rope.ts';
import { swiglu } from '../kernels/swiglu.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import {
  attentionShape,
  attentionWidth,
  type Decoder,
  dropoutMask,
  groupOf,
  headNorms,
  type LayerActivations,
  linearOf,
  qkvWidth,
  withoutBias,
} from './decoder.ts';

/** All columns of a tensor with `stride` columns. */
export const whole = (tensor: Tensor, stride: number): Columns => ({ tensor, stride, at: 0 });

/** The embedding's rows for this micro-batch. */
export function embeddingForward(plan: PlanBuilder, d: Decoder, y: Tensor): void {
  const { dtype, shards } = d.weights.embedding;
  for (const { tensor, first, count, scalesAt } of shards) {
    embedding(plan, {
      ids: d.inputs.ids,
      table: tensor,
      dtype,
      scalesAt,
      y,
      width: d.spec.hiddenSize,
      rows: { first, count },
      scale: d.spec.embeddingScale ?? 1,
    });
  }
}

/** Linears of a layer that share an input, and what they are applied to. */
export interface GroupForward {
  readonly layer: number;
  readonly linears: readonly LinearSpec[];
  readonly x: Columns;
  readonly activations: Pick<LayerActivations, 'lowRank' | 'unscaled'>;
}

/** u = s · A·x, kept for the gradient of B; null where no linear of the group has an adapter. */
function lowRankOf(plan: PlanBuilder, d: Decoder, { layer, linears, x, activations }: GroupForward) {
  const { adapter, weights } = groupOf(d, layer, linears);
  const u = activations.lowRank.get(linears[0]);
  if (!adapter || !u) return null;
  if (d.lora.dropout === 0) {
    lowRankForward(plan, { x, inFeatures: weights.inFeatures, adapter, u, strength: d.strength });
    return { adapter, u };
  }
  for (const [i, linear] of linears.entries()) {
    const part = adapter.parts[i];
    if (part) droppedLowRank(plan, d, { layer, linear, x, lora: { u, adapter: { ...adapter, parts: [part] } } });
  }
  return { adapter, u };
}

interface DroppedLinear {
  readonly layer: number;
  readonly linear: LinearSpec;
  readonly x: Columns;
  /** The adapter of this linear alone. */
  readonly lora: { readonly adapter: GroupAdapter; readonly u: Tensor };
}

/** x' = dropout(x) by a linear's own mask, and its columns of u = s · A·x'. Returns x'. */
function droppedLowRank(plan: PlanBuilder, d: Decoder, { layer, linear, x, lora }: DroppedLinear): Columns {
  const { inFeatures } = linear;
  const y = plan.rows(`${layer} ${linear.name} after dropout`, inFeatures, d.stored === 'f16');
  dropout(plan, { mask: dropoutMask(d, layer, linear), x, y });
  const kept = whole(y, inFeatures);
  lowRankForward(plan, { x: kept, inFeatures, ...lora });
  return kept;
}

export interface GroupProduct extends GroupForward {
  readonly y: Tensor | null;
  readonly residual?: Tensor;
}

/**
 * y = W·x + s·B(A·x) (+ bias) (+ residual) of linears that share their input, outputs side by side; with DoRA bias and
 * residual come after the magnitudes. A null y leaves out what only y needs.
 */
function groupForward(plan: PlanBuilder, d: Decoder, options: GroupProduct): void {
  const { layer, linears, x, y, activations, residual } = options;
  if (d.lora.dropout > 0 && doraDropoutForward(plan, d, options)) return;
  const lora = lowRankOf(plan, d, options) ?? undefined;
  const group = d.weights.group(layer, linears);
  const z = activations.unscaled.get(linears[0]);
  if (z && lora && d.doraNorms) {
    matmulNf4(plan, { x, y: whole(z, group.outFeatures), group: withoutBias(group), transposed: false, lora });
    const { adapter } = lora;
    if (y) doraForward(plan, { group, adapter, norms: d.doraNorms.tensor, z, y, residual, strength: d.strength });
    return;
  }
  if (!y) return;
  matmulNf4(plan, { x, y: whole(y, group.outFeatures), group, transposed: false, lora, residual });
}

/**
 * DoRA with dropout. PEFT lets x through the base weights and x' = dropout(x), each linear's own, through the base weights
 * and the adapter: y = W·x + (g − 1)·W·x' + g·s·B(A·x') with g = magnitude / norm. The same with one product fewer to keep:
 * y = g·z + W·(x − x'), z = W·x' + s·B(A·x'). False, and nothing done, where the group has no such adapter.
 */
function doraDropoutForward(plan: PlanBuilder, d: Decoder, options: GroupProduct): boolean {
  const { layer, linears, x, y, activations, residual } = options;
  const { weights: group, adapter, name } = groupOf(d, layer, linears);
  const u = activations.lowRank.get(linears[0]);
  const z = activations.unscaled.get(linears[0]);
  if (!adapter || !u || !z || !d.doraNorms) return false;
  const { inFeatures, outFeatures } = group;
  const beside = y && plan.rows(`${layer} ${name} beside magnitudes`, outFeatures);
  for (const [i, linear] of linears.entries()) {
    const { weights, begin } = linearOf(withoutBias(group), i);
    const columns = (tensor: Tensor): Columns => ({ tensor, stride: outFeatures, at: begin });
    const product = { group: weights, transposed: false };
    const part = adapter.parts[i];
    if (!part) {
      if (beside) matmulNf4(plan, { ...product, x, y: columns(beside) });
      continue;
    }
    const lora = { u, adapter: { ...adapter, parts: [part] } };
    const kept = droppedLowRank(plan, d, { layer, linear, x, lora });
    matmulNf4(plan, { ...product, x: kept, y: columns(z), lora });
    if (!beside) continue;
    const taken = plan.rows(`${layer} ${linear.name} taken by dropout`, inFeatures, d.stored === 'f16');
    dropout(plan, { mask: dropoutMask(d, layer, linear), x, y: taken, complement: true });
    matmulNf4(plan, { ...product, x: whole(taken, inFeatures), y: columns(beside) });
  }
  if (y && beside) doraForward(plan, { group, adapter, norms: d.doraNorms.tensor, z, y, beside, residual });
  return true;
}

/** How a layer does what depends on where its tokens come from. */
export interface LayerPath {
  /** Linears with their adapters. */
  linears(plan: PlanBuilder, d: Decoder, product: GroupProduct): void;
  /** From `a.qkv`, rotated, to `a.attention`. */
  attention(plan: PlanBuilder, d: Decoder, layer: number, a: LayerActivations): void;
}

/** Whole documents at once. */
export const DOCUMENTS: LayerPath = {
  linears: groupForward,
  attention(plan, d, layer, { qkv, attention: o, lse }) {
    attentionForward(plan, { shape: attentionShape(d.spec, layer), qkv, documents: d.inputs.documents, o, lse });
  },
};

/**
 * One layer, from `a.input` to `output`; a null output stops before what a recomputed layer does not need: the last
 * product, or the norm after it.
 */
export function layerForward(
  plan: PlanBuilder,
  d: Decoder,
  layer: number,
  a: LayerActivations,
  output: Tensor | null,
  path: LayerPath = DOCUMENTS,
): void {
  const { spec, weights } = d;
  const { qkv, output: attentionOutput, gateUp, down } = spec.linears;
  const temporary = (what: string, perToken: number) => plan.rows(`${layer} ${what}`, perToken, d.stored === 'f16');
  const hidden = spec.hiddenSize;

  const normed1 = temporary('normed 1', hidden);
  rmsNorm(plan, { x: a.input, weight: weights.norm(layer, spec.norm.names.beforeAttention), y: normed1 });
  path.linears(plan, d, { layer, linears: qkv, x: whole(normed1, hidden), y: a.qkv, activations: a });
  const norms = headNorms(d, layer);
  if (norms && a.rawHeads) headNorm(plan, { qkv: a.qkv, raw: a.rawHeads, ...norms });
  ropeLayer(plan, d, layer, a.qkv);
  path.attention(plan, d, layer, a);
  const attended = whole(a.attention, attentionWidth(spec));
  const projection = { layer, linears: [attentionOutput], x: attended, activations: a };
  const { afterAttention, afterMlp } = spec.norm.names;
  if (afterAttention !== null && a.projected) {
    path.linears(plan, d, { ...projection, y: a.projected });
    rmsNorm(plan, { x: a.projected, weight: weights.norm(layer, afterAttention), y: a.middle, residual: a.input });
  } else {
    path.linears(plan, d, { ...projection, y: a.middle, residual: a.input });
  }

  const normed2 = temporary('normed 2', hidden);
  rmsNorm(plan, { x: a.middle, weight: weights.norm(layer, spec.norm.names.beforeMlp), y: normed2 });
  path.linears(plan, d, { layer, linears: gateUp, x: whole(normed2, hidden), y: a.gateUp, activations: a });
  const activated = temporary('activated', spec.intermediateSize);
  swiglu(plan, { activation: spec.activation, gateUp: a.gateUp, y: activated, width: spec.intermediateSize });
  const last = { layer, linears: [down], x: whole(activated, spec.intermediateSize), activations: a };
  if (afterMlp !== null && a.mlp) {
    path.linears(plan, d, { ...last, y: a.mlp });
    const weight = weights.norm(layer, afterMlp);
    if (output) rmsNorm(plan, { x: a.mlp, weight, y: output, residual: a.middle });
  } else {
    path.linears(plan, d, { ...last, y: output, residual: a.middle });
  }
}

/** Rotates queries and keys in place. */
function ropeLayer(plan: PlanBuilder, d: Decoder, layer: number, qkv: Tensor): void {
  const { rope: index } = d.spec.layers[layer];
  if (index === null) return;
  const { heads, kvHeads, headDim } = d.spec.attention;
  rope(plan, {
    x: qkv,
    positions: d.inputs.positions,
    tables: d.ropes[index],
    stride: qkvWidth(d.spec),
    heads: heads + kvHeads,
    headDim,
    inverse: false,
  });
}
