import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ModelConfigError } from './config_reader.ts';
import { parseModelConfig, readModelConfig, SUPPORTED_MODEL_TYPES, UnknownArchitectureError } from './model_config.ts';
import { layerLinears } from './model_spec.ts';
import { memoryFolder } from './testing.ts';

const LLAMA = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 192,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 512,
};
const QWEN2 = { ...LLAMA, model_type: 'qwen2', num_key_value_heads: 2, num_hidden_layers: 4 };
const llama = (changes: Record<string, unknown> = {}) => parseModelConfig({ ...LLAMA, ...changes });
const qwen2 = (changes: Record<string, unknown> = {}) => parseModelConfig({ ...QWEN2, ...changes });
const biases = (spec: ReturnType<typeof llama>) =>
  layerLinears(spec)
    .filter(({ bias }) => bias)
    .map(({ name }) => name);
const windows = (spec: ReturnType<typeof llama>) => spec.layers.map(({ window }) => window);

describe('llama', () => {
  test('defaults are those of transformers', () => {
    expect(llama()).toMatchObject({
      modelType: 'llama',
      hiddenSize: 64,
      intermediateSize: 192,
      vocabSize: 512,
      maxPositions: 2_048,
      attention: { heads: 4, kvHeads: 4, headDim: 16, scale: 0.25, softCap: null },
      activation: 'silu',
      norm: { epsilon: 1e-6, weightOffset: 0 },
      layers: [
        { rope: 0, window: null },
        { rope: 0, window: null },
      ],
      embeddingScale: null,
      finalSoftCap: null,
      tiedHead: false,
      tensors: { embedding: 'model.embed_tokens.weight', layerPrefix: 'model.layers.' },
      eosTokenIds: [2],
      padTokenId: null,
    });
    expect(biases(llama())).toEqual([]);
  });

  test('linears with grouped keys and values, and a head_dim of its own', () => {
    const spec = llama({ num_key_value_heads: 2, head_dim: 32 });
    expect(layerLinears(spec).map(({ name, inFeatures, outFeatures }) => [name, inFeatures, outFeatures])).toEqual([
      ['self_attn.q_proj', 64, 128],
      ['self_attn.k_proj', 64, 64],
      ['self_attn.v_proj', 64, 64],
      ['self_attn.o_proj', 128, 64],
      ['mlp.gate_proj', 64, 192],
      ['mlp.up_proj', 64, 192],
      ['mlp.down_proj', 192, 64],
    ]);
    expect(spec.attention.scale).toBe(32 ** -0.5);
    expect(spec.ropes[0]?.inverseFrequencies).toHaveLength(16);
  });

  test('biases', () => {
    expect(biases(llama({ attention_bias: true }))).toEqual(['q', 'k', 'v', 'o'].map((x) => `self_attn.${x}_proj`));
    expect(biases(llama({ mlp_bias: true }))).toEqual(['gate', 'up', 'down'].map((x) => `mlp.${x}_proj`));
  });

  test('token ids, tying, and what is ignored', () => {
    expect(llama({ eos_token_id: 7, pad_token_id: 3 })).toMatchObject({ eosTokenIds: [7], padTokenId: 3 });
    expect(llama({ eos_token_id: [7, 9], pad_token_id: -1 })).toMatchObject({ eosTokenIds: [7, 9], padTokenId: null });
    expect(llama({ eos_token_id: null }).eosTokenIds).toEqual([]);
    expect(llama({ tie_word_embeddings: true }).tiedHead).toBe(true);
    expect(llama({ pretraining_tp: 2, sliding_window: 8, use_cache: true })).toEqual(llama());
    expect(llama({ head_dim: null, num_key_value_heads: null, rope_scaling: null })).toEqual(llama());
  });
});

