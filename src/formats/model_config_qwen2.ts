/** config.json of model_type `qwen2` (Qwen2, Qwen2.5). Source: transformers, `Qwen2Config`, `modeling_qwen2.py`. */
import type { ConfigReader } from './config_reader.ts';
import {
  plainSpec,
  readLayerTypes,
  readSizes,
  readWindow,
  sameLayers,
  separateLinears,
  windowOf,
} from './model_config_common.ts';
import type { LayerSpec, ModelSpec } from './model_spec.ts';
import { makeRope } from './rope.ts';
import { readRopeParameters } from './rope_parameters.ts';

export function parseQwen2(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 32_768 });
  const linears = separateLinears(sizes, { qkv: true, output: false, mlp: false });
  const ropes = [makeRope(readRopeParameters(config, sizes))];
  return {
    ...plainSpec('qwen2', config, sizes, ropes, linears, { epsilon: 1e-6, tied: false, eos: [] }),
    layers: readQwenLayers(config, sizes.layers),
  };
}

/** Without `use_sliding_window` every layer sees everything, whatever else the config says. */
export function readQwenLayers(config: ConfigReader, count: number): LayerSpec[] {
  const useWindow = config.boolean('use_sliding_window', false);
  const window = useWindow ? readWindow(config, 4_096) : null;
  const firstWindowed = config.integer('max_window_layers', { min: 0, max: 2 ** 32 - 1 }, 28);
  const types = readLayerTypes(config, count, (i) =>
    window !== null && i >= firstWindowed ? 'sliding_attention' : 'full_attention',
  );
  if (!useWindow) return sameLayers(count, null);
  return types.map((type) => ({ rope: 0, window: windowOf(config, type, window) }));
}
