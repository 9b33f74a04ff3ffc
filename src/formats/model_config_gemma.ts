/**
 * config.json of model_types `gemma2`, `gemma3_text`, and `gemma3` with its text part nested. Sources: transformers,
 * `Gemma2Config`, `Gemma3TextConfig`, `Gemma3Config` and their modeling files.
 */
import { ConfigReader } from './config_reader.ts';
import {
  type LayerType,
  type ModelSizes,
  plainSpec,
  readLayerTypes,
  readSizes,
  readTokenIds,
  readWindow,
  type SizeDefaults,
  separateLinears,
  windowOf,
} from './model_config_common.ts';
import type { LayerNorms, ModelSpec, RopeSpec } from './model_spec.ts';
import { makeRope } from './rope.ts';
import { type RopeParameters, readLayerTypeRope, readRopeParameters } from './rope_parameters.ts';

const SANDWICH_NORMS: LayerNorms = {
  beforeAttention: 'input_layernorm',
  afterAttention: 'post_attention_layernorm',
  beforeMlp: 'pre_feedforward_layernorm',
  afterMlp: 'post_feedforward_layernorm',
  query: null,
  key: null,
};

/** Published Gemma configs leave out whatever equals the Config class. */
const GEMMA3_DEFAULTS: SizeDefaults = {
  hiddenSize: 2_304,
  intermediateSize: 9_216,
  vocabSize: 262_208,
  maxPositions: 131_072,
  layers: 26,
  heads: 8,
  kvHeads: 4,
  headDim: 256,
};
const GEMMA2_DEFAULTS: SizeDefaults = { maxPositions: 8_192, kvHeads: 4, headDim: 256 };

/** Windows on every other layer, the first among them; soft caps on scores and logits. */
export function parseGemma2(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, GEMMA2_DEFAULTS);
  const spec = gemmaSpec('gemma2', config, sizes, [makeRope(readRopeParameters(config, sizes))]);
  const types = readLayerTypes(config, sizes.layers, (i) => (i % 2 === 0 ? 'sliding_attention' : 'full_attention'));
  const window = readWindow(config, 4_096);
  return {
    ...spec,
    attention: { ...spec.attention, softCap: readSoftCap(config, 'attn_logit_softcapping', 50) },
    finalSoftCap: readSoftCap(config, 'final_logit_softcapping', 30),
    layers: types.map((type) => ({ rope: 0, window: windowOf(config, type, window) })),
  };
}

/** Windows on all but every sixth layer, which have a RoPE of their own; q and k normed. */
export function parseGemma3Text(config: ConfigReader): ModelSpec {
  const sizes = readSizes(config, GEMMA3_DEFAULTS);
  const pattern = config.integer('sliding_window_pattern', { min: 1, max: 2 ** 32 - 1 }, 6);
  const types = readLayerTypes(config, sizes.layers, (i) =>
    (i + 1) % pattern !== 0 ? 'sliding_attention' : 'full_attention',
  );
  const window = readWindow(config, 4_096);
  const kinds = [...new Set(types)];
  const ropes = kinds.map((type) => makeRope(readGemma3Rope(config, type, sizes)));
  const spec = gemmaSpec('gemma3_text', config, sizes, ropes);
  return {
    ...spec,
    // transformers reads attn_logit_softcapping and does not use it.
    finalSoftCap: readSoftCap(config, 'final_logit_softcapping', null),
    norm: {
      ...spec.norm,
      names: { ...SANDWICH_NORMS, query: 'self_attn.q_norm', key: 'self_attn.k_norm' },
    },
    layers: types.map((type) => ({ rope: kinds.indexOf(type), window: windowOf(config, type, window) })),
  };
}

/** The text part; the tensors of the vision part are not looked at. */
export function parseGemma3(config: ConfigReader): ModelSpec {
  const text = config.object('text_config') ?? config.fail('text_config', 'is missing');
  const spec = parseGemma3Text(text);
  return {
    ...spec,
    modelType: 'gemma3',
    tiedHead: config.boolean('tie_word_embeddings', true),
    ...(config.has('eos_token_id') ? readTokenIds(config, spec.vocabSize, []) : {}),
    tensors: {
      embedding: 'model.language_model.embed_tokens.weight',
      finalNorm: 'model.language_model.norm.weight',
      head: 'lm_head.weight',
      layerPrefix: 'model.language_model.layers.',
      // Published checkpoints have the older module tree.
      olderPrefixes: [
        ['model.language_model.', 'language_model.model.'],
        ['lm_head.', 'language_model.lm_head.'],
      ],
    },
  };
}

function gemmaSpec(modelType: string, config: ConfigReader, sizes: ModelSizes, ropes: readonly RopeSpec[]): ModelSpec {
  if (config.boolean('use_bidirectional_attention', false)) {
    const advice = 'Choose a model that generates text.';
    config.fail('use_bidirectional_attention', 'is true: such a model embeds texts and does not continue them', advice);
  }
  const bias = config.boolean('attention_bias', false);
  const linears = separateLinears(sizes, { qkv: bias, output: bias, mlp: false });
  const activation = { field: 'hidden_activation', name: 'gelu_pytorch_tanh' };
  const spec = plainSpec(modelType, config, sizes, ropes, linears, { epsilon: 1e-6, tied: true, eos: [1], activation });
  return {
    ...spec,
    attention: { ...spec.attention, scale: config.positive('query_pre_attn_scalar', 256) ** -0.5 },
    norm: { ...spec.norm, weightOffset: 1, names: SANDWICH_NORMS },
    // In float32, which everything here is computed in. A model loaded in bf16 has it rounded to that: 25.25, not 25.298.
    embeddingScale: Math.fround(sizes.hiddenSize ** 0.5),
  };
}

/** Null is no cap. */
function readSoftCap(config: ConfigReader, field: string, absent: number | null): number | null {
  if (config.get(field) !== undefined) return config.positive(field);
  return config.has(field) ? null : absent;
}

/** `rope_parameters` by layer type; or the older `rope_theta` and `rope_scaling` of full layers, `rope_local_base_freq`. */
function readGemma3Rope(config: ConfigReader, type: LayerType, sizes: ModelSizes): RopeParameters {
  const full = type === 'full_attention';
  const outer = full ? 'rope_theta' : 'rope_local_base_freq';
  const defaultTheta = config.positive(outer, full ? 1_000_000 : 10_000);
  const scaling = full ? config.object('rope_scaling') : undefined;
  const own = config.object('rope_parameters')?.object(type);
  return readLayerTypeRope(scaling ?? own ?? new ConfigReader({}), { ...sizes, defaultTheta });
}
