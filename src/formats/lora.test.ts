import { describe, expect, test } from 'vitest';
import { adaptedLinears, type LoraSettings, LoraTargetError, loraScale } from './lora.ts';
import { parseModelConfig } from './model_config.ts';

const spec = parseModelConfig({
  model_type: 'llama',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  vocab_size: 10,
});
const PLAIN: LoraSettings = { r: 4, lora_alpha: 8, use_rslora: false, target_modules: 'all-linear' };
const select = (settings: Partial<LoraSettings>) => [...adaptedLinears(spec, { ...PLAIN, ...settings }).keys()];
const inLayer = (layer: number, ...names: string[]) => names.map((name) => `model.layers.${layer}.${name}`);
const ALL = ['q', 'k', 'v', 'o']
  .map((x) => `self_attn.${x}_proj`)
  .concat(['gate', 'up', 'down'].map((x) => `mlp.${x}_proj`));

test('loraScale', () => {
  expect(loraScale({ r: 16, lora_alpha: 32, use_rslora: false })).toBe(2);
  expect(loraScale({ r: 16, lora_alpha: 32, use_rslora: true })).toBe(8);
  expect(loraScale({ r: 8, lora_alpha: 16, use_rslora: true })).toBe(16 / Math.sqrt(8));
});

describe('target_modules', () => {
  test('all linears, however it is written', () => {
    expect(select({})).toEqual([...inLayer(0, ...ALL), ...inLayer(1, ...ALL)]);
    expect(select({ target_modules: 'ALL-linear' })).toEqual(select({}));
  });

  test('by last part or path, in the order they run, each once', () => {
    const both = (layer: number) => inLayer(layer, 'self_attn.q_proj', 'mlp.down_proj');
    expect(select({ target_modules: ['down_proj', 'q_proj', 'self_attn.q_proj'] })).toEqual([...both(0), ...both(1)]);
    expect(select({ target_modules: inLayer(1, 'mlp.up_proj') })).toEqual(inLayer(1, 'mlp.up_proj'));
  });

  test('by an expression for the whole path, as PEFT', () => {
    expect(select({ target_modules: '.*\\.(q|v)_proj' })).toHaveLength(4);
    expect(select({ target_modules: 'model\\.layers\\.1\\..*_proj' })).toEqual(inLayer(1, ...ALL));
    // A lone name, which PEFT refuses, is one.
    expect(select({ target_modules: 'q_proj' })).toEqual(select({ target_modules: ['q_proj'] }));
  });

  test('of some layers', () => {
    expect(select({ target_modules: ['q_proj'], layers_to_transform: [1] })).toEqual(inLayer(1, 'self_attn.q_proj'));
    expect(select({ target_modules: ['q_proj'], layers_to_transform: 0 })).toEqual(inLayer(0, 'self_attn.q_proj'));
    expect(select({ target_modules: ['q_proj'], layers_to_transform: [] })).toHaveLength(2);
  });

  test('of some layers by what stands before their number; a whole path in any layer', () => {
    const one = { target_modules: ['q_proj'], layers_to_transform: 1 };
    expect(select({ ...one, layers_pattern: 'layers' })).toEqual(inLayer(1, 'self_attn.q_proj'));
    expect(select({ ...one, layers_pattern: ['h', 'lay.*'] })).toEqual(inLayer(1, 'self_attn.q_proj'));
    expect(select({ ...one, layers_pattern: [] })).toEqual(inLayer(1, 'self_attn.q_proj'));
    const whole = inLayer(0, 'mlp.up_proj');
    expect(select({ ...one, target_modules: ['q_proj', ...whole] })).toEqual([
      ...whole,
      ...inLayer(1, 'self_attn.q_proj'),
    ]);
  });

  test('without what is excluded, by name or by an expression for the whole path', () => {
    const without = (...names: string[]) => select({}).filter((path) => !names.some((name) => path.endsWith(name)));
    expect(select({ exclude_modules: ['q_proj', 'mlp.up_proj'] })).toEqual(without('q_proj', 'up_proj'));
    expect(select({ exclude_modules: inLayer(0, 'self_attn.q_proj') })).toEqual(without('0.self_attn.q_proj'));
    expect(select({ exclude_modules: '.*\\.mlp\\..*' })).toEqual(without('gate_proj', 'up_proj', 'down_proj'));
    expect(select({ target_modules: '.*_proj', exclude_modules: ['o_proj'] })).toEqual(without('o_proj'));
    // What is not there, or only a part of a path, excludes nothing.
    expect(select({ exclude_modules: ['vision', 'proj'] })).toEqual(select({}));
    expect(select({ exclude_modules: 'q_proj' })).toEqual(select({}));
    expect(select({ exclude_modules: null })).toEqual(select({}));
  });

  test.each<[string, Partial<LoraSettings>, RegExp]>([
    [
      'a name that matches nothing',
      { target_modules: ['q_proj', 'qkv_proj'] },
      /no linear "qkv_proj".*Choose from q_proj/,
    ],
    ['half a name', { target_modules: ['proj'] }, /no linear "proj"/],
    ['an empty name', { target_modules: [''] }, /no linear ""/],
    ['a layer too many', { target_modules: ['model.layers.2.self_attn.q_proj'] }, /no linear/],
    ['the head', { target_modules: ['q_proj', 'lm_head'] }, /lm_head.*stay frozen/],
    ['the embedding', { target_modules: ['model.embed_tokens'] }, /embed_tokens.*stay frozen/],
    ['nothing', { target_modules: [] }, /empty/],
    ['an expression for part of the path', { target_modules: '(q|v)_proj' }, /whole path .*q_proj\) matches/],
    ['no expression', { target_modules: '(' }, /not a regular expression/],
    ['Python’s own forms', { target_modules: '(?P<x>q)_proj' }, /only Python/],
    ['endless expressions', { target_modules: '(a+)+b' }, /repeats a repetition/],
    ['a layer that is not there', { target_modules: ['q_proj'], layers_to_transform: [2] }, /has 2; .*0 to 1/],
    ['layers of an expression', { target_modules: '.*q_proj', layers_to_transform: [0] }, /as a list/],
    [
      'layers that are called otherwise',
      { target_modules: ['up_proj'], layers_to_transform: [1], layers_pattern: 'h' },
      /^target_modules, layers_to_transform, layers_pattern select nothing together/,
    ],
    ['a name for layers, but none of them', { target_modules: ['up_proj'], layers_pattern: 'layers' }, /set that too/],
    ['all of them excluded', { exclude_modules: '.*' }, /^target_modules, exclude_modules select nothing together/],
    ['a damaged exclusion', { exclude_modules: '(' }, /^exclude_modules: .*not a regular expression/],
  ])('refuses %s', (_, settings, message) => {
    expect(() => select(settings)).toThrow(LoraTargetError);
    expect(() => select(settings)).toThrow(message);
  });
});

