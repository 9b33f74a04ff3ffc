/** The decoder's backward pass as dispatches: gradients of the adapters; frozen weights get none. */
import type { LinearSpec } from '../../formats/model_spec.ts';
import { attentionBackward } from '../kernels/attention.ts';
import { matmulDense } from '../kernels/matmul_dense.ts';
import { matmulGradient } from '../kernels/matmul_gradient.ts';
import { type Columns, matmulNf4 } from '../kernels/matmul_nf4.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { rmsNormBackward } from '../kernels/rms_norm_backward.ts';
import { swiglu, swigluBackward } from '../kernels/swiglu.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { adapterOf, attentionShape, attentionWidth, type Decoder, type LayerActivations, qkvWidth } from './decoder.ts';
import { whole } from './decoder_forward.ts';

interface LinearBackward {
  readonly layer: number;
  readonly linear: LinearSpec;
  /** The linear's input. */
  readonly x: Columns;
  readonly dy: Columns;
  /** Null where nothing before this linear trains. */
  readonly dx: Columns | null;
  readonly accumulate: boolean;
  readonly lowRank: ReadonlyMap<string, Tensor>;
}

/** du = s·dy·B, dB += s·dyᵀ·u, dA += duᵀ·x, dx (+)= dy·W + du·A (Hu et al. 2021, differentiated). */
function linearBackward(plan: PlanBuilder, d: Decoder, options: LinearBackward): void {
  const { layer, linear, x, dy, dx, accumulate, lowRank } = options;
  const pair = adapterOf(d, layer, linear);
  const u = lowRank.get(linear.name);
  const { rank, scale } = d.lora;
  let du: Tensor | null = null;
  if (pair && u) {
    du = plan.tensor(`${layer} ${linear.name} d(A·x)`, plan.capacity * rank * 4);
    const { inFeatures, outFeatures } = linear;
    matmulDense(plan, {
      x: dy,
      y: whole(du, rank),
      weight: pair.b,
      dtype: 'F32',
      depth: outFeatures,
      width: rank,
      transposed: true,
      scale,
    });
    matmulGradient(plan, { p: dy, q: whole(u, rank), g: pair.gradB, height: outFeatures, width: rank, scale });
    matmulGradient(plan, { p: whole(du, rank), q: x, g: pair.gradA, height: rank, width: inFeatures });
  }
  if (!dx) return;
  matmulNf4(plan, {
    x: dy,
    y: dx,
    linear: d.weights.linear(layer, linear.name),
    transposed: true,
    lora: pair && du ? { u: du, matrix: pair.a, rank, scale: 1 } : undefined,
    accumulate,
  });
}

/** Linears that share an input; their gradients of it add up. */
function linearsBackward(
  plan: PlanBuilder,
  d: Decoder,
  linears: readonly LinearSpec[],
  options: Omit<LinearBackward, 'linear' | 'dy' | 'accumulate'> & { readonly dy: Tensor },
): void {
  const stride = linears.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
  let at = 0;
  for (const [i, linear] of linears.entries()) {
    linearBackward(plan, d, { ...options, linear, dy: { tensor: options.dy, stride, at }, accumulate: i > 0 });
    at += linear.outFeatures;
  }
}

/**
 * One layer, from the gradient of its output to that of its input, in place in `gradient` [T, hidden]. The first layer
 * ends with its adapters: nothing before it trains.
 */
export function layerBackward(
  plan: PlanBuilder,
  d: Decoder,
  layer: number,
  a: LayerActivations,
  gradient: Tensor,
): void {
  const { spec, weights } = d;
  const { qkv, output, gateUp, down } = spec.linears;
  const { lowRank } = a;
  const hidden = spec.hiddenSize;
  const width = spec.intermediateSize;
  const temporary = (what: string, perToken: number) => plan.tensor(`${layer} ${what}`, plan.capacity * perToken * 4);
  const norm1 = weights.norm(layer, spec.norm.names.beforeAttention);
  const norm2 = weights.norm(layer, spec.norm.names.beforeMlp);

  let activated = a.recomputable?.activated;
  if (!activated) {
    activated = temporary('activated again', width);
    swiglu(plan, { gateUp: a.gateUp, y: activated, width });
  }
  const dActivated = temporary('d activated', width);
  linearBackward(plan, d, {
    layer,
    linear: down,
    x: whole(activated, width),
    dy: whole(gradient, hidden),
    dx: whole(dActivated, width),
    accumulate: false,
    lowRank,
  });
  const dGateUp = temporary('d gate, up', 2 * width);
  swigluBackward(plan, { gateUp: a.gateUp, dy: dActivated, dGateUp, width });
  let normed2 = a.recomputable?.normed2;
  if (!normed2) {
    normed2 = temporary('normed 2 again', hidden);
    rmsNorm(plan, { x: a.middle, weight: norm2, y: normed2 });
  }
  const dNormed2 = temporary('d normed 2', hidden);
  linearsBackward(plan, d, gateUp, {
    layer,
    x: whole(normed2, hidden),
    dy: dGateUp,
    dx: whole(dNormed2, hidden),
    lowRank,
  });
  rmsNormBackward(plan, { x: a.middle, weight: norm2, dy: dNormed2, dx: gradient, accumulate: true });

  const dAttention = temporary('d attention', attentionWidth(spec));
  linearBackward(plan, d, {
    layer,
    linear: output,
    x: whole(a.attention, attentionWidth(spec)),
    dy: whole(gradient, hidden),
    dx: whole(dAttention, attentionWidth(spec)),
    accumulate: false,
    lowRank,
  });
  const dQkv = temporary('d q, k, v', qkvWidth(spec));
  const { rope } = spec.layers[layer];
  attentionBackward(plan, {
    shape: attentionShape(spec, layer),
    qkv: a.qkv,
    documents: d.inputs.documents,
    o: a.attention,
    lse: a.lse,
    dO: dAttention,
    delta: temporary('delta', spec.attention.heads),
    dQkv,
    rope: rope === null ? undefined : { tables: d.ropes[rope], positions: d.inputs.positions },
  });
  let normed1 = a.recomputable?.normed1;
  if (!normed1) {
    normed1 = temporary('normed 1 again', hidden);
    rmsNorm(plan, { x: a.input, weight: norm1, y: normed1 });
  }
  const first = layer === 0;
  const dNormed1 = first ? null : temporary('d normed 1', hidden);
  linearsBackward(plan, d, qkv, {
    layer,
    x: whole(normed1, hidden),
    dy: dQkv,
    dx: dNormed1 && whole(dNormed1, hidden),
    lowRank,
  });
  if (dNormed1) rmsNormBackward(plan, { x: a.input, weight: norm1, dy: dNormed1, dx: gradient, accumulate: true });
}
