/** A tiny model with random weights, for tests of a whole trainer on the GPU. */
import { type LinearSpec, layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import { Random } from '../kernels/testing/random.ts';
import type { TokenBatch } from '../token_batch.ts';
import type { WeightSource } from '../weight_source.ts';

export interface TinyShape {
  readonly layers?: number;
  readonly tiedHead?: boolean;
  readonly vocabSize?: number;
}

export function tinySpec({ layers = 2, tiedHead = true, vocabSize = 96 }: TinyShape = {}): ModelSpec {
  const [hiddenSize, intermediateSize, headDim, heads, kvHeads] = [32, 48, 8, 4, 2];
  const linear = (name: string, inFeatures: number, outFeatures: number, bias = false): LinearSpec => ({
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
    maxPositions: 16384,
    attention: { heads, kvHeads, headDim, scale: headDim ** -0.5, softCap: null },
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
        linear('self_attn.q_proj', hiddenSize, heads * headDim, true),
        linear('self_attn.k_proj', hiddenSize, kvHeads * headDim, true),
        linear('self_attn.v_proj', hiddenSize, kvHeads * headDim, true),
      ],
      output: linear('self_attn.o_proj', heads * headDim, hiddenSize),
      gateUp: [
        linear('mlp.gate_proj', hiddenSize, intermediateSize),
        linear('mlp.up_proj', hiddenSize, intermediateSize),
      ],
      down: linear('mlp.down_proj', intermediateSize, hiddenSize),
    },
    ropes: [{ inverseFrequencies: [1, 0.1, 0.01, 0.001], attentionScaling: 1, long: null }],
    layers: Array.from({ length: layers }, () => ({ rope: 0, window: null })),
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
    padTokenId: 0,
  };
}

/**
 * What Gemma, Qwen3, Phi-3 and SmolLM3 add, at once: norms after both halves and of heads, 1 + w, GELU, caps that bend,
 * fused linears, a window, a RoPE over a part of each head that depends on the length, a layer without.
 */
export function richSpec(): ModelSpec {
  const spec = tinySpec({ tiedHead: false });
  const { qkv, output, gateUp, down } = spec.linears;
  const fused = (name: string, [first, ...rest]: readonly LinearSpec[]): LinearSpec[] => [
    { ...first, name, outFeatures: rest.reduce((sum, { outFeatures }) => sum + outFeatures, first.outFeatures) },
  ];
  return {
    ...spec,
    attention: { ...spec.attention, scale: 0.5, softCap: 3 },
    activation: 'gelu_tanh',
    norm: {
      epsilon: 1e-5,
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
    linears: {
      qkv: fused('self_attn.qkv_proj', qkv),
      output: { ...output, bias: true },
      gateUp: fused('mlp.gate_up_proj', gateUp),
      down,
    },
    ropes: [
      {
        inverseFrequencies: [1, 0.1],
        attentionScaling: 1.2,
        long: { kind: 'fixed', beyond: 20, inverseFrequencies: [0.5, 0.03] },
      },
    ],
    layers: [
      { rope: 0, window: 7 },
      { rope: null, window: null },
    ],
    embeddingScale: 1.5,
    finalSoftCap: 4,
  };
}

/** f32 weights of the spec's shapes from a seed; `corrupt` may change a tensor before it is served. */
export function randomWeights(
  spec: ModelSpec,
  seed: number,
  corrupt?: (name: string, values: Float32Array<ArrayBuffer>) => void,
): WeightSource {
  const random = new Random(seed);
  const tensors = new Map<string, { shape: number[]; values: Float32Array<ArrayBuffer> }>();
  const add = (name: string, shape: number[], deviation: number, mean = 0) => {
    const values = Float32Array.from(
      random.normal(
        shape.reduce((a, b) => a * b, 1),
        deviation,
      ),
      (x) => x + mean,
    );
    corrupt?.(name, values);
    tensors.set(name, { shape, values });
  };
  add(spec.tensors.embedding, [spec.vocabSize, spec.hiddenSize], 1);
  if (!spec.tiedHead) add(spec.tensors.head, [spec.vocabSize, spec.hiddenSize], 0.2);
  const normMean = 1 - spec.norm.weightOffset;
  add(spec.tensors.finalNorm, [spec.hiddenSize], 0.1, normMean);
  for (let i = 0; i < spec.layers.length; i++) {
    const prefix = `${spec.tensors.layerPrefix}${i}.`;
    for (const [role, name] of Object.entries(spec.norm.names)) {
      const width = role === 'query' || role === 'key' ? spec.attention.headDim : spec.hiddenSize;
      if (name !== null) add(`${prefix}${name}.weight`, [width], 0.1, normMean);
    }
    for (const { name, inFeatures, outFeatures, bias } of layerLinears(spec)) {
      add(`${prefix}${name}.weight`, [outFeatures, inFeatures], inFeatures ** -0.5);
      if (bias) add(`${prefix}${name}.bias`, [outFeatures], 0.1);
    }
  }
  return {
    info(name) {
      const tensor = tensors.get(name);
      return tensor && { dtype: 'F32', shape: tensor.shape, byteLength: tensor.values.byteLength };
    },
    async read(name, begin, end) {
      return new Uint8Array(tensors.get(name)!.values.buffer.slice(begin, end));
    },
  };
}

/** Random ids in documents of the given lengths; everything trained but each document's last position. */
export function randomBatch(lengths: readonly number[], vocabSize: number, seed: number): TokenBatch {
  const random = new Random(seed);
  const total = lengths.reduce((a, b) => a + b, 0);
  const ids = Uint32Array.from({ length: total }, () => random.integer(0, vocabSize));
  const targets = new Int32Array(total).fill(-1);
  const positions = new Uint32Array(total);
  const documents = new Uint32Array(2 * total);
  let at = 0;
  for (const length of lengths) {
    for (let i = 0; i < length; i++) {
      positions[at + i] = i;
      documents.set([at, at + length], 2 * (at + i));
      if (i + 1 < length) targets[at + i] = ids[at + i + 1];
    }
    at += length;
  }
  return { ids, targets, positions, documents, trainedTokens: total - lengths.length };
}
