/** The decoder's backward pass as dispatches: gradients of the adapters; frozen weights get none. */
import type { LinearSpec } from '../../formats/model_spec.ts';
import { attentionBackward } from '../kernels/attention.ts';
import { doraBackward } from '../kernels/dora.ts';
import { dropout, dropoutExpand } from '../kernels/dropout.ts';
import { headNormBackward } from '../kernels/head_norm.ts';
import { lowRankBackward, lowRankGradient } from '../kernels/low_rank.ts';
import { matmulNf4 } from '../kernels/matmul_nf4.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { rmsNormBackward } from '../kernels/rms_norm_backward.ts';
import { swigluBackward } from '../kernels/swiglu.ts';
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
} from './decoder.ts';
import { whole } from './decoder_forward.ts';

interface GroupBackward {
  readonly layer: number;
  readonly linears: readonly LinearSpec[];
  /** The gradient of the group's outputs, side by side. */
  readonly dy: Tensor;
  readonly activations: Pick<LayerActivations, 'lowRank' | 'unscaled'>;
}

/**
 * A group's backward pass in two halves: dx = dy·W + du·A with du = s·dy·B at once (dx null where nothing before this
 * group trains), the adapters' gradients when the function that it returns is called with the group's input, which may
 * have to be computed again first (Hu et al. 2021, differentiated). With dropout the gradient of the adapter's input goes
 * through each linear's mask: dx += mask·(du·A), with DoRA mask·(du·A + (dz − dy)·W), and dy·W in place of dz·W.
 */
function groupBackward(
  plan: PlanBuilder,
  d: Decoder,
  { layer, linears, dy: dOutputs, activations }: GroupBackward,
  dx: Tensor | null,
): (x: Tensor) => void {
  const { name, weights: group, adapter } = groupOf(d, layer, linears);
  const { inFeatures } = group;
  const outFeatures = linears.map((linear) => linear.outFeatures);
  const z = activations.unscaled.get(linears[0]);
  const norms = d.doraNorms?.tensor;
  // With DoRA the gradient before the magnitudes takes dy's place.
  const scaled = z && plan.rows(`${layer} ${name} d before magnitudes`, group.outFeatures);
  const dropped = d.lora.dropout > 0;
  // What dropout takes away goes around the magnitudes: W gets dy of the whole input, and dz − dy of what is kept.
  const rest =
    scaled && dropped && dx ? plan.rows(`${layer} ${name} d inside magnitudes`, group.outFeatures) : undefined;
  if (adapter && z && scaled && norms) doraBackward(plan, { group, adapter, norms, z, dy: dOutputs, dz: scaled, rest });
  const dy = whole(scaled ?? dOutputs, group.outFeatures);
  const u = activations.lowRank.get(linears[0]);
  const du = adapter && plan.rows(`${layer} ${name} d(A·x)`, adapter.columns);
  if (adapter && du) lowRankBackward(plan, { dy, outFeatures, adapter, du });
  if (dx) {
    const lora = adapter && du && !dropped ? { u: du, adapter } : undefined;
    const through = rest ? whole(dOutputs, group.outFeatures) : dy;
    matmulNf4(plan, { x: through, y: whole(dx, inFeatures), group, transposed: true, lora });
  }
  if (!adapter || !u || !du) return () => {};
  const gradient = { inFeatures, dy, outFeatures, u, du, adapter };
  if (!dropped) return (x) => lowRankGradient(plan, { ...gradient, x: whole(x, inFeatures) });
  const parts = linears.flatMap((linear, i) => {
    const part = adapter.parts[i];
    return part ? [{ i, part, mask: dropoutMask(d, layer, linear), linear }] : [];
  });
  for (const { i, part, mask, linear } of dx ? parts : []) {
    const { rank, uAt } = part;
    const aAt = adapter.aAt + uAt * inFeatures;
    const own = { tensor: du, stride: adapter.columns, at: uAt };
    const addend = rest && plan.rows(`${layer} ${linear.name} d after dropout`, inFeatures);
    if (addend) {
      const { weights, begin } = linearOf(group, i);
      const x = { tensor: rest, stride: group.outFeatures, at: begin };
      matmulNf4(plan, { x, y: whole(addend, inFeatures), group: weights, transposed: true });
    }
    if (dx) dropoutExpand(plan, { mask, du: own, lora: adapter.parameters, aAt, rank, dx, addend });
  }
  return (x) => {
    for (const { i, mask, linear } of parts) {
      const kept = plan.rows(`${layer} ${linear.name} after dropout again`, inFeatures, d.stored === 'f16');
      dropout(plan, { mask, x: whole(x, inFeatures), y: kept });
      lowRankGradient(plan, { ...gradient, x: whole(kept, inFeatures), only: i });
    }
  };
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
  const hidden = spec.hiddenSize;
  const width = spec.intermediateSize;
  const temporary = (what: string, perToken: number) => plan.rows(`${layer} ${what}`, perToken);
  /** What a linear read, computed again. */
  const again = (what: string, perToken: number) => plan.rows(`${layer} ${what} again`, perToken, d.stored === 'f16');
  const norm1 = weights.norm(layer, spec.norm.names.beforeAttention);
  const norm2 = weights.norm(layer, spec.norm.names.beforeMlp);
  /** The gradient before a norm that ends a branch; the residual stream's own where there is none. */
  const beforeNorm = (what: string, name: string | null, x: Tensor | null): Tensor => {
    if (name === null || !x) return gradient;
    const dx = temporary(`d ${what}`, hidden);
    rmsNormBackward(plan, { x, weight: weights.norm(layer, name), dy: gradient, dx, accumulate: false });
    return dx;
  };

  const dMlp = beforeNorm('MLP', spec.norm.names.afterMlp, a.mlp);
  const dActivated = temporary('d activated', width);
  const downGradient = groupBackward(plan, d, { layer, linears: [down], dy: dMlp, activations: a }, dActivated);
  const dGateUp = temporary('d gate, up', 2 * width);
  const activated = again('activated', width);
  swigluBackward(plan, { activation: spec.activation, gateUp: a.gateUp, dy: dActivated, dGateUp, activated, width });
  downGradient(activated);

  const dNormed2 = temporary('d normed 2', hidden);
  const gateUpGradient = groupBackward(plan, d, { layer, linears: gateUp, dy: dGateUp, activations: a }, dNormed2);
  const normed2 = again('normed 2', hidden);
  rmsNormBackward(plan, { x: a.middle, weight: norm2, dy: dNormed2, dx: gradient, accumulate: true, normed: normed2 });
  gateUpGradient(normed2);

  const dAttention = temporary('d attention', attentionWidth(spec));
  const dProjected = beforeNorm('projected', spec.norm.names.afterAttention, a.projected);
  groupBackward(plan, d, { layer, linears: [output], dy: dProjected, activations: a }, dAttention)(a.attention);
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
  const norms = headNorms(d, layer);
  if (norms && a.rawHeads) headNormBackward(plan, { qkv: dQkv, raw: a.rawHeads, ...norms });
  const first = layer === 0;
  const dNormed1 = first ? null : temporary('d normed 1', hidden);
  const qkvGradient = groupBackward(plan, d, { layer, linears: qkv, dy: dQkv, activations: a }, dNormed1);
  const normed1 = again('normed 1', hidden);
  if (dNormed1) {
    rmsNormBackward(plan, { x: a.input, weight: norm1, dy: dNormed1, dx: gradient, accumulate: true, normed: normed1 });
  } else {
    rmsNorm(plan, { x: a.input, weight: norm1, y: normed1 });
  }
  qkvGradient(normed1);
}
