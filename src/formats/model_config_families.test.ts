/** What each family's config.json means beyond what llama and qwen2 have (model_config.test.ts). */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectedTensors } from './check_checkpoint.ts';
import { openCheckpoint } from './checkpoint.ts';
import { ModelConfigError } from './config_reader.ts';
import { adaptedLinears } from './lora.ts';
import { parseModelConfig } from './model_config.ts';
import { layerLinears, type ModelSpec } from './model_spec.ts';
import { memoryFolder, rawSafetensors } from './testing.ts';

const SIZES = {
  hidden_size: 64,
  intermediate_size: 192,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  vocab_size: 512,
};
type Fields = Record<string, unknown>;
const parser =
  (model_type: string) =>
  (changes: Fields = {}): ModelSpec =>
    parseModelConfig({ ...SIZES, model_type, ...changes });
const [mistral, qwen3, gemma2, gemma3, phi3, smollm3] = [
  'mistral',
  'qwen3',
  'gemma2',
  'gemma3_text',
  'phi3',
  'smollm3',
].map(parser) as [Parse, Parse, Parse, Parse, Parse, Parse];
type Parse = (changes?: Fields) => ModelSpec;

const biases = (spec: ModelSpec) =>
  layerLinears(spec)
    .filter(({ bias }) => bias)
    .map(({ name }) => name.slice(name.indexOf('.') + 1, name.lastIndexOf('_')));
const windows = (spec: ModelSpec) => spec.layers.map(({ window }) => window);
const ropes = (spec: ModelSpec) => spec.layers.map(({ rope }) => rope);
const frequency = (spec: ModelSpec, layer: number) => spec.ropes[spec.layers[layer]?.rope ?? -1]?.inverseFrequencies[1];
/** The second frequency of 16 dimensions. */
const frequencyOf = (theta: number) => Math.fround(1 / Math.fround(theta ** 0.125));

describe('mistral', () => {
  test('one window on all layers', () => {
    expect(windows(mistral())).toEqual(Array(6).fill(4_096));
    expect(windows(mistral({ sliding_window: 9 }))).toEqual(Array(6).fill(9));
    expect(windows(mistral({ sliding_window: null }))).toEqual(Array(6).fill(null));
    // As MistralModel does.
    expect(windows(mistral({ sliding_window: 9, layer_types: Array(6).fill('full_attention') }))).toEqual(
      Array(6).fill(9),
    );
    expect(mistral()).toMatchObject({ modelType: 'mistral', tiedHead: false, maxPositions: 131_072, eosTokenIds: [2] });
    expect(biases(mistral({ attention_bias: true }))).toEqual([]);
  });

  test('absent key heads are 8, null ones as many as query heads', () => {
    const { num_key_value_heads: _, ...absent } = { ...SIZES, model_type: 'mistral' };
    expect(() => parseModelConfig(absent)).toThrow(/8 does not divide num_attention_heads, 4/);
    expect(mistral({ num_key_value_heads: null }).attention.kvHeads).toBe(4);
    expect(mistral({ head_dim: null }).attention.headDim).toBe(16);
  });
});

describe('qwen3', () => {
  test('norms of heads, biases by a switch, head_dim of its own', () => {
    expect(qwen3().norm.names).toMatchObject({ query: 'self_attn.q_norm', key: 'self_attn.k_norm', afterMlp: null });
    expect(biases(qwen3())).toEqual([]);
    expect(biases(qwen3({ attention_bias: true }))).toEqual(['q', 'k', 'v', 'o']);
    expect(qwen3({ head_dim: undefined }).attention).toMatchObject({ headDim: 128, scale: 128 ** -0.5 });
    expect(qwen3({ hidden_size: 66 }).attention.headDim).toBe(16);
    expect(expectedTensors(qwen3())).toContainEqual({ name: 'model.layers.5.self_attn.q_norm.weight', shape: [16] });
  });

  test('windows as in qwen2', () => {
    expect(windows(qwen3({ sliding_window: 8 }))).toEqual(Array(6).fill(null));
    expect(windows(qwen3({ use_sliding_window: true, sliding_window: 8, max_window_layers: 4 }))).toEqual([
      ...Array(4).fill(null),
      8,
      8,
    ]);
  });
});

