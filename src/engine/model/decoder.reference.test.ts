/** The float64 decoder's gradients of every adapter against central differences of its loss. */
import { describe, expect, test } from 'vitest';
import type { LinearSpec, ModelSpec } from '../../formats/model_spec.ts';
import { doraNormReference } from '../kernels/dora.reference.ts';
import { gradientError } from '../kernels/testing/central_differences.ts';
import { documentsOf } from '../kernels/testing/documents.ts';
import { Random } from '../kernels/testing/random.ts';
import type { TokenBatch } from '../token_batch.ts';
import {
  type DecoderReferenceOptions,
  decoderReference,
  linearPaths,
  type ReferenceAdapter,
} from './decoder.reference.ts';

const TOLERANCE = 1e-6;

/** A llama-like decoder with every dimension different, biases on q, k and v, and a window in its second layer. */
function tinySpec(tiedHead: boolean): ModelSpec {
  const [hiddenSize, intermediateSize, vocabSize, headDim] = [12, 10, 17, 4];
  const linear = (name: string, inFeatures: number, outFeatures: number, bias = false) => ({
    name,
    inFeatures,
    outFeatures,
    bias,
  });
  return {
    modelType: 'tiny',
    hiddenSize,
    intermediateSize,
    vocabSize,
    maxPositions: 64,
    attention: { heads: 4, kvHeads: 2, headDim, scale: headDim ** -0.5, softCap: null },
    activation: 'silu',
    norm: {
      epsilon: 1e-5,
      weightOffset: 0,
      names: {
        beforeAttention: 'input_layernorm',
        afterAttention: null,
        beforeMlp: 'post_attention_layernorm',
        afterMlp: null,
        query: null,
        key: null,
      },
    },
    linears: {
      qkv: [
        linear('self_attn.q_proj', hiddenSize, 16, true),
        linear('self_attn.k_proj', hiddenSize, 8, true),
        linear('self_attn.v_proj', hiddenSize, 8, true),
      ],
      output: linear('self_attn.o_proj', 16, hiddenSize),
      gateUp: [
        linear('mlp.gate_proj', hiddenSize, intermediateSize),
        linear('mlp.up_proj', hiddenSize, intermediateSize),
      ],
      down: linear('mlp.down_proj', intermediateSize, hiddenSize),
    },
    ropes: [{ inverseFrequencies: [1, 0.1], attentionScaling: 1, long: null }],
    layers: [
      { rope: 0, window: null },
      { rope: 0, window: 3 },
    ],
    embeddingScale: null,
    finalSoftCap: null,
    tiedHead,
    tensors: {
      embedding: 'model.embed_tokens.weight',
      finalNorm: 'model.norm.weight',
      head: 'lm_head.weight',
      layerPrefix: 'model.layers.',
    },
    eosTokenIds: [0],
    padTokenId: null,
  };
}

/** Three documents, some of their targets not trained. */
function tinyBatch(random: Random, vocabSize: number): TokenBatch {
  const starts = [0, 5, 6];
  const tokens = 11;
  const targets = Int32Array.from({ length: tokens }, (_, t) => (t % 4 === 1 ? -1 : random.integer(0, vocabSize)));
  const documents = documentsOf(starts, tokens);
  return {
    ids: random.integers(tokens, 0, vocabSize),
    targets,
    positions: Uint32Array.from({ length: tokens }, (_, t) => t - documents[2 * t]),
    documents,
    trainedTokens: targets.filter((target) => target >= 0).length,
  };
}

/** Everything that Gemma, Qwen3, Phi-3 and SmolLM3 add, at once: caps that bend, fused linears, a layer without positions. */
function richSpec(): ModelSpec {
  const spec = tinySpec(false);
  const { qkv, output, gateUp, down } = spec.linears;
  const fused = (name: string, [first, ...rest]: readonly LinearSpec[]): LinearSpec[] => [
    { ...first, name, outFeatures: rest.reduce((sum, { outFeatures }) => sum + outFeatures, first.outFeatures) },
  ];
  return {
    ...spec,
    attention: { ...spec.attention, scale: 0.7, softCap: 1.5 },
    activation: 'gelu_tanh',
    norm: {
      epsilon: 1e-3,
      weightOffset: 1,
      names: {
        beforeAttention: 'input_layernorm',
        afterAttention: 'post_attention_layernorm',
        beforeMlp: 'pre_feedforward_layernorm',
        afterMlp: 'post_feedforward_layernorm',
        query: 'self_attn.q_norm',
        key: 'self_attn.k_norm',
      },
    },
    linears: { qkv: fused('qkv_proj', qkv), output: { ...output, bias: true }, gateUp: fused('gate_up', gateUp), down },
    ropes: [
      { inverseFrequencies: [1], attentionScaling: 1.3, long: null },
      {
        inverseFrequencies: [1, 0.1],
        attentionScaling: 1,
        long: { kind: 'fixed', beyond: 4, inverseFrequencies: [0.7, 0.2] },
      },
    ],
    layers: [
      { rope: 1, window: 3 },
      { rope: null, window: null },
      { rope: 0, window: null },
    ],
    embeddingScale: 1.7,
    finalSoftCap: 2,
  };
}

