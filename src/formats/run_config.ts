/**
 * RunConfig: what the form edits, a run stores, the CLI reads and a parity case holds. Field names are the field's own
 * (TRL, PEFT, transformers), so that it round-trips to a TRL script. Defaults are DESIGN.md's and the libraries'.
 */
import * as v from 'valibot';
import { isSet, UNSUPPORTED_LORA } from './peft_config.ts';

const positiveInteger = v.pipe(v.number(), v.integer(), v.minValue(1));
const byteCount = v.pipe(v.number(), v.integer(), v.gtValue(0));
const nonNegative = v.pipe(v.number(), v.finite(), v.minValue(0));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const layer = v.pipe(v.number(), v.integer(), v.minValue(0));
const fraction = v.pipe(v.number(), v.minValue(0), v.ltValue(1));

/** What transformers calls them. */
export const OPTIMIZERS = ['adamw_torch', 'adamw', 'adamw_8bit', 'paged_adamw_32bit', 'paged_adamw_8bit'] as const;

const quantizationSchema = v.looseObject({
  load_in_4bit: v.optional(v.literal(true), true),
  bnb_4bit_quant_type: v.optional(v.picklist(['nf4', 'fp4']), 'nf4'),
  bnb_4bit_use_double_quant: v.optional(v.boolean(), true),
  /** Bytes of GPU memory for the base model's weights; layers beyond it are streamed. Without it all are there at once. */
  weight_memory_budget: v.optional(byteCount),
  /** Bytes of host memory for streamed layers; without it 4 GiB. Those beyond it are read from the model's cache, where it has one. */
  weight_host_memory_budget: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  bnb_4bit_compute_dtype: v.optional(v.picklist(['float32']), 'float32'),
  /** Our own: embedding and output head as signed bytes with a scale for 64 of them (docs/decisions/0011). */
  embeddings_in_8bit: v.optional(v.boolean(), false),
});

/** Modules, by an expression, and what they have in place of r or lora_alpha. */
const pattern = <T extends v.GenericSchema<unknown, number>>(value: T) => v.optional(v.record(v.string(), value), {});

const loraSchema = v.pipe(
  v.looseObject({
    r: v.optional(positiveInteger, 16),
    lora_alpha: v.optional(positive, 32),
    /** Names of linears, `all-linear`, or a regular expression for a linear's whole path. */
    target_modules: v.optional(
      v.union([v.pipe(v.string(), v.minLength(1)), v.pipe(v.array(v.string()), v.minLength(1))]),
      'all-linear',
    ),
    layers_to_transform: v.optional(v.nullable(v.union([layer, v.array(layer)])), null),
    layers_pattern: v.optional(v.nullable(v.union([v.string(), v.array(v.string())])), null),
    exclude_modules: v.optional(v.nullable(v.union([v.string(), v.array(v.string())])), null),
    rank_pattern: pattern(positiveInteger),
    alpha_pattern: pattern(positive),
    use_rslora: v.optional(v.boolean(), false),
    use_dora: v.optional(v.boolean(), false),
    lora_dropout: v.optional(fraction, 0),
    init_lora_weights: v.optional(v.union([v.literal(true), v.literal('gaussian')]), true),
  }),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed) return;
    for (const [field, meaning] of UNSUPPORTED_LORA) {
      if (isSet(dataset.value[field])) addIssue({ message: `${field} is set, which is not supported: ${meaning}` });
    }
    if ((dataset.value.bias ?? 'none') !== 'none') {
      addIssue({ message: 'bias is set, which is not supported: biases of the base would be trained beside LoRA' });
    }
  }),
);

