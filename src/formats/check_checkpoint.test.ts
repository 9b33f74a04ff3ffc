import { describe, expect, test } from 'vitest';
import { CheckpointShapeError, checkCheckpoint, expectedTensors } from './check_checkpoint.ts';
import { openCheckpoint } from './checkpoint.ts';
import { parseModelConfig } from './model_config.ts';
import { SafetensorsError } from './safetensors.ts';
import { memoryFolder, rawSafetensors } from './testing.ts';

const CONFIG = {
  model_type: 'qwen2',
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 10,
};
const untied = parseModelConfig(CONFIG);
const tied = parseModelConfig({ ...CONFIG, tie_word_embeddings: true });

/** A source with just what the spec needs, changed as told; null takes a tensor away. */
function source(spec: typeof untied, changes: Record<string, readonly number[] | null> = {}) {
  const shapes = new Map(expectedTensors(spec).map(({ name, shape }) => [name, shape]));
  for (const [name, shape] of Object.entries(changes)) {
    if (shape === null) shapes.delete(name);
    else shapes.set(name, shape);
  }
  return {
    info(name: string) {
      const shape = shapes.get(name);
      return shape && { shape };
    },
  };
}

describe('expectedTensors', () => {
  test('a layer of qwen2, and what is outside the layers', () => {
    const found = expectedTensors(untied).map(({ name, shape }) => `${name} ${shape}`);
    expect(found.slice(0, 13)).toEqual([
      'model.embed_tokens.weight 10,8',
      'model.layers.0.input_layernorm.weight 8',
      'model.layers.0.post_attention_layernorm.weight 8',
      'model.layers.0.self_attn.q_proj.weight 8,8',
      'model.layers.0.self_attn.q_proj.bias 8',
      'model.layers.0.self_attn.k_proj.weight 4,8',
      'model.layers.0.self_attn.k_proj.bias 4',
      'model.layers.0.self_attn.v_proj.weight 4,8',
      'model.layers.0.self_attn.v_proj.bias 4',
      'model.layers.0.self_attn.o_proj.weight 8,8',
      'model.layers.0.mlp.gate_proj.weight 12,8',
      'model.layers.0.mlp.up_proj.weight 12,8',
      'model.layers.0.mlp.down_proj.weight 8,12',
    ]);
    expect(found.slice(-2)).toEqual(['model.norm.weight 8', 'lm_head.weight 10,8']);
    expect(found).toHaveLength(1 + 2 * 12 + 2);
    expect(expectedTensors(tied)).toHaveLength(found.length - 1);
  });

  test('norms of heads have the size of a head', () => {
    const names = { ...untied.norm.names, query: 'self_attn.q_norm', key: 'self_attn.k_norm' };
    const spec = { ...untied, norm: { ...untied.norm, names } };
    expect(expectedTensors(spec)).toContainEqual({ name: 'model.layers.1.self_attn.k_norm.weight', shape: [4] });
  });
});

describe('checkCheckpoint', () => {
  test('accepts the right tensors, also with others beside them', () => {
    expect(() => checkCheckpoint(untied, source(untied))).not.toThrow();
    expect(() => checkCheckpoint(untied, source(untied, { 'extra.weight': [3] }))).not.toThrow();
  });

  test('a tied model may have a head all the same, of any shape', () => {
    expect(() => checkCheckpoint(tied, source(tied, { 'lm_head.weight': [10, 8] }))).not.toThrow();
    expect(() => checkCheckpoint(tied, source(tied, { 'lm_head.weight': [1] }))).not.toThrow();
  });

  test.each<[string, string, readonly number[] | null, RegExp]>([
    ['vocab ≠ embedding rows', 'model.embed_tokens.weight', [11, 8], /has shape \[11, 8\]; expected \[10, 8\]/],
    ['no head', 'lm_head.weight', null, /is missing; expected with shape \[10, 8\]/],
    ['no bias', 'model.layers.1.self_attn.k_proj.bias', null, /is missing.*\[4\]/],
    ['a transposed linear', 'model.layers.0.mlp.down_proj.weight', [12, 8], /\[12, 8\]; expected \[8, 12\]/],
    ['another rank', 'model.norm.weight', [8, 1], /\[8, 1\]; expected \[8\]/],
    ['a scalar', 'model.norm.weight', [], /has shape \[\]/],
  ])('refuses %s', (_, tensor, shape, message) => {
    const check = () => checkCheckpoint(untied, source(untied, { [tensor]: shape }));
    expect(check).toThrow(CheckpointShapeError);
    expect(check).toThrow(message);
    expect(check).toThrow(tensor);
  });

  test('names a needed tensor of integers', async () => {
    const header = { 'model.embed_tokens.weight': { dtype: 'I8', shape: [10, 8], data_offsets: [0, 80] } };
    const folder = memoryFolder('m', { 'model.safetensors': rawSafetensors(header, 80) });
    const checkpoint = await openCheckpoint(folder);
    expect(() => checkCheckpoint(untied, checkpoint)).toThrow(SafetensorsError);
  });
});