describe('qwen2', () => {
  test('q, k and v have a bias, o has none', () => {
    expect(biases(qwen2())).toEqual(['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj']);
    expect(qwen2()).toMatchObject({ maxPositions: 32_768, eosTokenIds: [], tiedHead: false });
  });

  test.each<[string, Record<string, unknown>, (number | null)[]]>([
    ['no use_sliding_window', { sliding_window: 8, max_window_layers: 0 }, [null, null, null, null]],
    [
      'layers from max_window_layers on',
      { use_sliding_window: true, sliding_window: 8, max_window_layers: 3 },
      [null, null, null, 8],
    ],
    ['all layers', { use_sliding_window: true, sliding_window: 8, max_window_layers: 0 }, [8, 8, 8, 8]],
    ['max_window_layers default 28', { use_sliding_window: true, sliding_window: 8 }, [null, null, null, null]],
    ['absent window', { use_sliding_window: true, max_window_layers: 3 }, [null, null, null, 4_096]],
    ['null window', { use_sliding_window: true, sliding_window: null, max_window_layers: 0 }, [null, null, null, null]],
    [
      'layer_types decide',
      {
        use_sliding_window: true,
        sliding_window: 8,
        max_window_layers: 0,
        layer_types: ['full_attention', 'sliding_attention', 'full_attention', 'full_attention'],
      },
      [null, 8, null, null],
    ],
    [
      'layer_types without use_sliding_window',
      { sliding_window: 8, layer_types: Array(4).fill('sliding_attention') },
      [null, null, null, null],
    ],
  ])('windows: %s', (_, changes, expected) => {
    expect(windows(qwen2(changes))).toEqual(expected);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['too few layer_types', { layer_types: ['full_attention'] }, /layer_types: has 1 entries.*is 4/],
    ['an unknown layer type', { layer_types: Array(4).fill('chunked') }, /"chunked"/],
    ['layer_types as text', { layer_types: 'full_attention' }, /must be a list/],
    ['a window of 0', { use_sliding_window: true, sliding_window: 0 }, /sliding_window: is 0/],
    [
      'sliding layers with a null window',
      { use_sliding_window: true, sliding_window: null, layer_types: Array(4).fill('sliding_attention') },
      /sliding_window: is null/,
    ],
  ])('refuses %s', (_, changes, message) => {
    expect(() => qwen2(changes)).toThrow(ModelConfigError);
    expect(() => qwen2(changes)).toThrow(message);
  });
});

