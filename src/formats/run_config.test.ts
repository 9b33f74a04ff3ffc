import { expect, test } from 'vitest';
import { parseRunConfig, RunConfigError } from './run_config.ts';

const parse = (lora: Record<string, unknown>) => parseRunConfig({ model: 'm', data: 'd', lora }).lora;

test('LoRA’s options, with PEFT’s defaults', () => {
  expect(parse({})).toMatchObject({
    ...{ target_modules: 'all-linear', layers_to_transform: null, rank_pattern: {}, alpha_pattern: {} },
    ...{ use_rslora: false, use_dora: false, lora_dropout: 0, init_lora_weights: true },
  });
  const patterns = { rank_pattern: { q_proj: 4 }, alpha_pattern: { q_proj: 0.5 } };
  const options = { target_modules: '.*q_proj', ...patterns, use_dora: true, lora_dropout: 0.1 };
  expect(parse({ ...options, init_lora_weights: 'gaussian' })).toMatchObject(options);
  // Off, as PEFT writes it.
  expect(parse({ modules_to_save: null, bias: 'none', lora_bias: false }).r).toBe(16);
});

test.each<[Record<string, unknown>, RegExp]>([
  [
    { modules_to_save: ['lm_head'] },
    /modules_to_save is set, which is not supported: whole modules, such as the embedding/,
  ],
  [{ layer_replication: [[0, 2]] }, /layer_replication is set/],
  [{ lora_dropout: 1 }, /lora\.lora_dropout/],
  [{ rank_pattern: { q_proj: 0 } }, /lora\.rank_pattern\.q_proj/],
  [{ alpha_pattern: { q_proj: '4' } }, /lora\.alpha_pattern\.q_proj/],
  [{ init_lora_weights: 'pissa' }, /lora\.init_lora_weights/],
  [{ target_modules: [] }, /lora\.target_modules/],
])('refuses %o', (lora, message) => {
  expect(() => parse(lora)).toThrow(RunConfigError);
  expect(() => parse(lora)).toThrow(message);
});
