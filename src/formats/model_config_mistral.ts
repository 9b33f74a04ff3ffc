/** config.json of model_type `mistral`. Source: transformers, `MistralConfig`, `modeling_mistral.py`. */
import type { ConfigReader } from './config_reader.ts';
import { plainSpec, readSizes, readWindow, sameLayers, separateLinears } from './model_config_common.ts';
import type { ModelSpec } from './model_spec.ts';
import { makeRope } from './rope.ts';
import { readRopeParameters } from './rope_parameters.ts';

/** All layers have the window; `layer_types` is ignored, as `MistralModel` does. */
export function parseMistral(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 131_072, kvHeads: 8 });
  const linears = separateLinears(sizes, { qkv: false, output: false, mlp: false });
  const ropes = [makeRope(readRopeParameters(config, sizes))];
  return {
    ...plainSpec('mistral', config, sizes, ropes, linears, { epsilon: 1e-6, tied: false, eos: [2] }),
    layers: sameLayers(sizes.layers, readWindow(config, 4_096)),
  };
}
