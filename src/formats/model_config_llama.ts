/** config.json of model_type `llama` (Llama 2 and 3, SmolLM2, TinyLlama). Source: transformers, `LlamaConfig`. */
import type { ConfigReader } from './config_reader.ts';
import { plainSpec, readSizes, separateLinears } from './model_config_common.ts';
import type { ModelSpec } from './model_spec.ts';
import { makeRope } from './rope.ts';
import { readRopeParameters } from './rope_parameters.ts';

export function parseLlama(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 2_048 });
  const bias = config.boolean('attention_bias', false);
  const linears = separateLinears(sizes, { qkv: bias, output: bias, mlp: config.boolean('mlp_bias', false) });
  const ropes = [makeRope(readRopeParameters(config, sizes))];
  return plainSpec('llama', config, sizes, ropes, linears, { epsilon: 1e-6, tied: false, eos: [2] });
}