const SPECS = { 'tied head': tinySpec(true), 'own head': tinySpec(false), 'all that others add': richSpec() };

interface Adapters {
  readonly dora?: boolean;
  readonly dropout?: boolean;
}

function tinyOptions(spec: ModelSpec, random: Random, { dora, dropout }: Adapters = {}): DecoderReferenceOptions {
  const normal = (count: number, deviation: number) => Float64Array.from(random.normal(count, deviation));
  const norm = (width = spec.hiddenSize) => normal(width, 0.3).map((w) => 1 - spec.norm.weightOffset + w);
  const weights = new Map([
    [spec.tensors.embedding, normal(spec.vocabSize * spec.hiddenSize, 1)],
    [spec.tensors.finalNorm, norm()],
  ]);
  if (!spec.tiedHead) weights.set(spec.tensors.head, normal(spec.vocabSize * spec.hiddenSize, 0.5));
  spec.layers.forEach((_, layer) => {
    for (const [role, name] of Object.entries(spec.norm.names)) {
      const width = role === 'query' || role === 'key' ? spec.attention.headDim : spec.hiddenSize;
      if (name !== null) weights.set(`model.layers.${layer}.${name}.weight`, norm(width));
    }
  });
  const adapters = new Map<string, ReferenceAdapter>();
  for (const { path, linear } of linearPaths(spec)) {
    weights.set(`${path}.weight`, normal(linear.inFeatures * linear.outFeatures, 0.4));
    if (linear.bias) weights.set(`${path}.bias`, normal(linear.outFeatures, 0.5));
    const rank = 3;
    const [a, b] = [normal(rank * linear.inFeatures, 0.3), normal(linear.outFeatures * rank, 0.3)];
    const magnitude = dora ? Float64Array.from(random.uniform(linear.outFeatures, 0.5, 2)) : undefined;
    // As constant as the gradient takes it.
    const norm = dora ? doraNormReference(weights.get(`${path}.weight`)!, { a, b, rank, scale: 1.5 }) : undefined;
    adapters.set(path, { rank, scale: 1.5, a, b, magnitude, norm });
  }
  const batch = tinyBatch(random, spec.vocabSize);
  for (const [path, adapter] of dropout ? adapters : []) {
    const values = random.uniform((batch.ids.length * adapter.a.length) / adapter.rank, 0, 1);
    adapters.set(path, { ...adapter, mask: Float64Array.from(values, (value) => (value < 0.4 ? 0 : 1 / 0.6)) });
  }
  return { spec, weights, adapters, batch };
}

test.each(linearPaths(tinySpec(true)))('dropout, $path: gradients of A and B', ({ path }) => {
  const random = new Random(Math.floor(Math.random() * 2 ** 32));
  const options = tinyOptions(tinySpec(true), random, { dropout: true });
  const meanLoss = () => decoderReference(options).loss / options.batch.trainedTokens;
  const { a, b } = options.adapters.get(path)!;
  const gradient = decoderReference(options).gradients.get(path)!;
  expect(gradientError(meanLoss, a, gradient.a, random, 4)).toBeLessThanOrEqual(TOLERANCE);
  expect(gradientError(meanLoss, b, gradient.b, random, 4)).toBeLessThanOrEqual(TOLERANCE);
});

