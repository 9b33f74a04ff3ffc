/** config.json of models by name, as published: what the bench makes weights for. */

/** hidden_size, intermediate_size, num_hidden_layers. */
type Sizes = readonly [number, number, number];
/** num_attention_heads, num_key_value_heads, head_dim. */
type Heads = readonly [number, number, number];

const config = (
  model_type: string,
  [hidden_size, intermediate_size, num_hidden_layers]: Sizes,
  [num_attention_heads, num_key_value_heads, head_dim]: Heads,
  vocab_size: number,
  more: Readonly<Record<string, unknown>> = {},
) => ({
  model_type,
  hidden_size,
  intermediate_size,
  num_hidden_layers,
  num_attention_heads,
  num_key_value_heads,
  head_dim,
  vocab_size,
  tie_word_embeddings: true,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  eos_token_id: null,
  ...more,
});
const UNTIED = { tie_word_embeddings: false };

/** Those with a peer in scripts/reference/bench_peft.py come first; sizes from each model's page on the Hub. */
export const BENCH_CONFIGS = {
  tiny: config('llama', [64, 192, 2], [4, 2, 16], 512),
  demo: config('llama', [256, 640, 4], [4, 2, 64], 4096),
  'SmolLM2-135M': config('llama', [576, 1536, 30], [9, 3, 64], 49152),
  'SmolLM2-360M': config('llama', [960, 2560, 32], [15, 5, 64], 49152),
  'Llama-3.2-1B': config('llama', [2048, 8192, 16], [32, 8, 64], 128256),
  'SmolLM2-1.7B': config('llama', [2048, 8192, 24], [32, 32, 64], 49152),
  'TinyLlama-1.1B': config('llama', [2048, 5632, 22], [32, 4, 64], 32000, UNTIED),
  'Llama-3.2-3B': config('llama', [3072, 8192, 28], [24, 8, 128], 128256),
  'Llama-3.1-8B': config('llama', [4096, 14336, 32], [32, 8, 128], 128256, UNTIED),
  'Mistral-7B': config('mistral', [4096, 14336, 32], [32, 8, 128], 32768, { ...UNTIED, sliding_window: null }),
  'Qwen2.5-0.5B': config('qwen2', [896, 4864, 24], [14, 2, 64], 151936),
  'Qwen2.5-1.5B': config('qwen2', [1536, 8960, 28], [12, 2, 128], 151936),
  'Qwen2.5-7B': config('qwen2', [3584, 18944, 28], [28, 4, 128], 152064, UNTIED),
  'Qwen3-0.6B': config('qwen3', [1024, 3072, 28], [16, 8, 128], 151936),
  'Qwen3-1.7B': config('qwen3', [2048, 6144, 28], [16, 8, 128], 151936),
  'Qwen3-4B': config('qwen3', [2560, 9728, 36], [32, 8, 128], 151936),
  'Qwen3-8B': config('qwen3', [4096, 12288, 36], [32, 8, 128], 151936, UNTIED),
  'Gemma-2-2b': config('gemma2', [2304, 9216, 26], [8, 4, 256], 256000),
  'Gemma-3-270m': config('gemma3_text', [640, 2048, 18], [4, 1, 256], 262144, { sliding_window: 512 }),
  'Gemma-3-1b': config('gemma3_text', [1152, 6912, 26], [4, 1, 256], 262144, { sliding_window: 512 }),
  'Phi-3.5-mini': config('phi3', [3072, 8192, 32], [32, 32, 96], 32064, { ...UNTIED, sliding_window: 262144 }),
  'SmolLM3-3B': config('smollm3', [2048, 11008, 36], [16, 4, 128], 128256),
} as const;