describe('gemma2', () => {
  test('what sets it apart', () => {
    expect(gemma2()).toMatchObject({
      activation: 'gelu_tanh',
      attention: { scale: 256 ** -0.5, softCap: 50 },
      finalSoftCap: 30,
      embeddingScale: 8,
      tiedHead: true,
      norm: {
        weightOffset: 1,
        names: {
          beforeAttention: 'input_layernorm',
          afterAttention: 'post_attention_layernorm',
          beforeMlp: 'pre_feedforward_layernorm',
          afterMlp: 'post_feedforward_layernorm',
          query: null,
        },
      },
      eosTokenIds: [1],
    });
    expect(gemma2({ attn_logit_softcapping: null, final_logit_softcapping: 5 })).toMatchObject({
      attention: { softCap: null },
      finalSoftCap: 5,
    });
    // Another field is the gate's.
    expect(gemma2({ hidden_act: 'gelu', hidden_activation: null }).activation).toBe('gelu_tanh');
    expect(gemma2({ query_pre_attn_scalar: 144 }).attention.scale).toBe(1 / 12);
    expect(gemma2({ hidden_size: 640 }).embeddingScale).toBe(Math.fround(Math.sqrt(640)));
    expect(biases(gemma2({ attention_bias: true, mlp_bias: true }))).toEqual(['q', 'k', 'v', 'o']);
  });

  test('every other layer slides, or those that layer_types names', () => {
    expect(windows(gemma2({ sliding_window: 8 }))).toEqual([8, null, 8, null, 8, null]);
    const layer_types = [...Array(5).fill('full_attention'), 'sliding_attention'];
    expect(windows(gemma2({ layer_types }))).toEqual([...Array(5).fill(null), 4_096]);
  });
});

describe('gemma3_text', () => {
  test('every sixth layer is full, with another theta', () => {
    const spec = gemma3({ sliding_window: 8 });
    expect(windows(spec)).toEqual([8, 8, 8, 8, 8, null]);
    expect(frequency(spec, 0)).toBe(frequencyOf(10_000));
    expect(frequency(spec, 5)).toBe(frequencyOf(1_000_000));
    expect(spec).toMatchObject({
      attention: { softCap: null },
      finalSoftCap: null,
      norm: { weightOffset: 1, names: { query: 'self_attn.q_norm', afterMlp: 'post_feedforward_layernorm' } },
    });
    // transformers does not use this one.
    expect(gemma3({ attn_logit_softcapping: 50, final_logit_softcapping: 30 })).toMatchObject({
      attention: { softCap: null },
      finalSoftCap: 30,
    });
  });

  test('the older form and the newer one say the same', () => {
    const older = gemma3({
      rope_theta: 5e5,
      rope_local_base_freq: 2e4,
      rope_scaling: { rope_type: 'linear', factor: 8 },
      sliding_window: 7,
      sliding_window_pattern: 3,
    });
    const newer = gemma3({
      rope_parameters: {
        full_attention: { rope_type: 'linear', factor: 8, rope_theta: 5e5 },
        sliding_attention: { rope_type: 'default', rope_theta: 2e4 },
      },
      sliding_window: 7,
      layer_types: ['sliding', 'sliding', 'full', 'sliding', 'sliding', 'full'].map((type) => `${type}_attention`),
    });
    expect(newer).toEqual(older);
    expect(windows(older)).toEqual([7, 7, null, 7, 7, null]);
    expect(frequency(older, 2)).toBe(Math.fround(frequencyOf(5e5) / 8));
    expect(frequency(older, 0)).toBe(frequencyOf(2e4));
  });

  test('one layer type needs one RoPE only; a set without theta takes the type’s own', () => {
    const spec = gemma3({ layer_types: Array(6).fill('full_attention'), rope_parameters: { full_attention: {} } });
    expect(spec.ropes).toHaveLength(1);
    expect(frequency(spec, 0)).toBe(frequencyOf(1_000_000));
  });

  test('published configs leave defaults out', () => {
    const spec = parseModelConfig({ model_type: 'gemma3_text', sliding_window: 1_024 });
    expect(spec).toMatchObject({
      hiddenSize: 2_304,
      vocabSize: 262_208,
      attention: { heads: 8, kvHeads: 4, headDim: 256 },
    });
    expect(spec.layers).toHaveLength(26);
  });
});

