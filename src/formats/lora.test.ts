import { describe, expect, test } from 'vitest';
import { LoraTargetError, loraScale, selectLoraTargets } from './lora.ts';
import { parseModelConfig } from './model_config.ts';

const spec = parseModelConfig({
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 10,
});
const select = (targets: 'all-linear' | string[]) => selectLoraTargets(spec, targets).map(({ name }) => name);
const ALL = ['q', 'k', 'v', 'o']
  .map((x) => `self_attn.${x}_proj`)
  .concat(['gate', 'up', 'down'].map((x) => `mlp.${x}_proj`));

test('loraScale', () => {
  expect(loraScale({ r: 16, lora_alpha: 32, use_rslora: false })).toBe(2);
  expect(loraScale({ r: 16, lora_alpha: 32, use_rslora: true })).toBe(8);
  expect(loraScale({ r: 8, lora_alpha: 16, use_rslora: true })).toBe(16 / Math.sqrt(8));
});

describe('selectLoraTargets', () => {
  test('all linears', () => {
    expect(select('all-linear')).toEqual(ALL);
  });

  test('by last part or path, in the order they run, each once', () => {
    expect(select(['down_proj', 'q_proj', 'self_attn.q_proj'])).toEqual(['self_attn.q_proj', 'mlp.down_proj']);
  });

  test.each<[string, string[], RegExp]>([
    ['a name that matches nothing', ['q_proj', 'qkv_proj'], /no linear "qkv_proj".*Choose from q_proj.*down_proj/],
    ['half a name', ['proj'], /no linear "proj"/],
    ['an empty name', [''], /no linear ""/],
    ['one layer', ['model.layers.0.self_attn.q_proj'], /no linear/],
    ['the head', ['q_proj', 'lm_head'], /lm_head.*stay frozen/],
    ['the embedding', ['model.embed_tokens'], /embed_tokens.*stay frozen/],
    ['nothing', [], /empty/],
  ])('refuses %s', (_, targets, message) => {
    expect(() => select(targets)).toThrow(LoraTargetError);
    expect(() => select(targets)).toThrow(message);
  });
});
