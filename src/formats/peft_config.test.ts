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
      use_rslora: true,
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

  test('target_modules: a list, all-linear, or a regular expression that the tensors stand in for', () => {
    expect(parse({ target_modules: 'all-linear' }).target_modules).toBe('all-linear');
    expect(parse({ target_modules: '.*\\.(q|v)_proj' }).target_modules).toBeNull();
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
    [{ use_dora: true }, /use_dora.*DoRA.*later release/],
    [{ bias: 'all' }, /bias is "all".*later release/],
    [{ bias: 'lora_only' }, /bias/],
    [{ rank_pattern: { q_proj: 4 } }, /rank_pattern.*later release/],
    [{ alpha_pattern: { q_proj: 4 } }, /alpha_pattern.*later release/],
    [{ fan_in_fan_out: true }, /fan_in_fan_out.*later release/],
    [{ lora_bias: true }, /lora_bias.*later release/],
    [{ layers_to_transform: [0] }, /layers_to_transform.*later release/],
    [{ layers_to_transform: 0 }, /layers_to_transform/],
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
    use_rslora: true,
    base_model_name_or_path: 'org/model',
  };

  test('writes every field, sorted, and reads back equal', () => {
    const text = formatPeftConfig(fields);
    const config: Record<string, unknown> = JSON.parse(text);
    expect(Object.keys(config)).toEqual(Object.keys(config).sort());
    expect(config).toMatchObject({ task_type: 'CAUSAL_LM', inference_mode: true, revision: null, lora_dropout: 0 });
    const { raw: _, ...read } = parsePeftConfig('a', config);
    expect(read).toEqual(fields);
  });

  test('a whole lora_alpha is an integer in the file, another is not', () => {
    expect(formatPeftConfig(fields)).toMatch(/"lora_alpha": 32,/);
    expect(formatPeftConfig({ ...fields, lora_alpha: 32.5 })).toMatch(/"lora_alpha": 32\.5,/);
  });
});