describe('parseModelConfig refuses', () => {
  test.each<[string, Record<string, unknown>, RegExp]>([
    ['10^9 layers', { num_hidden_layers: 1e9 }, /num_hidden_layers: is 1000000000.*from 1 to 1000/],
    ['1,001 layers', { num_hidden_layers: 1_001 }, /num_hidden_layers/],
    ['no layer', { num_hidden_layers: 0 }, /num_hidden_layers: is 0/],
    ['0 heads', { num_attention_heads: 0 }, /num_attention_heads: is 0/],
    ['0 key heads', { num_key_value_heads: 0 }, /num_key_value_heads: is 0/],
    ['heads that key heads do not divide', { num_key_value_heads: 3 }, /num_key_value_heads: 3 does not divide.*4/],
    ['hidden not divisible', { hidden_size: 65 }, /hidden_size: 65 is not a multiple of num_attention_heads, 4/],
    ['hidden not divisible, own head_dim', { hidden_size: 65, head_dim: 16 }, /hidden_size: 65/],
    ['an odd head_dim', { head_dim: 15 }, /head_dim: 15 is odd/],
    ['a head too wide to list its frequencies', { head_dim: 1e9 }, /head_dim: 1000000000 is more than the 16384/],
    ['too wide heads', { head_dim: 2 ** 31 }, /head_dim: 4 heads of/],
    ['a fractional size', { intermediate_size: 1.5 }, /intermediate_size: is 1\.5.*whole number/],
    ['a size as text', { vocab_size: '512' }, /vocab_size: is "512"/],
    ['a negative size', { vocab_size: -1 }, /vocab_size: is -1/],
    ['a size of 2^32', { vocab_size: 2 ** 32 }, /vocab_size/],
    ['a missing size', { hidden_size: undefined }, /hidden_size: is missing/],
    ['epsilon 0', { rms_norm_eps: 0 }, /rms_norm_eps/],
    ['another activation', { hidden_act: 'gelu' }, /hidden_act: is "gelu".*supported are silu/],
    ['a bias as text', { attention_bias: 'true' }, /attention_bias: is "true".*true or false/],
    ['an EOS outside the vocabulary', { eos_token_id: 512 }, /eos_token_id: is 512.*below vocab_size, 512/],
    ['an EOS list with text', { eos_token_id: [1, 'x'] }, /eos_token_id: is "x"/],
    ['a pad token outside the vocabulary', { pad_token_id: 600 }, /pad_token_id/],
    ['quantized weights', { quantization_config: { quant_method: 'gptq' } }, /already quantized \(gptq\)/],
    ['AWQ', { quantization_config: { quant_method: 'awq', bits: 4 } }, /\(awq\).*only bitsandbytes' 4 bits/],
    [
      'bitsandbytes in 8 bit',
      { quantization_config: { quant_method: 'bitsandbytes', load_in_8bit: true } },
      /\(bitsandbytes in 8 bit\)/,
    ],
    ['a quantization without a name', { quantization_config: { bits: 4 } }, /by an unnamed method/],
  ])('%s', (_, changes, message) => {
    expect(() => llama(changes)).toThrow(ModelConfigError);
    expect(() => llama(changes)).toThrow(message);
    expect(() => llama(changes)).toThrow(/^config\.json: .*(download it again|Choose the same)/);
    expect(llama().modelType).toBe('llama');
  });

  test.each(['gemma4', 'LLAMA', '__proto__', 'constructor', ''])('the unknown architecture "%s"', (model_type) => {
    const parse = () => parseModelConfig({ ...LLAMA, model_type });
    expect(parse).toThrow(UnknownArchitectureError);
    expect(parse).toThrow(`"${model_type}" is not supported; supported are ${SUPPORTED_MODEL_TYPES.join(', ')}`);
  });

  test('what is no config at all', () => {
    for (const json of [null, 3, 'x', [], undefined]) {
      expect(() => parseModelConfig(json)).toThrow(/not a JSON object/);
    }
    expect(() => parseModelConfig({})).toThrow(/model_type: is missing/);
    expect(() => parseModelConfig(JSON.parse('{"__proto__": {"model_type": "llama"}}'))).toThrow(/missing/);
  });

  test('any value in any field, only with ModelConfigError', () => {
    const fields = [
      ...Object.keys(LLAMA),
      ...['num_key_value_heads', 'head_dim', 'rope_theta', 'rope_scaling', 'rope_parameters', 'eos_token_id'],
      ...['pad_token_id', 'rms_norm_eps', 'layer_types', 'use_sliding_window', 'sliding_window', 'hidden_act'],
    ];
    const value = fc.oneof(fc.jsonValue(), fc.constantFrom(0, -1, 1e9, Number.MAX_SAFE_INTEGER, 'llama', 'qwen2'));
    fc.assert(
      fc.property(fc.constantFrom(LLAMA, QWEN2), fc.dictionary(fc.constantFrom(...fields), value), (base, changes) => {
        try {
          parseModelConfig({ ...base, ...changes });
        } catch (error) {
          expect(error).toBeInstanceOf(ModelConfigError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('readModelConfig', () => {
  const readText = (content: string | Uint8Array) => readModelConfig(memoryFolder('m', { 'config.json': content }));

  test('reads a folder', async () => {
    expect(await readText(JSON.stringify(LLAMA))).toEqual(llama());
  });

  test('refuses a pointer, bad UTF-8, 10 MB and depth, with ModelConfigError', async () => {
    for (const [content, message] of [
      ['version https://git-lfs.github.com/spec/v1', /config\.json is not JSON/],
      [new Uint8Array([0xff]), /not UTF-8/],
      [new Uint8Array(10_000_001), /at most 10000000/],
      ['['.repeat(100_000), /not JSON/],
      ['['.repeat(100_000) + ']'.repeat(100_000), /not a JSON object/],
    ] as const) {
      await expect(readText(content)).rejects.toThrow(ModelConfigError);
      await expect(readText(content)).rejects.toThrow(message);
    }
    await expect(readModelConfig(memoryFolder('m', {}))).rejects.toThrow(/m has no file config\.json/);
  });
});

test.each([
  { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' },
  // As older releases of transformers wrote it.
  { load_in_4bit: true, bnb_4bit_quant_type: 'fp4' },
  { quant_method: 'bitsandbytes', load_in_4bit: true, llm_int8_skip_modules: null },
  // Some linears are not.
  { load_in_4bit: true, llm_int8_skip_modules: ['lm_head', 'model.layers.1.mlp', 'model.layers.5.self_attn'] },
])('weights that bitsandbytes has in 4 bits are accepted: %o', (quantization_config) => {
  expect(llama({ quantization_config }).modelType).toBe('llama');
});
