/** The decoder's forward pass as dispatches. */
import type { LinearSpec } from '../../formats/model_spec.ts';
import { attentionForward } from '../kernels/attention.ts';
import { embedding } from '../kernels/embedding.ts';
import { matmulDense } from '../kernels/matmul_dense.ts';
import { type Columns, matmulNf4 } from '../kernels/matmul_nf4.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { rope } from '../kernels/rope.ts';
import { swiglu } from '../kernels/swiglu.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { adapterOf, attentionShape, attentionWidth, type Decoder, type LayerActivations, qkvWidth } from './decoder.ts';

/** All columns of a tensor with `stride` columns. */
export const whole = (tensor: Tensor, stride: number): Columns => ({ tensor, stride, at: 0 });

/** The embedding's rows for this micro-batch. */
export function embeddingForward(plan: PlanBuilder, d: Decoder, y: Tensor): void {
  const { dtype, shards } = d.weights.embedding;
  for (const { tensor, first, count } of shards) {
    embedding(plan, {
      ids: d.inputs.ids,
      table: tensor,
      dtype,
      y,
      width: d.spec.hiddenSize,
      rows: { first, count },
      scale: d.spec.embeddingScale ?? 1,
    });
  }
}

interface LinearForward {
  readonly layer: number;
  readonly linear: LinearSpec;
  readonly x: Columns;
  readonly y: Columns;
  readonly lowRank: ReadonlyMap<string, Tensor>;
  readonly residual?: Tensor;
}

/** y = W·x + s·B(A·x) (+ bias) (+ residual); u = A·x is kept for the gradient of B. */
function linearForward(plan: PlanBuilder, d: Decoder, { layer, linear, x, y, lowRank, residual }: LinearForward): void {
  const pair = adapterOf(d, layer, linear);
  const { rank, scale } = d.lora;
  const u = lowRank.get(linear.name);
  if (pair && u) {
    matmulDense(plan, {
      x,
      y: whole(u, rank),
      weight: pair.a,
      dtype: 'F32',
      depth: linear.inFeatures,
      width: rank,
    });
  }
  matmulNf4(plan, {
    x,
    y,
    linear: d.weights.linear(layer, linear.name),
    transposed: false,
    lora: pair && u ? { u, matrix: pair.b, rank, scale } : undefined,
    residual,
  });
}

/** Linears that share an input, their outputs side by side in y. */
function linearsForward(
  plan: PlanBuilder,
  d: Decoder,
  linears: readonly LinearSpec[],
  options: Omit<LinearForward, 'linear' | 'y'> & { readonly y: Tensor },
): void {
  const stride = linears.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
  let at = 0;
  for (const linear of linears) {
    linearForward(plan, d, { ...options, linear, y: { tensor: options.y, stride, at } });
    at += linear.outFeatures;
  }
}

/**
 * One layer, from `a.input` to `output`; a null output stops before the last product, which a recomputed layer does not
 * need.
 */
export function layerForward(
  plan: PlanBuilder,
  d: Decoder,
  layer: number,
  a: LayerActivations,
  output: Tensor | null,
): void {
  const { spec, weights } = d;
  const { qkv, output: attentionOutput, gateUp, down } = spec.linears;
  const { lowRank } = a;
  const temporary = (what: string, perToken: number) => plan.tensor(`${layer} ${what}`, plan.capacity * perToken * 4);
  const hidden = spec.hiddenSize;
  const shape = attentionShape(spec, layer);

  const normed1 = a.recomputable?.normed1 ?? temporary('normed 1', hidden);
  rmsNorm(plan, { x: a.input, weight: weights.norm(layer, spec.norm.names.beforeAttention), y: normed1 });
  linearsForward(plan, d, qkv, { layer, x: whole(normed1, hidden), y: a.qkv, lowRank });
  ropeLayer(plan, d, layer, a.qkv);
  attentionForward(plan, { shape, qkv: a.qkv, documents: d.inputs.documents, o: a.attention, lse: a.lse });
  linearForward(plan, d, {
    layer,
    linear: attentionOutput,
    x: whole(a.attention, attentionWidth(spec)),
    y: whole(a.middle, hidden),
    lowRank,
    residual: a.input,
  });

  const normed2 = a.recomputable?.normed2 ?? temporary('normed 2', hidden);
  rmsNorm(plan, { x: a.middle, weight: weights.norm(layer, spec.norm.names.beforeMlp), y: normed2 });
  linearsForward(plan, d, gateUp, { layer, x: whole(normed2, hidden), y: a.gateUp, lowRank });
  const activated = a.recomputable?.activated ?? temporary('activated', spec.intermediateSize);
  swiglu(plan, { gateUp: a.gateUp, y: activated, width: spec.intermediateSize });
  const x = whole(activated, spec.intermediateSize);
  if (output) {
    linearForward(plan, d, { layer, linear: down, x, y: whole(output, hidden), lowRank, residual: a.middle });
  } else {
    const pair = adapterOf(d, layer, down);
    const u = lowRank.get(down.name);
    if (pair && u) {
      const { rank } = d.lora;
      matmulDense(plan, { x, y: whole(u, rank), weight: pair.a, dtype: 'F32', depth: down.inFeatures, width: rank });
    }
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
