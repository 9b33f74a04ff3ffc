import { expect, it } from 'vitest';
import type { ModelInfo } from '../worker/studio_protocol.ts';
import { checkSettings, patternText, quantizationOf } from './check_settings.ts';
import { DEFAULT_SETTINGS, type NumberField, type Settings } from './settings_store.ts';

const typed = (numbers: Partial<Record<NumberField, string>>): Settings => ({
  ...DEFAULT_SETTINGS,
  numbers: { ...DEFAULT_SETTINGS.numbers, ...numbers },
});

const model: ModelInfo = {
  name: 'tiny',
  commit: null,
  modelType: 'llama',
  parameters: 1,
  layers: 1,
  hiddenSize: 8,
  vocabSize: 8,
  maxPositions: 512,
  downloadBytes: 1,
  weightFiles: 1,
  linears: ['q_proj', 'v_proj'],
  linearPaths: ['self_attn.q_proj', 'self_attn.v_proj'],
  chatTemplate: false,
};

it('takes the defaults as RunConfig has them', () => {
  const { errors, request, data } = checkSettings(DEFAULT_SETTINGS);
  expect(errors).toEqual({});
  expect(request?.lora).toMatchObject({ r: 16, lora_alpha: 32, target_modules: 'all-linear' });
  expect(request?.training).toMatchObject({ max_steps: 60, learning_rate: 2e-4, eval_steps: 12 });
  expect(data).toMatchObject({ max_length: 1024, validation_share: 0.1 });
});

it('names every field that is wrong', () => {
  const { errors, request } = checkSettings(
    typed({ r: '1.5', max_steps: '0', learning_rate: 'fast', adam_beta1: '1', max_grad_norm: '0', seed: '' }),
  );
  expect(errors).toEqual({
    r: 'Enter a whole number.',
    max_steps: 'Enter 1 or more.',
    learning_rate: 'Enter a number.',
    adam_beta1: 'Enter less than 1.',
    max_grad_norm: 'Enter more than 0.',
    seed: 'Enter a number.',
  });
  expect(request).toBeNull();
});

it('reads the data in spite of a slip in the schedule, and not with a wrong max_length', () => {
  expect(checkSettings(typed({ max_steps: 'x' })).data).toMatchObject({ max_length: 1024 });
  expect(checkSettings(typed({ max_length: 'x' })).data).toBeNull();
  expect(checkSettings(typed({ validation_share: '0.9' })).data).toBeNull();
});

it('knows the model', () => {
  expect(checkSettings(typed({ max_length: '1024' }), model).errors.max_length).toMatch(/512 tokens/);
  const settings = { ...typed({ max_length: '512' }), target_modules: ['q_proj', 'w_proj'] };
  expect(checkSettings(settings, model).errors.target_modules).toBe('tiny has no w_proj.');
});

it('keeps to the shape of an adapter it starts from', () => {
  const start = {
    lora: { r: 8, lora_alpha: 16, use_rslora: true, target_modules: ['q_proj'], rank_pattern: { q_proj: 2 } },
  };
  const { errors, request } = checkSettings(typed({ r: '', max_length: '512' }), model, start);
  expect(errors).toEqual({});
  expect(request?.lora).toMatchObject(start.lora);
});

it('reads ranks and alphas of their own, and says how they are written', () => {
  const patterned = (rank_pattern: string, alpha_pattern = '') =>
    checkSettings({ ...DEFAULT_SETTINGS, patterns: { rank_pattern, alpha_pattern } });
  const { request, errors } = patterned('q_proj = 32, layers\\.0\\.mlp.*=8,', 'v_proj = 0.5');
  expect(errors).toEqual({});
  expect(request?.lora.rank_pattern).toEqual({ q_proj: 32, 'layers\\.0\\.mlp.*': 8 });
  expect(request?.lora.alpha_pattern).toEqual({ v_proj: 0.5 });
  expect(patternText(request?.lora.rank_pattern)).toBe('q_proj = 32, layers\\.0\\.mlp.* = 8');
  for (const wrong of ['q_proj', 'q_proj = x', 'q_proj = 0', 'q_proj = 1.5', 'q_proj =']) {
    expect(patterned(wrong).errors.rank_pattern).toMatch(/name = number above 0/);
    expect(patterned(wrong).request).toBeNull();
  }
  expect(patterned('', 'q_proj = -1').errors).toHaveProperty('alpha_pattern');
});

it('says how the model is to be held', () => {
  expect(checkSettings(DEFAULT_SETTINGS).request?.quantization).toMatchObject({
    bnb_4bit_quant_type: 'nf4',
    bnb_4bit_use_double_quant: true,
    embeddings_in_8bit: false,
  });
  const flags = { ...DEFAULT_SETTINGS.flags, embeddings_in_8bit: true };
  const quantization = quantizationOf({ ...DEFAULT_SETTINGS, bnb_4bit_quant_type: 'fp4', flags });
  expect(quantization).toMatchObject({ bnb_4bit_quant_type: 'fp4', embeddings_in_8bit: true });
});

it('takes budgets in MB, those of the moments from a paged optimizer alone', () => {
  const budgets = {
    optimizer_memory_budget: '64',
    optimizer_host_memory_budget: '0',
    optimizer_page_size: '1.05',
    weight_memory_budget: '582.5',
  };
  const paged = checkSettings({ ...typed(budgets), optim: 'paged_adamw_8bit' });
  expect(paged.errors).toEqual({});
  expect(paged.request?.training).toMatchObject({
    optimizer_memory_budget: 64e6,
    optimizer_host_memory_budget: 0,
    optimizer_page_size: 1.05e6,
  });
  expect(paged.request?.quantization.weight_memory_budget).toBe(582.5e6);
  // What is typed for another optimizer is in nobody's way.
  const resident = checkSettings(typed({ ...budgets, optimizer_memory_budget: 'much' }));
  expect(resident.errors).toEqual({});
  expect(resident.request?.training.optimizer_memory_budget).toBeUndefined();
  expect(checkSettings({ ...DEFAULT_SETTINGS, optim: 'paged_adamw_32bit' }).request?.training).not.toHaveProperty(
    'optimizer_memory_budget',
    expect.anything(),
  );
});

it('names the budget that is wrong; the model is loaded as if it were empty', () => {
  const settings = typed({
    optimizer_memory_budget: '0',
    optimizer_host_memory_budget: '-1',
    optimizer_page_size: 'big',
    weight_memory_budget: '-3',
  });
  const { errors, request } = checkSettings({ ...settings, optim: 'paged_adamw_32bit' });
  expect(errors).toEqual({
    optimizer_memory_budget: 'Enter more than 0.',
    optimizer_host_memory_budget: 'Enter 0 or more.',
    optimizer_page_size: 'Enter a number.',
    weight_memory_budget: 'Enter more than 0.',
  });
  expect(request).toBeNull();
  expect(quantizationOf(settings).weight_memory_budget).toBeUndefined();
});
