/** Predictions for published models (REFERENCE.md §5), and that they are made quickly. */
import { beforeAll, expect, test } from 'vitest';
import { adaptedLinears } from '../../formats/lora.ts';
import { parseModelConfig } from '../../formats/model_config.ts';
import type { Capabilities } from '../device/capabilities.ts';
import { GpuMemoryError } from '../device/ledger.ts';
import { KEEP_ALL, KEEP_NONE } from './kept_layers.ts';
import { RESIDENT } from './paging/moments.ts';
import { predictMemory } from './predict_memory.ts';

// What a browser defines beside WebGPU.
beforeAll(() => {
  Object.assign(globalThis, { GPUBufferUsage: { COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 } });
});

/** WebGPU's default limits. */
const DEFAULT: Capabilities = {
  name: 'default limits',
  features: [],
  enabled: [],
  subgroupMatrixConfigs: [],
  software: false,
  subgroupSize: null,
  workgroupStorageBytes: 16384,
  maxBindingBytes: 2 ** 27,
  maxBufferBytes: 2 ** 28,
};
const ROOMY = { ...DEFAULT, maxBindingBytes: 2 ** 31 - 4, maxBufferBytes: 2 ** 32 };

/** hidden, intermediate, layers, heads, kv heads, head width, vocabulary, tied; frozen MB and moments MB of the table. */
const MODELS = {
  'SmolLM2-135M': ['llama', 576, 1536, 30, 9, 3, 64, 49152, true, 111, 39],
  'SmolLM2-360M': ['llama', 960, 2560, 32, 15, 5, 64, 49152, true, 257, 69],
  'SmolLM2-1.7B': ['llama', 2048, 8192, 24, 32, 32, 64, 49152, true, 1032, 145],
  'Qwen2.5-0.5B': ['qwen2', 896, 4864, 24, 14, 2, 64, 151936, true, 457, 70],
  'Qwen2.5-1.5B': ['qwen2', 1536, 8960, 28, 12, 2, 128, 151936, true, 1143, 148],
  'Qwen2.5-7B': ['qwen2', 3584, 18944, 28, 28, 4, 128, 152064, false, 5547, 323],
  'Qwen3-0.6B': ['qwen3', 1024, 3072, 28, 16, 8, 128, 151936, true, 538, 81],
  'Qwen3-1.7B': ['qwen3', 2048, 6144, 28, 16, 8, 128, 151936, true, 1350, 139],
  'Qwen3-4B': ['qwen3', 2560, 9728, 36, 32, 8, 128, 151936, true, 2653, 264],
  'Qwen3-8B': ['qwen3', 4096, 12288, 36, 32, 8, 128, 151936, false, 6073, 349],
  'Llama-3.2-1B': ['llama', 2048, 8192, 16, 32, 8, 64, 128256, true, 1027, 90],
  'Llama-3.2-3B': ['llama', 3072, 8192, 28, 24, 8, 128, 128256, true, 2242, 195],
  'Llama-3.1-8B': ['llama', 4096, 14336, 32, 32, 8, 128, 128256, false, 5702, 336],
  'TinyLlama-1.1B': ['llama', 2048, 5632, 22, 32, 4, 64, 32000, false, 762, 101],
  'Gemma-3-270m': ['gemma3_text', 640, 2048, 18, 4, 1, 256, 262144, true, 387, 30],
  'Gemma-3-1b': ['gemma3_text', 1152, 6912, 26, 4, 1, 256, 262144, true, 964, 104],
} as const;

function specOf([type, hidden, ffn, layers, heads, kv, headDim, vocab, tied]: (typeof MODELS)[keyof typeof MODELS]) {
  return parseModelConfig({
    model_type: type,
    hidden_size: hidden,
    intermediate_size: ffn,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kv,
    head_dim: headDim,
    vocab_size: vocab,
    tie_word_embeddings: tied,
    ...(type === 'gemma3_text' ? { eos_token_id: 1, pad_token_id: 0 } : {}),
  });
}