describe('gemma3, the text part', () => {
  const text_config = { ...SIZES, model_type: 'gemma3_text' };
  const nested = (changes: Fields = {}) =>
    parseModelConfig({ model_type: 'gemma3', text_config, vision_config: { hidden_size: 3 }, ...changes });

  test('is that of gemma3_text under other names', () => {
    const { tensors, modelType, ...rest } = nested({ eos_token_id: [1, 106] });
    const { tensors: _, modelType: __, ...plain } = gemma3();
    expect(rest).toEqual({ ...plain, eosTokenIds: [1, 106] });
    expect(modelType).toBe('gemma3');
    expect(tensors.layerPrefix).toBe('model.language_model.layers.');
    expect(nested().eosTokenIds).toEqual([1]);
    expect(nested({ tie_word_embeddings: false }).tiedHead).toBe(false);
    expect(() => nested({ text_config: undefined })).toThrow(/text_config: is missing/);
    expect(() => nested({ text_config: { ...text_config, head_dim: 3 } })).toThrow(/text_config\.head_dim: 3 is odd/);
  });

  test.each([
    ['of the older module tree', 'language_model.model.', 'language_model.lm_head.weight'],
    ['of the newer one', 'model.language_model.', 'lm_head.weight'],
  ])('finds the tensors %s', async (_, prefix, head) => {
    const norm = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
    const header = {
      [`${prefix}layers.0.input_layernorm.weight`]: norm,
      [head]: { ...norm, data_offsets: [4, 8] },
      'vision_tower.x': { ...norm, data_offsets: [8, 12] },
    };
    const folder = memoryFolder('m', { 'model.safetensors': rawSafetensors(header, 12) });
    const checkpoint = await openCheckpoint(folder, nested().tensors.olderPrefixes);
    expect(checkpoint.info('model.language_model.layers.0.input_layernorm.weight')).toMatchObject({ shape: [1] });
    expect(checkpoint.info('lm_head.weight')).toMatchObject({ shape: [1] });
    expect(await checkpoint.read('lm_head.weight', 0, 4)).toHaveLength(4);
    expect(checkpoint.info('model.language_model.layers.1.input_layernorm.weight')).toBeUndefined();
  });
});

describe('phi3', () => {
  test('fused linears, one LoRA module each', () => {
    const spec = phi3();
    expect(layerLinears(spec).map(({ name, inFeatures, outFeatures }) => [name, inFeatures, outFeatures])).toEqual([
      ['self_attn.qkv_proj', 64, 128],
      ['self_attn.o_proj', 64, 64],
      ['mlp.gate_up_proj', 64, 384],
      ['mlp.down_proj', 192, 64],
    ]);
    const lora = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: ['gate_up_proj', 'qkv_proj'] };
    expect([...adaptedLinears(spec, lora).keys()].slice(0, 2)).toEqual([
      'model.layers.0.self_attn.qkv_proj',
      'model.layers.0.mlp.gate_up_proj',
    ]);
    expect(windows(spec)).toEqual(Array(6).fill(null));
    expect(windows(phi3({ sliding_window: 2_047 }))).toEqual(Array(6).fill(2_047));
    expect(spec.norm.epsilon).toBe(1e-5);
  });

  test('longrope over a part of each head, also under its older names', () => {
    const scaling = { short_factor: [1, 1, 1, 1, 1, 1], long_factor: [2, 2, 2, 2, 2, 2] };
    const config = { partial_rotary_factor: 0.75, max_position_embeddings: 131_072 };
    const spec = phi3({ ...config, rope_scaling: { type: 'longrope', ...scaling } });
    const [rope] = spec.ropes;
    expect(rope?.inverseFrequencies).toHaveLength(6);
    // The class has original_max_position_embeddings 4096.
    expect(rope?.long).toMatchObject({ kind: 'fixed', beyond: 4_096 });
    expect(rope?.attentionScaling).toBe(Math.sqrt(1 + Math.log(32) / Math.log(4_096)));
    for (const type of ['su', 'yarn']) expect(phi3({ ...config, rope_scaling: { type, ...scaling } })).toEqual(spec);
    const newer = { rope_type: 'longrope', partial_rotary_factor: 0.75, rope_theta: 10_000, ...scaling };
    expect(phi3({ max_position_embeddings: 131_072, rope_parameters: newer })).toEqual(spec);
    expect(() => phi3({ rope_scaling: { type: 'linear', factor: 2 } })).toThrow(/"linear".*are default, longrope/);
  });
});

describe('smollm3', () => {
  test('every fourth layer has no positions, or those that no_rope_layers gives 0', () => {
    expect(ropes(smollm3())).toEqual([0, 0, 0, null, 0, 0]);
    expect(ropes(smollm3({ no_rope_layer_interval: 2 }))).toEqual([0, null, 0, null, 0, null]);
    expect(ropes(smollm3({ no_rope_layers: [0, 1, 1, 1, 0, 1, 0, 0] }))).toEqual([null, 0, 0, 0, null, 0]);
    expect(smollm3()).toMatchObject({ tiedHead: true, maxPositions: 32_768, eosTokenIds: [128_001] });
    expect(frequency(smollm3(), 0)).toBe(frequencyOf(2_000_000));
    expect(biases(smollm3({ attention_bias: true, mlp_bias: true }))).toHaveLength(7);
  });

  test('windows are for layers without positions unless layer_types says otherwise', () => {
    expect(windows(smollm3({ sliding_window: 8 }))).toEqual(Array(6).fill(null));
    expect(windows(smollm3({ sliding_window: 8, use_sliding_window: true }))).toEqual([
      null,
      null,
      null,
      8,
      null,
      null,
    ]);
    const layer_types = ['sliding_attention', ...Array(5).fill('full_attention')];
    expect(windows(smollm3({ sliding_window: 8, use_sliding_window: true, layer_types }))).toEqual([
      8,
      ...Array(5).fill(null),
    ]);
  });
});

