/** For tests of what speaks to the Hub: a Hub on localhost, and retries that do not wait. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { type HubOptions, startHub, type TestHub } from '../../e2e/hub/server.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { type HubFolder, type HubFolderOptions, openHubFolder } from './model_folder.ts';
import type { RetryNotice, RetryPolicy } from './retry.ts';

export const GOLDEN = path.resolve(import.meta.dirname, '../../e2e/golden');
/** Three shards on disk, 300 kB. */
export const SHARDED_MODEL = path.join(GOLDEN, 'qwen2-template/model');
export const MODEL_ID = 'nibble/qwen2-template';

/** Two layers whose tensors have some 100 kB to 1 MB: more than a file that is kept whole. */
export const SYNTHETIC_CONFIG = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 2,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  vocab_size: 4096,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  tie_word_embeddings: true,
  torch_dtype: 'bfloat16',
} as const;

/** Waits for nothing, keeps what it would have waited for, and takes the shortest jitter. */
export function quickRetry(over: Partial<RetryPolicy> = {}): Partial<RetryPolicy> {
  return { random: () => 0, sleep: async (_, signal) => signal.throwIfAborted(), stallSeconds: 5, ...over };
}

/** Opens a model, retries without waiting; `retries` gets what was tried again. */
export function openQuickly(
  hub: TestHub,
  options: Partial<HubFolderOptions> = {},
  retries: RetryNotice[] = [],
): Promise<HubFolder> {
  return openHubFolder({
    id: MODEL_ID,
    hubUrl: hub.apiUrl,
    onRetry: (notice) => retries.push(notice),
    retry: quickRetry(),
    ...options,
  });
}

export const startTestHub = (over: Partial<HubOptions> = {}): Promise<TestHub> =>
  startHub({ repositories: [{ id: MODEL_ID, directory: SHARDED_MODEL }], ...over });

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Every tensor, `chunk` bytes at a time and one read ahead, as the quantizer reads; returns a hash of each. */
export async function readAllTensors(checkpoint: Checkpoint, chunk = 2 ** 17): Promise<Map<string, string>> {
  const hashes = new Map<string, string>();
  // The order of the layers, which is not that of the file.
  const names = [...checkpoint.tensors.keys()].sort((a, b) =>
    (a.split('.').at(-2) ?? '').localeCompare(b.split('.').at(-2) ?? ''),
  );
  for (const name of names) {
    const { begin, end } = checkpoint.tensors.get(name)!;
    const hash = createHash('sha256');
    let next = checkpoint.read(name, 0, Math.min(chunk, end - begin));
    for (let at = 0; at < end - begin; at += chunk) {
      const bytes = await next;
      if (at + chunk < end - begin) next = checkpoint.read(name, at + chunk, Math.min(at + 2 * chunk, end - begin));
      next.catch(() => undefined);
      hash.update(bytes);
    }
    hashes.set(name, hash.digest('hex'));
  }
  return hashes;
}
