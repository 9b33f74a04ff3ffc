/**
 * The whole decoder in float64 with an explicit backward pass, composed of the kernels' references: what the engine's
 * logits, losses and gradients are held against. Slow on purpose; for models of a few thousand weights.
 */
import { type LinearSpec, layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import { inverseFrequenciesAt } from '../../formats/rope.ts';
import { attentionBackwardReference, attentionForwardReference } from '../kernels/attention.reference.ts';
import { crossEntropyReference } from '../kernels/cross_entropy.reference.ts';
import { doraBackwardReference, doraNormReference, doraReference } from '../kernels/dora.reference.ts';
import { embeddingReference } from '../kernels/embedding.reference.ts';
import { type HeadNormShape, headNormBackwardReference, headNormReference } from '../kernels/head_norm.reference.ts';
import { matmulGradientReference } from '../kernels/low_rank.reference.ts';
import { matmulReference, matmulTransposedReference } from '../kernels/matmul_dense.reference.ts';
import { linearReference } from '../kernels/matmul_nf4.reference.ts';
import { rmsNormReference } from '../kernels/rms_norm.reference.ts';
import { rmsNormBackwardReference } from '../kernels/rms_norm_backward.reference.ts';
import { ropeReference } from '../kernels/rope.reference.ts';
import { softCapReference } from '../kernels/soft_cap.reference.ts';
import { swigluBackwardReference, swigluReference } from '../kernels/swiglu.reference.ts';
import type { TokenBatch } from '../token_batch.ts';

type Matrix = Float64Array<ArrayBuffer>;

export interface ReferenceAdapter {
  readonly rank: number;
  /** s in y = base(x) + s·B(A(x)). */
  readonly scale: number;
  /** [rank, inFeatures]. */
  readonly a: Matrix;
  /** [outFeatures, rank]. */
  readonly b: Matrix;
  /** DoRA's, [outFeatures]. */
  readonly magnitude?: Matrix;
  /** Factors on A's input [T, in]: dropout's. With DoRA they are on what its factor changes of W's, too. */
  readonly mask?: Matrix;
  /** Taken for DoRA's norm in place of that of W + s·B·A: its gradient treats the norm as a constant. */
  readonly norm?: Matrix;
}

export interface DecoderReferenceOptions {
  readonly spec: ModelSpec;
  /** By tensor name, quantized ones already dequantized. */
  readonly weights: ReadonlyMap<string, Matrix>;
  /** By the linear's path, such as `model.layers.0.self_attn.q_proj`. */
  readonly adapters: ReadonlyMap<string, ReferenceAdapter>;
  readonly batch: TokenBatch;
  /** Multiplies the gradients; 1 / (trained tokens of the batch) by default. */
  readonly inverseTrainedTokens?: number;
}

export interface DecoderReferenceResult {
  /** Σ negative log likelihood over the trained tokens. */
  readonly loss: number;
  /** [T, vocab]. */
  readonly logits: Matrix;
  /** Of Σ nll · inverseTrainedTokens, by the linear's path. */
  readonly gradients: ReadonlyMap<string, AdapterGradients>;
}

export interface AdapterGradients {
  readonly a: Matrix;
  readonly b: Matrix;
  readonly magnitude?: Matrix;
}

/** What a layer's forward pass leaves for its backward pass. */
interface LayerRecord {
  readonly input: Matrix;
  readonly normed: Matrix;
  /** Before the norms of heads. */
  readonly rawQkv: Matrix;
  /** Rotated. */
  readonly qkv: Matrix;
  readonly attended: Matrix;
  /** Before the norm after attention. */
  readonly projected: Matrix;
  readonly middle: Matrix;
  readonly middleNormed: Matrix;
  readonly gateUp: Matrix;
  readonly activated: Matrix;
  /** Before the norm after the MLP. */
  readonly mlp: Matrix;
}

const add = (x: Matrix, y: Matrix): Matrix => x.map((value, i) => value + y[i]);

const masked = (x: Matrix, { mask }: ReferenceAdapter): Matrix => (mask ? x.map((value, i) => value * mask[i]) : x);

/** Columns at … at + width of a matrix whose rows have `stride` elements. */
function takeColumns(x: Matrix, stride: number, at: number, width: number): Matrix {
  return Float64Array.from({ length: (x.length / stride) * width }, (_, i) => {
    return x[Math.floor(i / width) * stride + at + (i % width)];
  });
}

export function decoderReference(options: DecoderReferenceOptions): DecoderReferenceResult {
  const { spec, weights, adapters, batch, inverseTrainedTokens = 1 / batch.trainedTokens } = options;
  const { heads, kvHeads, headDim } = spec.attention;
  const { epsilon, weightOffset, names } = spec.norm;
  const { hiddenSize, intermediateSize, vocabSize, linears } = spec;
  const gradients = new Map<string, AdapterGradients>();

  const tensor = (name: string): Matrix => {
    const found = weights.get(name);
    if (!found) throw new Error(`the reference has no tensor ${name}`);
    return found;
  };
  const prefix = (layer: number) => `${spec.tensors.layerPrefix}${layer}.`;
  const normWeight = (name: string) => tensor(name).map((w) => w + weightOffset);

  /** W·x + s·B·A·x' (+ bias), x' = dropout(x); with DoRA W·x' in place of W·x, and no bias. */
  const lowRankLinear = (layer: number, linear: LinearSpec, x: Matrix): Matrix => {
    const path = prefix(layer) + linear.name;
    const adapter = adapters.get(path);
    const { inFeatures: depth, outFeatures: width } = linear;
    return linearReference({
      x: adapter?.magnitude ? masked(x, adapter) : x,
      weight: tensor(`${path}.weight`),
      depth,
      width,
      bias: linear.bias && !adapter?.magnitude ? tensor(`${path}.bias`) : undefined,
      lora: adapter && {
        u: matmulReference(masked(x, adapter), adapter.a, depth, adapter.rank),
        matrix: adapter.b,
        rank: adapter.rank,
        scale: adapter.scale,
      },
    });
  };
  const normOf = (path: string, adapter: ReferenceAdapter) =>
    adapter.norm ?? doraNormReference(tensor(`${path}.weight`), adapter);
  const forwardLinear = (layer: number, linear: LinearSpec, x: Matrix): Matrix => {
    const path = prefix(layer) + linear.name;
    const adapter = adapters.get(path);
    const z = lowRankLinear(layer, linear, x);
    if (!adapter?.magnitude) return z;
    // As PEFT adds it up: what the base weights make of x, and of x' what the magnitudes change.
    const weight = tensor(`${path}.weight`);
    const inner = matmulReference(masked(x, adapter), weight, linear.inFeatures, linear.outFeatures);
    const base = matmulReference(x, weight, linear.inFeatures, linear.outFeatures);
    const y = doraReference(z, adapter.magnitude, normOf(path, adapter)).map((v, i) => base[i] + v - inner[i]);
    if (!linear.bias) return y;
    const bias = tensor(`${path}.bias`);
    return y.map((value, i) => value + bias[i % bias.length]);
  };
  /**
   * dx = dy·W + s·(dy·B)·A; with u = x·Aᵀ and du = s·dy·B: dB = s·dyᵀ·u, dA = duᵀ·x. With DoRA dz takes dy's place in all that
   * comes from x', and dz − dy goes to it through W.
   */
  const backwardLinear = (layer: number, linear: LinearSpec, x: Matrix, dOutput: Matrix): Matrix => {
    const path = prefix(layer) + linear.name;
    const { inFeatures, outFeatures } = linear;
    const adapter = adapters.get(path);
    const dora =
      adapter?.magnitude &&
      doraBackwardReference(dOutput, lowRankLinear(layer, linear, x), adapter.magnitude, normOf(path, adapter));
    const dy = dora?.dz ?? dOutput;
    const throughBase = (gradient: Matrix) =>
      matmulTransposedReference(gradient, tensor(`${path}.weight`), outFeatures, inFeatures);
    const dx = throughBase(dOutput);
    if (!adapter) return dx;
    const { rank, a, b } = adapter;
    const input = masked(x, adapter);
    const u = matmulReference(input, a, inFeatures, rank);
    const du = matmulTransposedReference(dy, b, outFeatures, rank).map((v) => v * adapter.scale);
    gradients.set(path, {
      a: matmulGradientReference(du, input, rank, inFeatures),
      b: matmulGradientReference(dy, u, outFeatures, rank).map((v) => v * adapter.scale),
      magnitude: dora?.dMagnitudes,
    });
    const dLowRank = matmulTransposedReference(du, a, rank, inFeatures);
    const dInput = dora ? add(dLowRank, throughBase(dora.dz.map((v, i) => v - dOutput[i]))) : dLowRank;
    return add(dx, masked(dInput, adapter));
  };
  /** Linears that share an input; outputs side by side. */
  const forwardLinears = (layer: number, group: readonly LinearSpec[], x: Matrix): Matrix => {
    const tokens = batch.ids.length;
    const total = group.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
    const y = new Float64Array(tokens * total);
    let at = 0;
    for (const linear of group) {
      const part = forwardLinear(layer, linear, x);
      for (let t = 0; t < tokens; t++) {
        y.set(part.subarray(t * linear.outFeatures, (t + 1) * linear.outFeatures), t * total + at);
      }
      at += linear.outFeatures;
    }
    return y;
  };
  const backwardLinears = (layer: number, group: readonly LinearSpec[], x: Matrix, dy: Matrix): Matrix => {
    const total = group.reduce((sum, { outFeatures }) => sum + outFeatures, 0);
    let dx: Matrix = new Float64Array(x.length);
    let at = 0;
    for (const linear of group) {
      dx = add(dx, backwardLinear(layer, linear, x, takeColumns(dy, total, at, linear.outFeatures)));
      at += linear.outFeatures;
    }
    return dx;
  };
  const attention = (layer: number) => ({ ...spec.attention, window: spec.layers[layer].window });
  const length = Math.max(...batch.positions) + 1;
  const rotate = (layer: number, qkv: Matrix, inverse: boolean): Matrix => {
    const { rope } = spec.layers[layer];
    if (rope === null) return qkv;
    const shape = { stride: (heads + 2 * kvHeads) * headDim, heads: heads + kvHeads, headDim };
    const turn = { ...spec.ropes[rope], inverseFrequencies: inverseFrequenciesAt(spec.ropes[rope], length) };
    return ropeReference(qkv, batch.positions, turn, shape, inverse);
  };

  const norm = (layer: number, name: string) => normWeight(`${prefix(layer)}${name}.weight`);
  const normed = (layer: number, name: string, from: Matrix) => rmsNormReference(from, norm(layer, name), epsilon);
  const dNormed = (layer: number, name: string, from: Matrix, dy: Matrix) =>
    rmsNormBackwardReference(from, norm(layer, name), epsilon, dy);
  /** A norm that not every model has, and its gradient. */
  const ifNormed = (layer: number, name: string | null, from: Matrix) =>
    name === null ? from : normed(layer, name, from);
  const ifDNormed = (layer: number, name: string | null, from: Matrix, dy: Matrix) =>
    name === null ? dy : dNormed(layer, name, from, dy);
  const headNorms = (layer: number): HeadNormShape | null => {
    if (names.query === null || names.key === null) return null;
    return { heads, kvHeads, query: norm(layer, names.query), key: norm(layer, names.key), epsilon };
  };

  let x = embeddingReference(batch.ids, tensor(spec.tensors.embedding), hiddenSize, spec.embeddingScale ?? 1);
  const records = spec.layers.map((_, layer): LayerRecord => {
    const input = x;
    const inputNormed = normed(layer, names.beforeAttention, input);
    const rawQkv = forwardLinears(layer, linears.qkv, inputNormed);
    const shape = headNorms(layer);
    const qkv = rotate(layer, shape ? headNormReference(rawQkv, shape) : rawQkv, false);
    const attended = attentionForwardReference(qkv, batch.documents, attention(layer)).o;
    const projected = forwardLinear(layer, linears.output, attended);
    const middle = add(input, ifNormed(layer, names.afterAttention, projected));
    const middleNormed = normed(layer, names.beforeMlp, middle);
    const gateUp = forwardLinears(layer, linears.gateUp, middleNormed);
    const activated = swigluReference(gateUp, intermediateSize, spec.activation);
    const mlp = forwardLinear(layer, linears.down, activated);
    x = add(middle, ifNormed(layer, names.afterMlp, mlp));
    return {
      input,
      normed: inputNormed,
      rawQkv,
      qkv,
      attended,
      projected,
      middle,
      middleNormed,
      gateUp,
      activated,
      mlp,
    };
  });

  const finalWeight = normWeight(spec.tensors.finalNorm);
  const head = tensor(spec.tiedHead ? spec.tensors.embedding : spec.tensors.head);
  const uncapped = matmulReference(rmsNormReference(x, finalWeight, epsilon), head, hiddenSize, vocabSize);
  const cap = spec.finalSoftCap;
  const logits = cap === null ? uncapped : softCapReference(uncapped, cap);
  const entropy = crossEntropyReference(logits, batch.targets, vocabSize, inverseTrainedTokens, cap);
  const loss = entropy.loss.reduce((sum, value, i) => (i % 2 === 0 ? sum + value : sum), 0);

  const dFinal = matmulTransposedReference(entropy.gradient, head, vocabSize, hiddenSize);
  let dx = rmsNormBackwardReference(x, finalWeight, epsilon, dFinal);
  for (let layer = records.length - 1; layer >= 0; layer--) {
    const record = records[layer];
    const dMlp = ifDNormed(layer, names.afterMlp, record.mlp, dx);
    const dActivated = backwardLinear(layer, linears.down, record.activated, dMlp);
    const dGateUp = swigluBackwardReference(record.gateUp, dActivated, intermediateSize, spec.activation);
    const dMiddleNormed = backwardLinears(layer, linears.gateUp, record.middleNormed, dGateUp);
    const dMiddle = add(dx, dNormed(layer, names.beforeMlp, record.middle, dMiddleNormed));
    const dProjected = ifDNormed(layer, names.afterAttention, record.projected, dMiddle);
    const dAttended = backwardLinear(layer, linears.output, record.attended, dProjected);
    const dRotated = attentionBackwardReference(record.qkv, batch.documents, attention(layer), dAttended);
    const dHeads = rotate(layer, dRotated, true);
    const shape = headNorms(layer);
    const dQkv = shape ? headNormBackwardReference(record.rawQkv, shape, dHeads) : dHeads;
    const dInputNormed = backwardLinears(layer, linears.qkv, record.normed, dQkv);
    dx = add(dMiddle, dNormed(layer, names.beforeAttention, record.input, dInputNormed));
  }
  return { loss, logits, gradients };
}

/** Paths of all linears of all layers, in the order they run: where adapters may be. */
export function linearPaths(spec: ModelSpec): { readonly path: string; readonly linear: LinearSpec }[] {
  return spec.layers.flatMap((_, layer) =>
    layerLinears(spec).map((linear) => ({ path: `${spec.tensors.layerPrefix}${layer}.${linear.name}`, linear })),
  );
}
