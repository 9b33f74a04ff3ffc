/** What must be the same for a run to go on from its checkpoint, so that a changed file or setting is named, not trained on. */
import type { LoraConfig, QuantizationConfig, TrainingConfig } from '../formats/run_config.ts';

export interface RunIdentity {
  /** Hub id or folder, with the commit where it has one. */
  readonly model: string;
  readonly settings: {
    readonly lora: LoraConfig;
    readonly quantization: QuantizationConfig;
    readonly training: Partial<TrainingConfig>;
  };
  /** SHA-256 over the lengths of the examples, in order. */
  readonly data: string;
}

export class CheckpointMismatchError extends Error {
  override name = 'CheckpointMismatchError';
}

/** Settings that a run may change when it goes on: how long it is, where things lie, how often it does what changes no figure. */
const FREE: readonly (keyof TrainingConfig | keyof QuantizationConfig)[] = [
  'max_steps',
  'logging_steps',
  'activation_memory_budget',
  'weight_memory_budget',
  'weight_host_memory_budget',
  'optimizer_memory_budget',
  'optimizer_host_memory_budget',
  'save_strategy',
  'save_steps',
  'save_total_limit',
];

export async function runIdentity(
  model: string,
  settings: { readonly lora: LoraConfig; readonly quantization: QuantizationConfig; readonly training: TrainingConfig },
  parts: readonly (Uint32Array | null)[],
): Promise<RunIdentity> {
  const { lora } = settings;
  const [quantization, training] = [settings.quantization, settings.training].map(bound);
  const lengths = await new Blob(parts.flatMap((part) => [`${part?.length ?? 0};`, part?.slice() ?? ''])).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', lengths));
  const data = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  // As it comes back from a checkpoint: without what is undefined.
  return JSON.parse(JSON.stringify({ model, settings: { lora, quantization, training }, data }));
}

/** Without what is free. */
const bound = (group: object) =>
  Object.fromEntries(Object.entries(group).filter(([field]) => !FREE.some((free) => free === field)));

/** @throws CheckpointMismatchError naming the first difference. */
export function checkIdentity(stored: RunIdentity, now: RunIdentity): void {
  if (stored.model !== now.model) throw mismatch(`its model is ${stored.model}, not ${now.model}`);
  for (const group of ['lora', 'quantization', 'training'] as const) {
    const [before, after] = [stored.settings[group], now.settings[group]].map(bound);
    for (const field of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const [old, changed] = [before[field], after[field]].map((value) => JSON.stringify(value));
      if (old !== changed) throw mismatch(`its ${group}.${field} is ${old ?? 'not set'}, not ${changed ?? 'left out'}`);
    }
  }
  if (stored.data !== now.data) throw mismatch('its data is other data');
}

const mismatch = (what: string) =>
  new CheckpointMismatchError(
    `The checkpoint is of another run: ${what}. Set it as it was to resume, or start a new run.`,
  );