describe('rank_pattern and alpha_pattern', () => {
  const strengths = (settings: Partial<LoraSettings>) =>
    [...adaptedLinears(spec, { ...PLAIN, target_modules: ['q_proj', 'up_proj'], ...settings }).values()].map(
      ({ rank, scale }) => [rank, scale],
    );

  test('the first key that ends the path, whole parts only', () => {
    // q 0, up 0, q 1, up 1.
    expect(strengths({ rank_pattern: { q_proj: 2 } })).toEqual([
      [2, 4],
      [4, 2],
      [2, 4],
      [4, 2],
    ]);
    const layered = { 'layers.0.self_attn.q_proj': 16, 'self_attn.*': 2, up_proj: 1 };
    expect(strengths({ rank_pattern: layered })).toEqual([
      [16, 0.5],
      [1, 8],
      [2, 4],
      [1, 8],
    ]);
    expect(strengths({ rank_pattern: { '^model.layers.1.mlp.up_proj': 8 } })).toEqual([
      [4, 2],
      [4, 2],
      [4, 2],
      [8, 1],
    ]);
  });

  test('alpha apart from rank, also with rsLoRA', () => {
    expect(strengths({ alpha_pattern: { up_proj: 1 } })).toEqual([
      [4, 2],
      [4, 0.25],
      [4, 2],
      [4, 0.25],
    ]);
    const both = { rank_pattern: { up_proj: 16 }, alpha_pattern: { up_proj: 2 }, use_rslora: true };
    expect(strengths(both)).toEqual([
      [4, 4],
      [16, 0.5],
      [4, 4],
      [16, 0.5],
    ]);
  });

  test.each<[string, Partial<LoraSettings>, RegExp]>([
    ['a key that matches nothing', { rank_pattern: { w_proj: 2 } }, /rank_pattern has "w_proj"/],
    ['half a name', { alpha_pattern: { proj: 2 } }, /alpha_pattern has "proj"/],
    ['a module without an adapter', { rank_pattern: { down_proj: 2 } }, /no adapted module/],
    ['no expression', { rank_pattern: { '[': 2 } }, /rank_pattern.*not a regular expression/],
  ])('refuses %s', (_, settings, message) => {
    expect(() => strengths(settings)).toThrow(LoraTargetError);
    expect(() => strengths(settings)).toThrow(message);
  });
});
