/** config.json of model_type `smollm3`. Source: transformers, `SmolLM3Config`, `modeling_smollm3.py`. */
import { type ConfigReader, describe } from './config_reader.ts';
import { plainSpec, readLayerTypes, readSizes, readWindow, separateLinears, windowOf } from './model_config_common.ts';
import type { LayerSpec, ModelSpec } from './model_spec.ts';
import { makeRope } from './rope.ts';
import { readRopeParameters } from './rope_parameters.ts';

/** Some layers have no positions. */
export function parseSmolLm3(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 32_768, kvHeads: 4 });
  const bias = config.boolean('attention_bias', false);
  const linears = separateLinears(sizes, { qkv: bias, output: bias, mlp: config.boolean('mlp_bias', false) });
  const ropes = [makeRope(readRopeParameters(config, { ...sizes, defaultTheta: 2_000_000 }))];
  return {
    ...plainSpec('smollm3', config, sizes, ropes, linears, { epsilon: 1e-6, tied: true, eos: [128_001] }),
    layers: readLayers(config, sizes.layers),
  };
}

/** Layers without RoPE are those with a window, if any has one and `layer_types` says nothing else. */
function readLayers(config: ConfigReader, count: number): LayerSpec[] {
  const rotated = readRotated(config, count);
  const window = readWindow(config, null);
  const slides = config.boolean('use_sliding_window', false) && window !== null;
  const types = readLayerTypes(config, count, (i) => (slides && !rotated[i] ? 'sliding_attention' : 'full_attention'));
  return types.map((type, i) => ({ rope: rotated[i] ? 0 : null, window: windowOf(config, type, window) }));
}

/** `no_rope_layers`: 1 for a layer with RoPE, in spite of the name. It may be longer than the model. */
function readRotated(config: ConfigReader, count: number): boolean[] {
  const field = 'no_rope_layers';
  const list = config.list(field);
  if (list === undefined) {
    const interval = config.integer('no_rope_layer_interval', { min: 1, max: 2 ** 32 - 1 }, 4);
    return Array.from({ length: count }, (_, i) => (i + 1) % interval !== 0);
  }
  if (list.length < count) config.fail(field, `has ${list.length} entries, but num_hidden_layers is ${count}`);
  return list.slice(0, count).map((value) => {
    if (value === 0 || value === 1) return value === 1;
    return config.fail(field, `an entry ${describe(value)}, but must be 0 (no RoPE) or 1`);
  });
}
