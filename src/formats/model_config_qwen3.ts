/** config.json of model_type `qwen3`. Source: transformers, `Qwen3Config`, `modeling_qwen3.py`. */
import type { ConfigReader } from './config_reader.ts';
import { PRE_NORMS, plainSpec, readSizes, separateLinears } from './model_config_common.ts';
import { readQwenLayers } from './model_config_qwen2.ts';
import type { ModelSpec } from './model_spec.ts';
import { makeRope } from './rope.ts';
import { readRopeParameters } from './rope_parameters.ts';

/** Each head's q and k are normed before RoPE. */
export function parseQwen3(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, { maxPositions: 32_768, kvHeads: 32, headDim: 128 });
  const bias = config.boolean('attention_bias', false);
  const linears = separateLinears(sizes, { qkv: bias, output: bias, mlp: false });
  const ropes = [makeRope(readRopeParameters(config, sizes))];
  const plain = plainSpec('qwen3', config, sizes, ropes, linears, { epsilon: 1e-6, tied: false, eos: [] });
  return {
    ...plain,
    norm: { ...plain.norm, names: { ...PRE_NORMS, query: 'self_attn.q_norm', key: 'self_attn.k_norm' } },
    layers: readQwenLayers(config, sizes.layers),
  };
}
