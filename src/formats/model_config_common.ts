/** Parts of config.json that the decoder families share. A family's parser puts them together. */
import { type ConfigReader, describe } from './config_reader.ts';
import type { LayerLinears, LayerNorms, LayerSpec, LinearSpec, ModelSpec, RopeSpec } from './model_spec.ts';

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

/** What the family's Config class has for absent fields: those without a default must be there. */
export interface SizeDefaults extends Partial<ModelSizes> {
  readonly maxPositions: number;
}

/** Sizes and head counts, checked against each other. */
export function readSizes(config: ConfigReader, defaults: SizeDefaults): ModelSizes {
  const hiddenSize = config.integer('hidden_size', DIMENSION, defaults.hiddenSize);
  const heads = config.integer('num_attention_heads', DIMENSION, defaults.heads);
  // Null, where a config class has a default, is one key head for each query head.
  const kvDefault = config.has('num_key_value_heads') ? heads : (defaults.kvHeads ?? heads);
  const kvHeads = config.integer('num_key_value_heads', DIMENSION, kvDefault);
  if (heads % kvHeads !== 0) {
    config.fail('num_key_value_heads', `${kvHeads} does not divide num_attention_heads, ${heads}`);
  }
  const headDim = config.integer(
    'head_dim',
    DIMENSION,
    defaults.headDim ?? requireWholeHeads(config, hiddenSize, heads),
  );
  if (headDim % 2 !== 0) config.fail('head_dim', `${headDim} is odd, and rotary embeddings turn pairs of dimensions`);
  if (heads * headDim > DIMENSION.max) {
    config.fail('head_dim', `${heads} heads of ${headDim} are more than a tensor's dimension can be (2^32)`);
  }
  if (headDim > HEAD_DIM_CAP) config.fail('head_dim', `${headDim} is more than the ${HEAD_DIM_CAP} that are accepted`);
  return {
    hiddenSize,
    intermediateSize: config.integer('intermediate_size', DIMENSION, defaults.intermediateSize),
    vocabSize: config.integer('vocab_size', DIMENSION, defaults.vocabSize),
    maxPositions: config.integer('max_position_embeddings', DIMENSION, defaults.maxPositions),
    layers: config.integer('num_hidden_layers', { min: 1, max: LAYER_CAP }, defaults.layers),
    heads,
    kvHeads,
    headDim,
  };
}

/**
 * hidden_size / num_attention_heads. Also with a head_dim of its own: transformers refuses most such configs, and no
 * published model is made so.
 */