const trainingSchema = v.looseObject({
  max_length: v.optional(positiveInteger, 1024),
  per_device_train_batch_size: v.optional(positiveInteger, 1),
  gradient_accumulation_steps: v.optional(positiveInteger, 8),
  max_steps: v.optional(positiveInteger, 60),
  learning_rate: v.optional(nonNegative, 2e-4),
  lr_scheduler_type: v.optional(v.picklist(['constant', 'constant_with_warmup', 'linear', 'cosine']), 'linear'),
  /** Steps when ≥ 1, a share of max_steps when below 1. */
  warmup_steps: v.optional(nonNegative, 0),
  max_grad_norm: v.optional(v.pipe(v.number(), v.gtValue(0)), 1),
  weight_decay: v.optional(nonNegative, 0),
  /** LoRA+ (arXiv 2402.12354): the learning rate of B, and of DoRA's magnitudes, is this times A's. */
  loraplus_lr_ratio: v.optional(positive, 1),
  adam_beta1: v.optional(fraction, 0.9),
  adam_beta2: v.optional(fraction, 0.999),
  adam_epsilon: v.optional(v.pipe(v.number(), v.gtValue(0)), 1e-8),
  /**
   * AdamW: `adamw_torch` (also `adamw`) with moments in 32 bits, `adamw_8bit` in bitsandbytes' 8; `paged_…` lets them leave the
   * GPU for host memory and disk.
   */
  optim: v.optional(v.picklist(OPTIMIZERS), 'adamw_torch'),
  /** Bytes of GPU memory for the moments of a paged optimizer; without it they leave the GPU when it has no more room. */
  optimizer_memory_budget: v.optional(byteCount),
  /** Bytes of host memory for them; without it all that leave the GPU stay there. */
  optimizer_host_memory_budget: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  /** Bytes of a page of them, at most; without it 4 MiB, or less where the GPU's budget is small. */
  optimizer_page_size: v.optional(byteCount),
  train_sampling_strategy: v.optional(v.picklist(['sequential', 'random', 'group_by_length']), 'random'),
  packing: v.optional(v.boolean(), false),
  assistant_only_loss: v.optional(v.boolean(), false),
  /** Computes every layer's activations again in the backward pass. */
  gradient_checkpointing: v.optional(v.boolean(), false),
  /**
   * Bytes of GPU memory for activations and logits: as many layers as fit keep their activations, the others compute
   * them again. Without it all layers keep them. Has no effect with gradient_checkpointing.
   */
  activation_memory_budget: v.optional(byteCount),
  seed: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0xffffffff)), 42),
  logging_steps: v.optional(positiveInteger, 1),
  /** `no` writes no checkpoints, `steps` one every save_steps, at each pause and at the end. */
  save_strategy: v.optional(v.picklist(['no', 'steps']), 'steps'),
  save_steps: v.optional(positiveInteger, 20),
  /** Checkpoints that are kept; the one before the newest is needed for the day that the newest is damaged. */
  save_total_limit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(2)), 2),
  eval_steps: v.optional(positiveInteger),
  /** Ends the run when the validation loss has not fallen for so many evaluations. */
  early_stopping_patience: v.optional(positiveInteger),
  /** Ends with the adapter of the lowest validation loss in the place of the last one. */
  load_best_model_at_end: v.optional(v.boolean(), false),
});

export const runConfigSchema = v.looseObject({
  name: v.optional(v.string(), 'run'),
  /** A model folder or Hub id; a folder is relative to the RunConfig's own file. */
  model: v.string(),
  /** One file or several: .jsonl, .json, .csv, .tsv, .parquet, .txt, .md, each also as .gz. */
  data: v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1))]),
  eval_data: v.optional(v.union([v.string(), v.pipe(v.array(v.string()), v.minLength(1))])),
  /** Share of the examples held out where there is no eval_data. */
  validation_share: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(0.5)), 0),
  /** Leaves out examples that equal an earlier one. */
  remove_duplicates: v.optional(v.boolean(), false),
  /** Which column is what, where it does not show by itself: column → role. */
  columns: v.optional(
    v.record(v.string(), v.picklist(['text', 'prompt', 'completion', 'system', 'user', 'assistant', 'messages'])),
  ),
  /** A system message for conversations: `add` for those without one, `replace` for all. */
  system_prompt: v.optional(v.object({ mode: v.picklist(['add', 'replace']), text: v.string() })),
  initial_adapter: v.optional(v.string()),
  /** Prompts that are continued, greedily, before the first step, every so many steps and at the end. */
  samples: v.optional(
    v.object({
      prompts: v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(1)),
      every: positiveInteger,
      max_new_tokens: v.optional(positiveInteger, 48),
    }),
  ),
  quantization: v.optional(quantizationSchema, {}),
  lora: v.optional(loraSchema, {}),
  training: v.optional(trainingSchema, {}),
});

export type RunConfig = v.InferOutput<typeof runConfigSchema>;
export type LoraConfig = RunConfig['lora'];
export type TrainingConfig = RunConfig['training'];
export type QuantizationConfig = RunConfig['quantization'];
/** Column → what it is for. */
export type ColumnRoles = NonNullable<RunConfig['columns']>;
export type SystemPrompt = NonNullable<RunConfig['system_prompt']>;

export class RunConfigError extends Error {
  override name = 'RunConfigError';
}

/** Checks and completes a RunConfig; names the first field that is wrong and what it may be. */
export function parseRunConfig(value: unknown): RunConfig {
  const result = v.safeParse(runConfigSchema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const path = v.getDotPath(issue) ?? 'the file';
  throw new RunConfigError(`RunConfig: ${path}: ${issue.message}. Correct that field and start again.`);
}