const LORA = { r: 16, lora_alpha: 32, use_rslora: false, target_modules: 'all-linear' };
const table: string[] = [];

test.each(Object.entries(MODELS))('%s', (name, model) => {
  const spec = specOf(model);
  const run = {
    lora: { adapters: adaptedLinears(spec, LORA), dora: false, dropout: 0 },
    ...{ capacity: 2048, positions: 2048, precision: 'f32' as const, loraPlusRatio: 1, moments: RESIDENT },
  };
  const held = { spec, doubleQuant: true, tableDtype: 'BF16' as const };
  const started = performance.now();
  const kept = predictMemory(ROOMY, held, { ...run, keep: KEEP_ALL });
  const milliseconds = performance.now() - started;
  const none = predictMemory(ROOMY, held, { ...run, keep: KEEP_NONE });
  const stored = { ...run, stored: 'f16' as const };
  const halves = predictMemory(ROOMY, held, { ...stored, keep: KEEP_ALL });
  const noneHalves = predictMemory(ROOMY, held, { ...stored, keep: KEEP_NONE });
  const [frozen, moments] = [model[9], model[10]];
  // The table counts in millions, and the reference's codes without tables, RoPE and padding.
  expect(kept.bytes.weights / 1e6 / frozen).toBeGreaterThan(0.995);
  expect(kept.bytes.weights / 1e6 / frozen).toBeLessThan(1.03);
  expect(Math.abs(kept.bytes.optimizer / 1e6 - moments)).toBeLessThan(1);
  expect(none.bytes.activations).toBeLessThan(kept.bytes.activations / 2);
  // What is in 16 bits is most of what is kept; gradients, which are in f32, most of what is not.
  expect(halves.bytes.activations / kept.bytes.activations).toBeLessThan(0.75);
  expect(noneHalves.bytes.activations).toBeLessThan(none.bytes.activations);
  expect({ ...halves.bytes, activations: 0 }).toEqual({ ...kept.bytes, activations: 0 });
  expect(milliseconds).toBeLessThan(5_000);
  const figure = (bytes: number) => (bytes / 1e6).toFixed(0).padStart(6);
  const { weights, adapter, optimizer, logits } = kept.bytes;
  const columns = [
    ...[weights, adapter, optimizer, logits],
    ...[kept, none, halves, noneHalves].map(({ bytes }) => bytes.activations),
    ...[kept, none, halves, noneHalves].map(({ total }) => total),
  ];
  table.push(`${name.padEnd(15)} ${columns.map(figure).join(' ')}  ${milliseconds.toFixed(0)} ms`);
});

test('every model fits bindings of 128 MiB: vocabularies are sharded', () => {
  console.log(table.join('\n'));
  for (const model of Object.values(MODELS)) {
    const spec = specOf(model);
    const { bytes } = predictMemory(DEFAULT, { spec, doubleQuant: true, tableDtype: 'BF16' }, null);
    expect(bytes.weights / 1e6 / model[9]).toBeLessThan(1.03);
  }
});

test('a layer that no binding holds is refused before anything is loaded', () => {
  const spec = specOf(MODELS['Llama-3.1-8B']);
  const floats = { dtype: 'BF16' as const, paths: ['model.layers.5.mlp.down_proj'] };
  const held = { spec, doubleQuant: true, floats, tableDtype: 'BF16' as const };
  expect(() => predictMemory(DEFAULT, held, null)).toThrow(GpuMemoryError);
  expect(() => predictMemory(DEFAULT, held, null)).toThrow(/A layer .* reads at most 128.0 MiB .*fewer linears/);
  // The control: a device that reads more, where the linear takes two bytes a weight and no scales.
  const { bytes } = predictMemory(ROOMY, held, null);
  const less = predictMemory(ROOMY, { ...held, floats: null }, null).bytes;
  expect((bytes.weights - less.weights) / (4096 * 14336)).toBeCloseTo(2 - 0.5159, 3);
});