describe.each([
  ['DoRA', false],
  ['DoRA with dropout', true],
])('%s', (_, dropout) => {
  const random = new Random(Math.floor(Math.random() * 2 ** 32));
  const options = tinyOptions(tinySpec(true), random, { dora: true, dropout });
  const { gradients, logits } = decoderReference(options);
  const meanLoss = () => decoderReference(options).loss / options.batch.trainedTokens;

  test.each(linearPaths(options.spec))('$path: gradients of A, B and the magnitudes', ({ path }) => {
    const { a, b, magnitude } = options.adapters.get(path)!;
    const gradient = gradients.get(path)!;
    expect(gradientError(meanLoss, a, gradient.a, random, 4)).toBeLessThanOrEqual(TOLERANCE);
    expect(gradientError(meanLoss, b, gradient.b, random, 4)).toBeLessThanOrEqual(TOLERANCE);
    expect(gradientError(meanLoss, magnitude!, gradient.magnitude!, random, 4)).toBeLessThanOrEqual(TOLERANCE);
  });

  test('without a given norm it is that of W + s·B·A; magnitudes equal to it change nothing', () => {
    const change = (to: (adapter: ReferenceAdapter) => ReferenceAdapter) =>
      decoderReference({ ...options, adapters: new Map([...options.adapters].map(([path, one]) => [path, to(one)])) });
    expect(change(({ norm: _, ...own }) => own).logits).toEqual(logits);
    const plain = change(({ norm: _, magnitude: __, ...own }) => own).logits;
    const neutral = change(({ norm, ...own }) => ({ ...own, magnitude: norm })).logits;
    neutral.forEach((value, i) => {
      expect(value).toBeCloseTo(plain[i], 10);
    });
  });
});

describe.each(Object.entries(SPECS))('%s', (_, spec) => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  const random = new Random(seed);
  const options = tinyOptions(spec, random);
  const { gradients } = decoderReference(options);
  const meanLoss = () => decoderReference(options).loss / options.batch.trainedTokens;

  test('every linear has a gradient', () => {
    expect([...gradients.keys()].sort()).toEqual(
      linearPaths(options.spec)
        .map(({ path }) => path)
        .sort(),
    );
  });

  test.each(linearPaths(options.spec))('$path: gradients of A and B', ({ path }) => {
    const { a, b } = options.adapters.get(path)!;
    const gradient = gradients.get(path)!;
    expect(gradientError(meanLoss, a, gradient.a, random, 8), `seed ${seed}`).toBeLessThanOrEqual(TOLERANCE);
    expect(gradientError(meanLoss, b, gradient.b, random, 8), `seed ${seed}`).toBeLessThanOrEqual(TOLERANCE);
  });

  test.each([
    ['documents', { documents: documentsOf([0], 11) }],
    // Not a shift of all: rotary embeddings see differences only.
    ['positions', { positions: Uint32Array.from({ length: 11 }, (_, t) => 2 * t) }],
    ['targets', { targets: new Int32Array(11).fill(1) }],
  ])('control: the gradient for other %s fails', (_, change) => {
    const wrong = decoderReference({ ...options, batch: { ...options.batch, ...change } });
    const { path } = linearPaths(options.spec)[spec.linears.qkv.length - 1];
    const error = gradientError(meanLoss, options.adapters.get(path)!.a, wrong.gradients.get(path)!.a, random, 8);
    expect(error).toBeGreaterThan(TOLERANCE);
  });
});

test('without adapters the loss is the base model’s, and B = 0 changes nothing', () => {
  const options = tinyOptions(tinySpec(true), new Random(1));
  const base = decoderReference({ ...options, adapters: new Map() });
  const zeroed = new Map(
    [...options.adapters].map(([path, adapter]) => [path, { ...adapter, b: adapter.b.map(() => 0) }]),
  );
  expect(decoderReference({ ...options, adapters: zeroed }).logits).toEqual(base.logits);
  expect(base.gradients.size).toBe(0);
  expect(decoderReference(options).loss).not.toBe(base.loss);
});

test('a document’s loss does not depend on the others in its batch', () => {
  const options = tinyOptions(tinySpec(false), new Random(2));
  const { batch } = options;
  const slice = (begin: number, end: number): TokenBatch => ({
    ids: batch.ids.slice(begin, end),
    targets: batch.targets.slice(begin, end),
    positions: batch.positions.slice(begin, end),
    documents: documentsOf([0], end - begin),
    trainedTokens: 1,
  });
  const parts = [slice(0, 5), slice(5, 6), slice(6, 11)].map(
    (part) => decoderReference({ ...options, batch: part }).loss,
  );
  expect(parts.reduce((a, b) => a + b)).toBeCloseTo(decoderReference(options).loss, 10);
});
