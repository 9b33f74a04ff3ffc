import { describe, expect, it, test } from 'vitest';
import { ModelConfigError } from './config_reader.ts';
import { parseModelConfig } from './model_config.ts';
import { checkPlannedLinears, linearPaths, plannedLinears, QuantizationMismatchError } from './stored_linears.ts';

const SIZES = {
  ...{ hidden_size: 8, intermediate_size: 16, num_attention_heads: 2, num_key_value_heads: 1, vocab_size: 10 },
  ...{ rms_norm_eps: 1e-6, tie_word_embeddings: true },
};
const LLAMA = { ...SIZES, model_type: 'llama', num_hidden_layers: 12, torch_dtype: 'bfloat16' };
const spec = parseModelConfig(LLAMA);
const paths = linearPaths(spec);

const skipping = (...llm_int8_skip_modules: unknown[]) => ({
  ...LLAMA,
  quantization_config: { load_in_4bit: true, bnb_4bit_use_double_quant: true, llm_int8_skip_modules },
});
const skipped = (...names: unknown[]) => plannedLinears(skipping(...names), spec)?.skipped;

describe('plannedLinears', () => {
  it('is null where nothing is quantized', () => {
    expect(plannedLinears(LLAMA, spec)).toBeNull();
  });

  it('names the linears that a skip list leaves out', () => {
    expect(skipped('lm_head', 'model.layers.1.self_attn', 'model.layers.3.mlp.down_proj')).toEqual([
      ...['q', 'k', 'v', 'o'].map((one) => `model.layers.1.self_attn.${one}_proj`),
      'model.layers.3.mlp.down_proj',
    ]);
    // The end of a path; one of every layer.
    expect(skipped('down_proj')).toEqual(paths.filter((path) => path.endsWith('down_proj')));
    // An expression for how paths begin, as transformers takes names: 1 also begins 10 and 11.
    expect(skipped('model.layers.1')?.length).toBe(3 * 7);
    expect(skipped('model\\.layers\\.(2|5)\\.mlp')?.length).toBe(2 * 3);
    // What is none is compared as text.
    expect(skipped('model.layers.0.mlp(')).toEqual([]);
    for (const none of [['lm_head'], ['vision_tower.layers.3.mlp', 'visual'], [], [7, null]]) {
      expect(skipped(...none)).toEqual([]);
    }
  });

  it('takes dtype and double quantization from where releases of transformers have written them', () => {
    expect(plannedLinears(skipping(), spec)).toEqual({ dtype: 'BF16', doubleQuant: true, skipped: [] });
    const other = { ...LLAMA, torch_dtype: null, dtype: 'float16', quantization_config: { load_in_4bit: true } };
    expect(plannedLinears(other, spec)).toMatchObject({ dtype: 'F16', doubleQuant: false });
    const { torch_dtype, ...unsaid } = other;
    expect(plannedLinears({ ...unsaid, dtype: null }, spec)?.dtype).toBeNull();
  });

  it('knows the paths of an older module tree', () => {
    const text_config = { ...SIZES, num_hidden_layers: 2, head_dim: 4, query_pre_attn_scalar: 4 };
    const config = { model_type: 'gemma3', text_config, vision_config: {} };
    const gemma = parseModelConfig(config);
    const names = ['language_model.model.layers.1.mlp', 'vision_tower.vision_model.encoder.layers.0.mlp'];
    const quantization_config = { load_in_4bit: true, llm_int8_skip_modules: names };
    expect(plannedLinears({ ...config, quantization_config }, gemma)?.skipped).toEqual(
      ['gate', 'up', 'down'].map((one) => `model.language_model.layers.1.mlp.${one}_proj`),
    );
  });

  it('refuses lists that are none or endless', () => {
    const config = { ...LLAMA, quantization_config: { llm_int8_skip_modules: 'down_proj' } };
    expect(() => plannedLinears(config, spec)).toThrow(ModelConfigError);
    expect(() => skipped(...new Array<string>(2001).fill('x'))).toThrow(/llm_int8_skip_modules: has 2001 entries/);
    expect(skipped(...new Array<string>(2000).fill('x'))).toEqual([]);
  });
});

test('config.json and weights that say different things of 4 bits are refused', () => {
  const planned = plannedLinears(skipping('down_proj'), spec);
  const holding = (...names: string[]) => ({ quantized: (name: string) => names.includes(name) || undefined });
  const some = holding('model.layers.4.mlp.up_proj.weight');
  expect(() => checkPlannedLinears(planned, spec, some)).not.toThrow();
  expect(() => checkPlannedLinears(null, spec, holding())).not.toThrow();
  expect(() => checkPlannedLinears(null, spec, {})).not.toThrow();
  for (const none of [holding(), holding('lm_head.weight'), {}]) {
    expect(() => checkPlannedLinears(planned, spec, none)).toThrow(QuantizationMismatchError);
    expect(() => checkPlannedLinears(planned, spec, none)).toThrow(/no linear .* has a quant_state.*Download/);
  }
  expect(() => checkPlannedLinears(null, spec, some)).toThrow(QuantizationMismatchError);
  expect(() => checkPlannedLinears(null, spec, some)).toThrow(/layers\.4\.mlp\.up_proj is in 4 bits.*Download/);
});
