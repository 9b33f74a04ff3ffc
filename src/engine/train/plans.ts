/** The plans of a training run: micro-batch forward and backward, evaluation, probe, optimizer. */
import type { Gpu } from '../device/gpu.ts';
import { gradNorm, gradNormPartials, NORM_SPAN } from '../kernels/adamw.ts';
import { lossSum } from '../kernels/cross_entropy.ts';
import { type Decoder, type LayerActivations, layerActivations } from '../model/decoder.ts';
import { layerBackward } from '../model/decoder_backward.ts';
import { DOCUMENTS, embeddingForward, type LayerPath, layerForward } from '../model/decoder_forward.ts';
import { recordDoraNorms } from '../model/dora.ts';
import { allLogits, lossAndGradient } from '../model/output_head.ts';
import { PlanBuilder } from '../plan/plan.ts';
import type { ArenaTensor, BufferTensor, Tensor } from '../plan/tensor.ts';
import type { Moments } from './paging/moments.ts';

const residualStream = (plan: PlanBuilder, d: Decoder, name: string) =>
  plan.tensor(name, plan.capacity * d.spec.hiddenSize * 4);

/** Forward without a thought for backward: each layer's activations die with it. Returns the last residual stream. */
export function forwardOnly(plan: PlanBuilder, d: Decoder, path: LayerPath = DOCUMENTS): Tensor {
  let x: Tensor = residualStream(plan, d, 'embedded');
  embeddingForward(plan, d, x);
  const enter = d.weights.visits(plan, [...d.spec.layers.keys()]);
  for (let layer = 0; layer < d.spec.layers.length; layer++) {
    enter();
    const y = residualStream(plan, d, `layer ${layer} output`);
    layerForward(plan, d, layer, layerActivations(plan, d, layer, x), y, path);
    x = y;
  }
  return x;
}

/**
 * Loss and adapter gradients of one micro-batch, added to what is there.
 *
 * @param checkpointed for each layer whether only its input is kept and the rest computed again (Chen et al. 2016)
 */
export function trainPlan(
  gpu: Gpu,
  d: Decoder,
  logRing: BufferTensor,
  capacity: number,
  checkpointed: readonly boolean[],
): PlanBuilder {
  const plan = new PlanBuilder(gpu, capacity, d.precision);
  let x: Tensor = residualStream(plan, d, 'embedded');
  embeddingForward(plan, d, x);
  const kept: LayerActivations[] = [];
  const upwards = [...d.spec.layers.keys()];
  const enter = d.weights.visits(plan, [...upwards, ...upwards.toReversed()]);
  for (let layer = 0; layer < d.spec.layers.length; layer++) {
    enter();
    const activations = layerActivations(plan, d, layer, x);
    kept.push(activations);
    const y = residualStream(plan, d, `layer ${layer} output`);
    layerForward(plan, d, layer, activations, y);
    x = y;
  }
  const loss = plan.tensor('token losses', capacity * 2 * 4);
  const gradient = residualStream(plan, d, 'd residual stream');
  lossAndGradient(plan, d, x, loss, gradient);
  lossSum(plan, { loss, logRing });
  for (let layer = d.spec.layers.length - 1; layer >= 0; layer--) {
    enter();
    let activations = kept[layer];
    if (checkpointed[layer]) {
      activations = layerActivations(plan, d, layer, activations.input, ' again');
      layerForward(plan, d, layer, activations, null);
    }
    layerBackward(plan, d, layer, activations, gradient);
  }
  return plan;
}

/** Nothing is dropped but in training. */
const withoutDropout = (d: Decoder): Decoder => ({ ...d, lora: { ...d.lora, dropout: 0 } });

/** Σ loss of one micro-batch, without gradients. */
export function evaluationPlan(gpu: Gpu, d: Decoder, logRing: BufferTensor, capacity: number): PlanBuilder {
  const plan = new PlanBuilder(gpu, capacity, d.precision);
  const x = forwardOnly(plan, withoutDropout(d));
  const loss = plan.tensor('token losses', capacity * 2 * 4);
  lossAndGradient(plan, d, x, loss, null);
  lossSum(plan, { loss, logRing });
  return plan;
}

/** Logits of one micro-batch, to be read back. */
export function logitsPlan(gpu: Gpu, d: Decoder, capacity: number): { plan: PlanBuilder; logits: ArenaTensor } {
  const plan = new PlanBuilder(gpu, capacity, d.precision);
  return { plan, logits: allLogits(plan, d, forwardOnly(plan, withoutDropout(d))) };
}

export interface OptimizerBuffers {
  readonly moments: Moments;
  /** What codes of 8-bit moments stand for; null for 32 bits. */
  readonly tables: BufferTensor | null;
  readonly clip: BufferTensor;
  readonly logRing: BufferTensor;
  /** For each bank where the second learning rate begins and ends; null for one rate. */
  readonly borders: readonly { readonly tensor: BufferTensor; readonly count: number }[] | null;
}

/** Global norm, clip coefficient, AdamW over every page of moments, DoRA's norms of what it made; nothing is read back. */
export function optimizerPlan(gpu: Gpu, d: Decoder, optimizer: OptimizerBuffers): PlanBuilder {
  const { moments, clip, logRing } = optimizer;
  const { state } = d;
  const plan = new PlanBuilder(gpu, 1);
  const spans = state.banks.map(({ elements }) => Math.ceil(elements / NORM_SPAN));
  const count = spans.reduce((a, b) => a + b, 0);
  const partials = plan.tensor('norm partials', count * 4);
  let firstPartial = 0;
  for (const [i, { gradients, elements }] of state.banks.entries()) {
    gradNormPartials(plan, { gradients, partials, elements, firstPartial });
    firstPartial += spans[i];
  }
  gradNorm(plan, { partials, count, clip, logRing });
  moments.record(plan, state, optimizer);
  recordDoraNorms(plan, d);
  return plan;
}
