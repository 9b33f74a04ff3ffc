/** Parts of config.json that the decoder families share. A family's parser puts them together. */
import { type ConfigReader, describe } from './config_reader.ts';
import type { LayerLinears, LayerNorms, LinearSpec, ModelSpec } from './model_spec.ts';

export interface ModelSizes {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** No published decoder has more; what claims more is damaged or hostile. */
const LAYER_CAP = 1_000;
/** Real heads have 64 to 512. The spec lists a frequency for each pair of dimensions: 10^9 of them would end the tab. */
const HEAD_DIM_CAP = 2 ** 14;
/** Tensor dimensions are below 2^32 (REFERENCE.md §6). */
const DIMENSION = { min: 1, max: 2 ** 32 - 1 };

/** Sizes and head counts, checked against each other. `maxPositions` is the family's default. */
export function readSizes(config: ConfigReader, defaults: { readonly maxPositions: number }): ModelSizes {
  const hiddenSize = config.integer('hidden_size', DIMENSION);
  const heads = config.integer('num_attention_heads', DIMENSION);
  const kvHeads = config.integer('num_key_value_heads', DIMENSION, heads);
  // Also with a head_dim of its own: transformers refuses such a llama, and no published model is made so.
  if (hiddenSize % heads !== 0) {
    config.fail('hidden_size', `${hiddenSize} is not a multiple of num_attention_heads, ${heads}`);
  }
  if (heads % kvHeads !== 0) {
    config.fail('num_key_value_heads', `${kvHeads} does not divide num_attention_heads, ${heads}`);
  }
  const headDim = config.integer('head_dim', DIMENSION, hiddenSize / heads);
  if (headDim % 2 !== 0) config.fail('head_dim', `${headDim} is odd, and rotary embeddings turn pairs of dimensions`);
  if (heads * headDim > DIMENSION.max) {
    config.fail('head_dim', `${heads} heads of ${headDim} are more than a tensor's dimension can be (2^32)`);
  }
  if (headDim > HEAD_DIM_CAP) config.fail('head_dim', `${headDim} is more than the ${HEAD_DIM_CAP} that are accepted`);
  return {
    hiddenSize,
    intermediateSize: config.integer('intermediate_size', DIMENSION),
    vocabSize: config.integer('vocab_size', DIMENSION),
    maxPositions: config.integer('max_position_embeddings', DIMENSION, defaults.maxPositions),
    layers: config.integer('num_hidden_layers', { min: 1, max: LAYER_CAP }),
    heads,
    kvHeads,
    headDim,
  };
}

/** Which of a layer's linears have a bias. */
export interface LinearBiases {
  readonly qkv: boolean;
  readonly output: boolean;
  readonly mlp: boolean;
}

/** q, k, v, gate and up as linears of their own, with the names that most families use. */
export function separateLinears(sizes: ModelSizes, biases: LinearBiases): LayerLinears {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = sizes;
  const linear = (name: string, inFeatures: number, outFeatures: number, bias: boolean): LinearSpec => ({
    name,
    inFeatures,
    outFeatures,
    bias,
  });
  return {
    qkv: [
      linear('self_attn.q_proj', hiddenSize, heads * headDim, biases.qkv),
      linear('self_attn.k_proj', hiddenSize, kvHeads * headDim, biases.qkv),
      linear('self_attn.v_proj', hiddenSize, kvHeads * headDim, biases.qkv),
    ],
    output: linear('self_attn.o_proj', heads * headDim, hiddenSize, biases.output),
    gateUp: [
      linear('mlp.gate_proj', hiddenSize, intermediateSize, biases.mlp),
      linear('mlp.up_proj', hiddenSize, intermediateSize, biases.mlp),
    ],
    down: linear('mlp.down_proj', intermediateSize, hiddenSize, biases.mlp),
  };
}

/** One norm before attention and one before the MLP. */
export const PRE_NORMS: LayerNorms = {
  beforeAttention: 'input_layernorm',
  afterAttention: null,
  beforeMlp: 'post_attention_layernorm',
  afterMlp: null,
  query: null,
  key: null,
};

export const TENSOR_NAMES: ModelSpec['tensors'] = {
  embedding: 'model.embed_tokens.weight',
  finalNorm: 'model.norm.weight',
  head: 'lm_head.weight',
  layerPrefix: 'model.layers.',
};

/** `hidden_act` must be SiLU; config.json may leave it out. */
export function requireSilu(config: ConfigReader): 'silu' {
  const activation = config.text('hidden_act', 'silu');
  if (activation !== 'silu') {
    config.fail('hidden_act', `${describe(activation)}, but this model is supported with silu only`);
  }
  return 'silu';
}

/** `eos_token_id` is a number, a list, null or absent; `eosDefault` stands for absent, as in the family's Config class. */
export function readTokenIds(
  config: ConfigReader,
  vocabSize: number,
  eosDefault: readonly number[],
): Pick<ModelSpec, 'eosTokenIds' | 'padTokenId'> {
  const check = (field: string, id: unknown): number => {
    if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0 && id < vocabSize) return id;
    return config.fail(field, `${describe(id)}, but must be a token below vocab_size, ${vocabSize}`);
  };
  const eos = config.get('eos_token_id');
  const eosIds = eos === undefined ? [] : Array.isArray(eos) ? eos : [eos];
  const pad = config.get('pad_token_id');
  return {
    eosTokenIds: config.has('eos_token_id') ? eosIds.map((id) => check('eos_token_id', id)) : eosDefault,
    // Older configs write -1 for "none".
    padTokenId: pad === undefined || pad === -1 ? null : check('pad_token_id', pad),
  };
}

/** Weights that some other tool quantized have other tensors than the spec's. */
export function refuseQuantized(config: ConfigReader): void {
  const quantization = config.object('quantization_config');
  if (quantization === undefined) return;
  const method = quantization.get('quant_method');
  config.fail(
    'quantization_config',
    `the weights are already quantized${typeof method === 'string' ? ` (${method})` : ''}, which this release cannot read`,
    'Choose the same model in 16 or 32 bit: it is quantized to 4 bit here while it loads.',
  );
}