describe('refuses', () => {
  test.each<[string, Parse, Fields, RegExp]>([
    ['an encoder', gemma2, { use_bidirectional_attention: true }, /use_bidirectional_attention: is true/],
    ['a cap of 0', gemma2, { attn_logit_softcapping: 0 }, /attn_logit_softcapping: is 0/],
    ['a cap as text', gemma2, { final_logit_softcapping: '30' }, /final_logit_softcapping: is "30"/],
    ['a scale of 0', gemma2, { query_pre_attn_scalar: 0 }, /query_pre_attn_scalar: is 0/],
    ['exact GELU', gemma2, { hidden_activation: 'gelu' }, /hidden_activation: is "gelu"/],
    ['a window of null', gemma2, { sliding_window: null }, /sliding_window: is null, but layer_types/],
    ['a pattern of 0', gemma3, { sliding_window_pattern: 0 }, /sliding_window_pattern: is 0/],
    ['RoPE per type as text', gemma3, { rope_parameters: { full_attention: 'x' } }, /full_attention: is "x"/],
    ['a local theta of 0', gemma3, { rope_local_base_freq: 0 }, /rope_local_base_freq: is 0/],
    [
      'a divisor too few',
      phi3,
      { rope_scaling: { type: 'longrope', short_factor: [1] } },
      /short_factor: has 1 entries/,
    ],
    ['more than a head', phi3, { partial_rotary_factor: 1.5 }, /partial_rotary_factor: 1\.5/],
    ['too short a list', smollm3, { no_rope_layers: [1] }, /no_rope_layers: has 1 entries, but num_hidden_layers is 6/],
    ['another entry', smollm3, { no_rope_layers: [1, 1, 2, 1, 1, 1] }, /no_rope_layers: an entry is 2/],
    ['an interval of 0', smollm3, { no_rope_layer_interval: 0 }, /no_rope_layer_interval: is 0/],
    ['a window of 0', mistral, { sliding_window: 0 }, /sliding_window: is 0/],
  ])('%s', (_, parse, changes, message) => {
    expect(() => parse(changes)).toThrow(ModelConfigError);
    expect(() => parse(changes)).toThrow(message);
    expect(() => parse()).not.toThrow();
  });

  test('any value in any field, only with ModelConfigError', () => {
    const fields = [
      ...Object.keys(SIZES),
      ...['rope_theta', 'rope_scaling', 'rope_parameters', 'rope_local_base_freq', 'partial_rotary_factor'],
      ...['layer_types', 'use_sliding_window', 'sliding_window', 'sliding_window_pattern', 'no_rope_layers'],
      ...['no_rope_layer_interval', 'hidden_activation', 'query_pre_attn_scalar', 'final_logit_softcapping'],
      ...['max_position_embeddings', 'original_max_position_embeddings', 'text_config', 'use_bidirectional_attention'],
    ];
    const rope = fc.record(
      {
        rope_type: fc.constantFrom('default', 'linear', 'dynamic', 'yarn', 'longrope', 'llama3', 'su'),
        factor: fc.oneof(fc.jsonValue(), fc.constantFrom(0, 1, 8, 1e300)),
        rope_theta: fc.oneof(fc.jsonValue(), fc.constantFrom(0, 1, 1e4, 1e300)),
        short_factor: fc.oneof(fc.jsonValue(), fc.array(fc.double(), { minLength: 8, maxLength: 8 })),
        long_factor: fc.oneof(fc.jsonValue(), fc.array(fc.double(), { minLength: 8, maxLength: 8 })),
        original_max_position_embeddings: fc.oneof(fc.jsonValue(), fc.constantFrom(0, 1, 2, 4_096)),
      },
      { requiredKeys: [] },
    );
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(0, -1, 1, 2, 1e9, Number.MAX_SAFE_INTEGER),
      rope,
      fc.record({ full_attention: rope, sliding_attention: rope }),
    );
    const types = ['mistral', 'qwen3', 'gemma2', 'gemma3_text', 'gemma3', 'phi3', 'smollm3'];
    fc.assert(
      fc.property(
        fc.constantFrom(...types),
        fc.dictionary(fc.constantFrom(...fields), value),
        (model_type, changes) => {
          try {
            parseModelConfig({ ...SIZES, model_type, text_config: SIZES, ...changes });
          } catch (error) {
            expect(error).toBeInstanceOf(ModelConfigError);
          }
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
