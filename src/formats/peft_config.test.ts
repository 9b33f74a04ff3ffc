import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AdapterError, formatPeftConfig, parsePeftConfig } from './peft_config.ts';

const BASE = { peft_type: 'LORA', r: 8, lora_alpha: 16, target_modules: ['q_proj'] };
const parse = (changes: Record<string, unknown> = {}) => parsePeftConfig('a', { ...BASE, ...changes });

describe('parsePeftConfig', () => {
  test('reads the fields, with PEFT’s defaults', () => {
    const { raw, ...config } = parse({ base_model_name_or_path: 'org/model', use_rslora: true, unknown: 1 });
    expect(config).toEqual({
      r: 8,
      lora_alpha: 16,
      target_modules: ['q_proj'],
      layers_to_transform: null,
      layers_pattern: null,
      exclude_modules: null,
      rank_pattern: {},
      alpha_pattern: {},
      use_rslora: true,
      use_dora: false,
      lora_dropout: 0,
      base_model_name_or_path: 'org/model',
    });
    expect(raw.unknown).toBe(1);
    expect(parsePeftConfig('a', { peft_type: 'LORA' })).toMatchObject({
      r: 8,
      lora_alpha: 8,
      target_modules: null,
      use_rslora: false,
      base_model_name_or_path: null,
    });
  });

  test('target_modules: a list, all-linear, or a regular expression', () => {
    expect(parse({ target_modules: 'all-linear' }).target_modules).toBe('all-linear');
    expect(parse({ target_modules: '.*\\.(q|v)_proj' }).target_modules).toBe('.*\\.(q|v)_proj');
  });

  test('DoRA, patterns, layers and dropout', () => {
    const changes = { use_dora: true, rank_pattern: { q_proj: 4 }, alpha_pattern: { q_proj: 0.5 }, lora_dropout: 0.1 };
    expect(parse(changes)).toMatchObject(changes);
    expect(parse({ layers_to_transform: 3 }).layers_to_transform).toEqual([3]);
    expect(parse({ layers_to_transform: [0, 2] }).layers_to_transform).toEqual([0, 2]);
    expect(parse({ layers_to_transform: [] }).layers_to_transform).toBeNull();
  });

  test('accepts everything off, in each of the ways that PEFT writes it', () => {
    const off = {
      ...{ modules_to_save: null, use_dora: false, bias: 'none', rank_pattern: {}, alpha_pattern: {} },
      ...{ fan_in_fan_out: false, lora_bias: false, layers_to_transform: null, layer_replication: [] },
      ...{ modules: [], init_lora_weights: true, loftq_config: {}, use_bdlora: null },
    };
    expect(parse(off).r).toBe(8);
    for (const init_lora_weights of [false, 'gaussian', 'orthogonal', 'eva', null]) {
      expect(parse({ init_lora_weights }).r).toBe(8);
    }
  });

  test.each<[Record<string, unknown>, RegExp]>([
    [{ peft_type: 'IA3' }, /peft_type is "IA3".*later release/],
    [{ peft_type: undefined }, /peft_type is missing/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save is set.*later release/],
    [{ use_dora: 1 }, /use_dora is 1/],
    [{ bias: 'all' }, /bias is "all".*later release/],
    [{ bias: 'lora_only' }, /bias/],
    [{ rank_pattern: { q_proj: 4.5 } }, /rank_pattern is an object, but must be an object of numbers/],
    [{ rank_pattern: { q_proj: 0 } }, /rank_pattern/],
    [{ alpha_pattern: { q_proj: '4' } }, /alpha_pattern/],
    [{ alpha_pattern: [4] }, /alpha_pattern is a list/],
    [{ lora_dropout: 1 }, /lora_dropout is 1/],
    [{ fan_in_fan_out: true }, /fan_in_fan_out.*later release/],
    [{ lora_bias: true }, /lora_bias.*later release/],
    [{ layers_to_transform: [0.5] }, /layers_to_transform/],
    [{ layers_to_transform: 'all' }, /layers_to_transform is "all"/],
    [{ layer_replication: [[0, 2]] }, /layer_replication/],
    [{ use_qalora: true }, /QA-LoRA/],
    [{ trainable_token_indices: { embed_tokens: [1] } }, /trainable_token_indices/],
    [{ init_lora_weights: 'pissa_niter_4' }, /init_lora_weights is "pissa_niter_4".*base weights/],
    [{ r: 0 }, /r is 0, but must be a whole number/],
    [{ r: 1.5 }, /r is 1\.5/],
    [{ r: '8' }, /r is "8"/],
    [{ lora_alpha: -1 }, /lora_alpha is -1/],
    [{ use_rslora: 'yes' }, /use_rslora/],
    [{ target_modules: [1] }, /target_modules is a list/],
    [{ target_modules: 3 }, /target_modules is 3/],
    [{ base_model_name_or_path: 3 }, /base_model_name_or_path/],
  ])('refuses %o', (changes, message) => {
    expect(() => parse(changes)).toThrow(AdapterError);
    expect(() => parse(changes)).toThrow(message);
  });

  test('any JSON, only with AdapterError', () => {
    const anything = fc.oneof(
      fc.jsonValue(),
      fc
        .dictionary(fc.constantFrom('r', 'lora_alpha', 'target_modules', 'bias', 'use_dora'), fc.jsonValue())
        .map((changes) => ({ ...BASE, ...changes })),
    );
    fc.assert(
      fc.property(anything, (json) => {
        try {
          parsePeftConfig('a', json);
        } catch (error) {
          expect(error).toBeInstanceOf(AdapterError);
        }
      }),
    );
  });
});

describe('formatPeftConfig', () => {
  const fields = {
    r: 16,
    lora_alpha: 32.0,
    target_modules: ['q_proj', 'v_proj'],
    layers_to_transform: [0, 3],
    layers_pattern: 'layers',
    exclude_modules: ['o_proj'],
    rank_pattern: { 'layers.0.self_attn.q_proj': 4 },
    alpha_pattern: { v_proj: 1.5 },
    use_rslora: true,
    use_dora: true,
    lora_dropout: 0.05,
    base_model_name_or_path: 'org/model',
  };

  test('writes every field, sorted, and reads back equal', () => {
    const text = formatPeftConfig(fields);
    const config: Record<string, unknown> = JSON.parse(text);
    expect(Object.keys(config)).toEqual(Object.keys(config).sort());
    expect(config).toMatchObject({ task_type: 'CAUSAL_LM', inference_mode: true, revision: null });
    const { raw: _, ...read } = parsePeftConfig('a', config);
    expect(read).toEqual(fields);
  });

  test('a whole lora_alpha is an integer in the file, another is not', () => {
    expect(formatPeftConfig(fields)).toMatch(/"lora_alpha": 32,/);
    expect(formatPeftConfig({ ...fields, lora_alpha: 32.5 })).toMatch(/"lora_alpha": 32\.5,/);
  });
});
