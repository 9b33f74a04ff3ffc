/** config.json of model_type `qwen2` (Qwen2, Qwen2.5). Source: transformers, `Qwen2Config`, `modeling_qwen2.py`. */
import { type ConfigReader, describe } from './config_reader.ts';
import {
  PRE_NORMS,
  readSizes,
  readTokenIds,
  requireSilu,
  separateLinears,
  TENSOR_NAMES,
} from './model_config_common.ts';
import type { LayerSpec, ModelSpec } from './model_spec.ts';
import { makeRope, readRopeParameters } from './rope.ts';

export function parseQwen2(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 32_768 });
  const { hiddenSize, intermediateSize, vocabSize, maxPositions, heads, kvHeads, headDim } = sizes;
  return {
    modelType: 'qwen2',
    hiddenSize,
    intermediateSize,
    vocabSize,
    maxPositions,
    attention: { heads, kvHeads, headDim, scale: headDim ** -0.5, softCap: null },
    activation: requireSilu(config),
    norm: { epsilon: config.positive('rms_norm_eps', 1e-6), weightOffset: 0, names: PRE_NORMS },
    linears: separateLinears(sizes, { qkv: true, output: false, mlp: false }),
    ropes: [makeRope(readRopeParameters(config, maxPositions), headDim)],
    layers: readLayers(config, sizes.layers),
    embeddingScale: null,
    finalSoftCap: null,
    tiedHead: config.boolean('tie_word_embeddings', false),
    tensors: TENSOR_NAMES,
    ...readTokenIds(config, vocabSize, []),
  };
}

/** Without `use_sliding_window` every layer sees everything, whatever else the config says. */
function readLayers(config: ConfigReader, count: number): LayerSpec[] {
  const useWindow = config.boolean('use_sliding_window', false);
  const window = useWindow ? readWindow(config) : null;
  const types = config.list('layer_types');
  if (types === undefined) {
    const firstWindowed = config.integer('max_window_layers', { min: 0, max: 2 ** 32 - 1 }, 28);
    return Array.from({ length: count }, (_, i) => ({ rope: 0, window: i >= firstWindowed ? window : null }));
  }
  if (types.length !== count) {
    config.fail('layer_types', `has ${types.length} entries, but num_hidden_layers is ${count}`);
  }
  return types.map((type) => {
    if (type === 'full_attention') return { rope: 0, window: null };
    if (type !== 'sliding_attention') {
      return config.fail('layer_types', `an entry ${describe(type)}, but must be full_attention or sliding_attention`);
    }
    if (useWindow && window === null) config.fail('sliding_window', 'is null, but layer_types has sliding_attention');
    return { rope: 0, window };
  });
}

/** Null is "no window"; absent is transformers' default. */
function readWindow(config: ConfigReader): number | null {
  if (config.has('sliding_window') && config.get('sliding_window') === undefined) return null;
  return config.integer('sliding_window', { min: 1, max: 2 ** 32 - 1 }, 4_096);
}