function requireWholeHeads(config: ConfigReader, hiddenSize: number, heads: number): number {
  if (hiddenSize % heads === 0) return hiddenSize / heads;
  return config.fail('hidden_size', `${hiddenSize} is not a multiple of num_attention_heads, ${heads}`);
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

/** One linear whose rows are q, k and v, and one whose rows are gate and up. */
export function fusedLinears(sizes: ModelSizes): LayerLinears {
  const { hiddenSize, intermediateSize, heads, kvHeads, headDim } = sizes;
  const linear = (name: string, inFeatures: number, outFeatures: number): LinearSpec => ({
    name,
    inFeatures,
    outFeatures,
    bias: false,
  });
  return {
    qkv: [linear('self_attn.qkv_proj', hiddenSize, (heads + 2 * kvHeads) * headDim)],
    output: linear('self_attn.o_proj', heads * headDim, hiddenSize),
    gateUp: [linear('mlp.gate_up_proj', hiddenSize, 2 * intermediateSize)],
    down: linear('mlp.down_proj', intermediateSize, hiddenSize),
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

const ACTIVATIONS: Readonly<Record<string, ModelSpec['activation']>> = {
  silu: 'silu',
  swish: 'silu',
  gelu_pytorch_tanh: 'gelu_tanh',
};

/** The MLP's gate. Throws ModelConfigError for one that there is no kernel for. */
function readActivation(
  config: ConfigReader,
  { field, name: absent }: NonNullable<FamilyDefaults['activation']>,
): ModelSpec['activation'] {
  const name = config.text(field, absent);
  if (Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name] as ModelSpec['activation'];
  return config.fail(field, `${describe(name)}, but supported are ${Object.keys(ACTIVATIONS).join(', ')}`);
}

/** Every layer with the one rotary embedding and the same window. */
export const sameLayers = (count: number, window: number | null): LayerSpec[] =>
  Array.from({ length: count }, () => ({ rope: 0, window }));

const LAYER_TYPES = ['full_attention', 'sliding_attention'] as const;
export type LayerType = (typeof LAYER_TYPES)[number];

/** `layer_types`, one a layer; what `absent` says of layer i where the config has none. */
export function readLayerTypes(config: ConfigReader, count: number, absent: (layer: number) => LayerType): LayerType[] {
  const types = config.list('layer_types');
  if (types === undefined) return Array.from({ length: count }, (_, i) => absent(i));
  if (types.length !== count) {
    config.fail('layer_types', `has ${types.length} entries, but num_hidden_layers is ${count}`);
  }
  return types.map((type) => {
    const known = LAYER_TYPES.find((one) => one === type);
    return known ?? config.fail('layer_types', `an entry ${describe(type)}, but must be ${LAYER_TYPES.join(' or ')}`);
  });
}

/** `sliding_window`: null is "no window", absent the family's default. */
export function readWindow(config: ConfigReader, absent: number | null): number | null {
  const missing = config.get('sliding_window') === undefined;
  if (missing && (absent === null || config.has('sliding_window'))) return null;
  return config.integer('sliding_window', { min: 1, max: DIMENSION.max }, absent ?? undefined);
}

/** The window of a layer type. Throws ModelConfigError where a sliding layer has none. */
export function windowOf(config: ConfigReader, type: LayerType, window: number | null): number | null {
  if (type === 'full_attention') return null;
  return window ?? config.fail('sliding_window', 'is null, but layer_types has sliding_attention');
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

/** What a family's Config class has for absent fields. */
export interface FamilyDefaults {
  readonly epsilon: number;
  readonly tied: boolean;
  readonly eos: readonly number[];
  /** The field that names the gate's activation, and what it is when absent; `hidden_act` and SiLU by default. */
  readonly activation?: { readonly field: string; readonly name: string };
}

/** The spec of a decoder as most are: SiLU gate, pre-norms, no caps, every layer with the first RoPE and all keys. */
export function plainSpec(
  modelType: string,
  config: ConfigReader,
  sizes: ModelSizes,
  ropes: readonly RopeSpec[],
  linears: LayerLinears,
  defaults: FamilyDefaults,
): ModelSpec {
  const { hiddenSize, intermediateSize, vocabSize, maxPositions, heads, kvHeads, headDim } = sizes;
  return {
    modelType,
    hiddenSize,
    intermediateSize,
    vocabSize,
    maxPositions,
    attention: { heads, kvHeads, headDim, scale: headDim ** -0.5, softCap: null },
    activation: readActivation(config, defaults.activation ?? { field: 'hidden_act', name: 'silu' }),
    norm: { epsilon: config.positive('rms_norm_eps', defaults.epsilon), weightOffset: 0, names: PRE_NORMS },
    linears,
    ropes,
    layers: sameLayers(sizes.layers, null),
    embeddingScale: null,
    finalSoftCap: null,
    tiedHead: config.boolean('tie_word_embeddings', defaults.tied),
    tensors: TENSOR_NAMES,
    ...readTokenIds(config, vocabSize, defaults.eos),
  };
}

/** Weights that bitsandbytes quantized to 4 bits are taken as they are; what other tools made has other tensors. */
export function refuseQuantized(config: ConfigReader): void {
  const quantization = config.object('quantization_config');
  if (quantization === undefined) return;
  const method = quantization.get('quant_method');
  const bitsandbytes = method === 'bitsandbytes' || (method === undefined && quantization.has('load_in_4bit'));
  if (bitsandbytes && quantization.boolean('load_in_4bit', false)) return;
  const name = bitsandbytes ? 'bitsandbytes in 8 bit' : typeof method === 'string' ? method : 'by an unnamed method';
  config.fail(
    'quantization_config',
    `the weights are already quantized (${name}); of those only bitsandbytes' 4 bits can be read`,
    'Choose the same model in 16 or 32 bit, which is quantized to 4 bit here while it loads, or as "bnb-4bit".',
  );
}
