/** config.json of model_type `llama` (Llama 2 and 3, SmolLM2, TinyLlama). Source: transformers, `LlamaConfig`. */
import type { ConfigReader } from './config_reader.ts';
import {
  PRE_NORMS,
  readSizes,
  readTokenIds,
  requireSilu,
  separateLinears,
  TENSOR_NAMES,
} from './model_config_common.ts';
import type { ModelSpec } from './model_spec.ts';
import { makeRope, readRopeParameters } from './rope.ts';

export function parseLlama(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 2_048 });
  const { hiddenSize, intermediateSize, vocabSize, maxPositions, heads, kvHeads, headDim } = sizes;
  const attentionBias = config.boolean('attention_bias', false);
  return {
    modelType: 'llama',
    hiddenSize,
    intermediateSize,
    vocabSize,
    maxPositions,
    attention: { heads, kvHeads, headDim, scale: headDim ** -0.5, softCap: null },
    activation: requireSilu(config),
    norm: { epsilon: config.positive('rms_norm_eps', 1e-6), weightOffset: 0, names: PRE_NORMS },
    linears: separateLinears(sizes, {
      qkv: attentionBias,
      output: attentionBias,
      mlp: config.boolean('mlp_bias', false),
    }),
    ropes: [makeRope(readRopeParameters(config, maxPositions), headDim)],
    layers: Array.from({ length: sizes.layers }, () => ({ rope: 0, window: null })),
    embeddingScale: null,
    finalSoftCap: null,
    tiedHead: config.boolean('tie_word_embeddings', false),
    tensors: TENSOR_NAMES,
    ...readTokenIds(config, vocabSize, [2]),
  };
}
