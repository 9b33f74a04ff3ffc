/** Final norm, output head and loss, in chunks of tokens, so that logits of a whole micro-batch never exist at once. */
import { crossEntropy } from '../kernels/cross_entropy.ts';
import { matmulDense } from '../kernels/matmul_dense.ts';
import { rmsNorm } from '../kernels/rms_norm.ts';
import { rmsNormBackward } from '../kernels/rms_norm_backward.ts';
import { softCap } from '../kernels/soft_cap.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import { type ArenaTensor, inHalves, type Tensor, view } from '../plan/tensor.ts';
import type { Decoder } from './decoder.ts';

/** Bytes of logits that exist at a time, at most. */
const LOGITS_BYTES = 128 * 2 ** 20;

/** Tokens a chunk: a multiple of 64, so that a chunk of the hidden state starts at a bindable offset. */
export function chunkTokens(vocab: number, capacity: number): number {
  const fitting = Math.max(64, Math.floor(LOGITS_BYTES / (vocab * 4) / 64) * 64);
  return Math.min(fitting, Math.ceil(capacity / 64) * 64);
}

/** logits [count, vocab], soft-capped where the model does, of tokens first … first + count − 1 of the normed hidden state. */
export function headForward(
  plan: PlanBuilder,
  d: Decoder,
  hidden: Tensor,
  logits: Tensor,
  first: number,
  count: number,
): void {
  const { hiddenSize, vocabSize } = d.spec;
  const { dtype, shards } = d.weights.head;
  const x = { tensor: view(hidden, first * hiddenSize * (inHalves(hidden) ? 2 : 4)), stride: hiddenSize, at: 0 };
  for (const shard of shards) {
    matmulDense(plan, {
      x,
      y: { tensor: logits, stride: vocabSize, at: shard.first },
      weight: shard.tensor,
      dtype,
      scalesAt: shard.scalesAt,
      depth: hiddenSize,
      width: shard.count,
      rows: { first, count },
    });
  }
  const { finalSoftCap: cap } = d.spec;
  if (cap !== null) softCap(plan, { x: logits, width: vocabSize, rows: { first, count }, cap });
}

/** dHidden = dLogits·W for a chunk. */
function headBackward(
  plan: PlanBuilder,
  d: Decoder,
  dLogits: Tensor,
  dHidden: Tensor,
  first: number,
  count: number,
): void {
  const { hiddenSize, vocabSize } = d.spec;
  const { dtype, shards } = d.weights.head;
  for (const [i, shard] of shards.entries()) {
    matmulDense(plan, {
      x: { tensor: dLogits, stride: vocabSize, at: shard.first },
      y: { tensor: view(dHidden, first * hiddenSize * 4), stride: hiddenSize, at: 0 },
      weight: shard.tensor,
      dtype,
      scalesAt: shard.scalesAt,
      depth: shard.count,
      width: hiddenSize,
      transposed: true,
      accumulate: i > 0,
      rows: { first, count },
    });
  }
}

/** The normed hidden state, in 16 bits where all that the head multiplies comes in whole groups of four. */
function finalNormed(plan: PlanBuilder, d: Decoder, x: Tensor): Tensor {
  const { hiddenSize, vocabSize } = d.spec;
  const { shards } = d.weights.head;
  const whole = [vocabSize, ...shards.flatMap(({ first, count }) => [first, count])].every((size) => size % 4 === 0);
  const hidden = plan.rows('final normed', hiddenSize, d.stored === 'f16' && whole);
  rmsNorm(plan, { x, weight: d.weights.finalNorm, y: hidden });
  return hidden;
}

/**
 * Each token's loss [T, 2] from the residual stream after the last layer; with `gradient` its gradient is written
 * there.
 */
export function lossAndGradient(plan: PlanBuilder, d: Decoder, x: Tensor, loss: Tensor, gradient: Tensor | null): void {
  const { hiddenSize, vocabSize } = d.spec;
  const hidden = finalNormed(plan, d, x);
  const chunk = chunkTokens(vocabSize, plan.capacity);
  const logits = plan.tensor('logits', chunk * vocabSize * 4, 'logits');
  const dHidden = gradient && plan.rows('d final normed', hiddenSize);
  for (let first = 0; first < plan.capacity; first += chunk) {
    const rows = { first, count: Math.min(chunk, plan.capacity - first) };
    headForward(plan, d, hidden, logits, rows.first, rows.count);
    crossEntropy(plan, {
      logits,
      targets: d.inputs.targets,
      loss,
      vocab: vocabSize,
      rows,
      gradient: gradient !== null,
      cap: d.spec.finalSoftCap,
    });
    if (dHidden) headBackward(plan, d, logits, dHidden, rows.first, rows.count);
  }
  if (gradient && dHidden) {
    rmsNormBackward(plan, { x, weight: d.weights.finalNorm, dy: dHidden, dx: gradient, accumulate: false });
  }
}

/** All logits [capacity, vocab] at once, kept to the end of the plan: for probes of few tokens. */
export function allLogits(plan: PlanBuilder, d: Decoder, x: Tensor): ArenaTensor {
  const hidden = finalNormed(plan, d, x);
  const logits = plan.tensor('logits', plan.capacity * d.spec.vocabSize * 4, 'logits');
  headForward(plan, d, hidden, logits, 0, plan.capacity);
  plan.keep(logits);
  return logits;
}
