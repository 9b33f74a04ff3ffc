/** The settings as they stand in the form: numbers as typed, so that a half-typed one is not lost. */
import * as v from 'valibot';
import { create } from 'zustand';
import { type RunConfig, runConfigSchema } from '../formats/run_config.ts';

const DEFAULTS: RunConfig = v.parse(runConfigSchema, { model: '', data: '' });

/** Fields of RunConfig that are typed as numbers, by RunConfig's part. */
export const LORA_NUMBERS = ['r', 'lora_alpha', 'lora_dropout'] as const;
export const TRAINING_NUMBERS = [
  'max_length',
  'per_device_train_batch_size',
  'gradient_accumulation_steps',
  'max_steps',
  'learning_rate',
  'warmup_steps',
  'max_grad_norm',
  'weight_decay',
  'loraplus_lr_ratio',
  'adam_beta1',
  'adam_beta2',
  'adam_epsilon',
  'seed',
  'eval_steps',
  'early_stopping_patience',
] as const;
/** Of memory, typed in MB; empty: as much as it takes. */
export const BUDGETS = [
  'optimizer_memory_budget',
  'optimizer_host_memory_budget',
  'optimizer_page_size',
  'weight_memory_budget',
] as const;
/** Of the run's samples. */
export const SAMPLE_NUMBERS = ['sample_steps', 'sample_tokens'] as const;
export type NumberField =
  | (typeof LORA_NUMBERS)[number]
  | (typeof TRAINING_NUMBERS)[number]
  | (typeof BUDGETS)[number]
  | (typeof SAMPLE_NUMBERS)[number]
  | 'validation_share';
export type FlagField =
  | 'use_rslora'
  | 'use_dora'
  | 'packing'
  | 'assistant_only_loss'
  | 'gradient_checkpointing'
  | 'remove_duplicates'
  | 'load_best_model_at_end'
  | 'embeddings_in_8bit';
export type ChoiceField = 'lr_scheduler_type' | 'optim' | 'train_sampling_strategy' | 'bnb_4bit_quant_type';
export type PatternField = 'rank_pattern' | 'alpha_pattern';
export type SettingField =
  | NumberField
  | FlagField
  | ChoiceField
  | PatternField
  | 'target_modules'
  | 'name'
  | 'sample_prompts';

export interface Settings {
  readonly name: string;
  readonly numbers: Readonly<Record<NumberField, string>>;
  readonly flags: Readonly<Record<FlagField, boolean>>;
  readonly lr_scheduler_type: RunConfig['training']['lr_scheduler_type'];
  readonly optim: RunConfig['training']['optim'];
  readonly train_sampling_strategy: RunConfig['training']['train_sampling_strategy'];
  readonly bnb_4bit_quant_type: RunConfig['quantization']['bnb_4bit_quant_type'];
  /** As typed: `q_proj = 32, layers.0.mlp.* = 8`. */
  readonly patterns: Readonly<Record<PatternField, string>>;
  readonly target_modules: 'all-linear' | readonly string[];
  /** One a line. */
  readonly sample_prompts: string;
}

const { lora, training, quantization } = DEFAULTS;

export const DEFAULT_SETTINGS: Settings = {
  name: 'my-adapter',
  numbers: {
    r: String(lora.r),
    lora_alpha: String(lora.lora_alpha),
    lora_dropout: String(lora.lora_dropout),
    max_length: String(training.max_length),
    per_device_train_batch_size: String(training.per_device_train_batch_size),
    gradient_accumulation_steps: String(training.gradient_accumulation_steps),
    max_steps: String(training.max_steps),
    learning_rate: String(training.learning_rate),
    warmup_steps: String(training.warmup_steps),
    max_grad_norm: String(training.max_grad_norm),
    weight_decay: String(training.weight_decay),
    loraplus_lr_ratio: String(training.loraplus_lr_ratio),
    adam_beta1: String(training.adam_beta1),
    adam_beta2: String(training.adam_beta2),
    adam_epsilon: String(training.adam_epsilon),
    seed: String(training.seed),
    optimizer_memory_budget: '',
    optimizer_host_memory_budget: '',
    optimizer_page_size: '',
    weight_memory_budget: '',
    eval_steps: '',
    early_stopping_patience: '',
    validation_share: '0.1',
    sample_steps: '',
    sample_tokens: '48',
  },
  flags: {
    use_rslora: lora.use_rslora,
    use_dora: lora.use_dora,
    packing: training.packing,
    assistant_only_loss: training.assistant_only_loss,
    gradient_checkpointing: training.gradient_checkpointing,
    remove_duplicates: DEFAULTS.remove_duplicates,
    load_best_model_at_end: training.load_best_model_at_end,
    embeddings_in_8bit: quantization.embeddings_in_8bit,
  },
  lr_scheduler_type: training.lr_scheduler_type,
  optim: training.optim,
  train_sampling_strategy: training.train_sampling_strategy,
  bnb_4bit_quant_type: quantization.bnb_4bit_quant_type,
  patterns: { rank_pattern: '', alpha_pattern: '' },
  target_modules: 'all-linear',
  sample_prompts: '',
};

export const useSettings = create<Settings>()(() => DEFAULT_SETTINGS);

export function setNumber(field: NumberField, text: string): void {
  useSettings.setState(({ numbers }) => ({ numbers: { ...numbers, [field]: text } }));
}

export function setFlag(field: FlagField, value: boolean): void {
  useSettings.setState(({ flags }) => ({ flags: { ...flags, [field]: value } }));
}

export function setPattern(field: PatternField, text: string): void {
  useSettings.setState(({ patterns }) => ({ patterns: { ...patterns, [field]: text } }));
}

export function setSettings(
  part: Partial<Pick<Settings, ChoiceField | 'name' | 'target_modules' | 'sample_prompts'>>,
): void {
  useSettings.setState(part);
}

export function resetSettings(): void {
  useSettings.setState(DEFAULT_SETTINGS);
}
