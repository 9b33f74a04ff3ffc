/** From what is typed to what is trained: RunConfig's own schema, with a sentence at the field that is wrong. */
import * as v from 'valibot';
import type { LoraSettings } from '../formats/lora.ts';
import { type QuantizationConfig, type RunConfig, runConfigSchema } from '../formats/run_config.ts';
import type { DataSettings, ModelInfo, SampleSettings, TrainRequest } from '../worker/studio_protocol.ts';
import {
  LORA_NUMBERS,
  type PatternField,
  type SettingField,
  type Settings,
  TRAINING_NUMBERS,
} from './settings_store.ts';

export type SettingErrors = Partial<Record<SettingField, string>>;

export interface CheckedSettings {
  readonly errors: SettingErrors;
  /** Null while one of the fields it is made from is wrong. */
  readonly request: TrainRequest | null;
  readonly data: Omit<DataSettings, 'columns' | 'system_prompt'> | null;
}

/** An adapter that training starts from decides these. */
export interface StartingAdapter {
  readonly lora: LoraSettings;
}

/** Fields that may be left empty. */
const OPTIONAL: readonly SettingField[] = ['eval_steps', 'early_stopping_patience'];

const DATA_FIELDS = [
  'max_length',
  'per_device_train_batch_size',
  'gradient_accumulation_steps',
  'seed',
  'validation_share',
] as const satisfies readonly SettingField[];

/** How the next model is held: QLoRA's NF4 with double quantization but for what the form says; a slip in it counts as nothing. */
export function quantizationOf(settings: Settings): QuantizationConfig {
  const typed = typedQuantization(settings);
  const { success } = v.safeParse(runConfigSchema.entries.quantization, typed);
  const quantization = success ? typed : { ...typed, weight_memory_budget: undefined };
  return v.parse(runConfigSchema, { model: '', data: '', quantization }).quantization;
}

const typedQuantization = ({ bnb_4bit_quant_type, flags, numbers }: Settings) => ({
  bnb_4bit_quant_type,
  embeddings_in_8bit: flags.embeddings_in_8bit,
  weight_memory_budget: megabytes(numbers.weight_memory_budget),
});

/** Bytes of what is typed in MB. */
const megabytes = (text: string) => {
  const value = parseNumber(text);
  return value === undefined ? undefined : Math.round(value * 1e6);
};

/** A number of bytes as it is typed. */
export const megabytesText = (bytes: number | undefined): string => (bytes === undefined ? '' : String(bytes / 1e6));

export const isPaged = (optim: Settings['optim']): boolean => optim.startsWith('paged');

/** Of an optimizer that is not paged they are not asked for. */
const typedBudgets = ({ optim, numbers }: Settings) =>
  isPaged(optim)
    ? {
        optimizer_memory_budget: megabytes(numbers.optimizer_memory_budget),
        optimizer_host_memory_budget: megabytes(numbers.optimizer_host_memory_budget),
        optimizer_page_size: megabytes(numbers.optimizer_page_size),
      }
    : {};

const PATTERN_HELP = 'Write name = number above 0, several with commas: q_proj = 32, layers.0.mlp.* = 8.';
const isPattern = (field: SettingField) => field === 'rank_pattern' || field === 'alpha_pattern';

const MAX_VALIDATION_SHARE = 0.5;
const MOST_SAMPLES = 8;

export function checkSettings(
  settings: Settings,
  model: ModelInfo | null = null,
  start: StartingAdapter | null = null,
): CheckedSettings {
  const { numbers, flags } = settings;
  const share = parseNumber(numbers.validation_share) ?? 0;
  const typed = (fields: readonly (keyof Settings['numbers'])[]) =>
    Object.fromEntries(fields.map((field) => [field, parseNumber(numbers[field])]));
  const training = typed(TRAINING_NUMBERS);
  // Left empty: five looks at the held-out rows over the run.
  if (numbers.eval_steps.trim() === '') training.eval_steps = share > 0 ? evalSteps(training.max_steps) : undefined;
  const lora = start
    ? { ...start.lora, lora_dropout: parseNumber(numbers.lora_dropout) }
    : { ...typed(LORA_NUMBERS), ...typedPatterns(settings), target_modules: settings.target_modules };
  const candidate = {
    name: settings.name.trim() || undefined,
    model: '',
    data: '',
    quantization: typedQuantization(settings),
    lora: { use_rslora: flags.use_rslora, use_dora: flags.use_dora, ...lora },
    training: {
      ...training,
      ...typedBudgets(settings),
      packing: flags.packing,
      assistant_only_loss: flags.assistant_only_loss,
      gradient_checkpointing: flags.gradient_checkpointing,
      load_best_model_at_end: flags.load_best_model_at_end,
      lr_scheduler_type: settings.lr_scheduler_type,
      optim: settings.optim,
      train_sampling_strategy: settings.train_sampling_strategy,
    },
  };
  const errors: SettingErrors = {};
  for (const field of [...LORA_NUMBERS, ...TRAINING_NUMBERS] as const) {
    if (start && field in start.lora) continue;
    // An absent field would quietly get its default.
    if (!OPTIONAL.includes(field) && numbers[field].trim() === '') errors[field] = 'Enter a number.';
  }
  if (!(share >= 0 && share <= MAX_VALIDATION_SHARE)) {
    errors.validation_share = `Enter a share from 0 to ${MAX_VALIDATION_SHARE}.`;
  }
  const result = v.safeParse(runConfigSchema, candidate);
  for (const issue of result.success ? [] : result.issues) {
    const field = v.getDotPath(issue)?.split('.')[1] as SettingField | undefined;
    if (field) errors[field] ??= isPattern(field) ? PATTERN_HELP : sentence(issue);
  }
  const config = result.success ? result.output : null;
  if (config) Object.assign(errors, againstModel(config, model), errors);
  const samples = sampleSettings(settings, errors);
  const request: TrainRequest | null =
    config && Object.keys(errors).length === 0
      ? { name: config.name, quantization: config.quantization, lora: config.lora, training: config.training, samples }
      : null;
  return { errors, request, data: dataSettings(candidate.training, share, flags.remove_duplicates, errors) };
}

/** What is sampled while it trains, null without prompts; says which field is wrong. */
function sampleSettings({ sample_prompts, numbers }: Settings, errors: SettingErrors): SampleSettings | null {
  const prompts = sample_prompts.split('\n').filter((line) => line.trim() !== '');
  if (prompts.length === 0) return null;
  const whole = (text: string) => /^[1-9]\d{0,6}$/.test(text.trim());
  const { sample_steps, sample_tokens } = numbers;
  if (sample_steps.trim() !== '' && !whole(sample_steps)) errors.sample_steps = 'Enter a whole number.';
  if (!whole(sample_tokens)) errors.sample_tokens = 'Enter a whole number.';
  if (prompts.length > MOST_SAMPLES) errors.sample_prompts = `At most ${MOST_SAMPLES} prompts.`;
  // Left empty: as often as the held-out rows are looked at, five times over the run.
  const every = sample_steps.trim() === '' ? (evalSteps(Number(numbers.max_steps)) ?? 1) : Number(sample_steps);
  return { prompts, every, max_new_tokens: Number(sample_tokens) };
}

/** Of their own fields alone: a slip elsewhere does not stop the data from being read. */
function dataSettings(
  typed: object,
  validation_share: number,
  remove_duplicates: boolean,
  errors: SettingErrors,
): CheckedSettings['data'] {
  if (DATA_FIELDS.some((field) => errors[field])) return null;
  const fields = Object.entries(typed).filter(([field]) => !(field in errors));
  const { training } = v.parse(runConfigSchema, { model: '', data: '', training: Object.fromEntries(fields) });
  return {
    max_length: training.max_length,
    packing: training.packing,
    assistant_only_loss: training.assistant_only_loss,
    per_device_train_batch_size: training.per_device_train_batch_size,
    gradient_accumulation_steps: training.gradient_accumulation_steps,
    train_sampling_strategy: training.train_sampling_strategy,
    seed: training.seed,
    validation_share,
    remove_duplicates,
  };
}

/** What the schema cannot know: the model, and fields that contradict each other. */
function againstModel({ lora, training }: RunConfig, model: ModelInfo | null): SettingErrors {
  const errors: SettingErrors = {};
  if (model && training.max_length > model.maxPositions) {
    errors.max_length = `${model.name} was made for ${model.maxPositions} tokens at most.`;
  }
  if (training.warmup_steps >= 1 && training.warmup_steps > training.max_steps) {
    errors.warmup_steps = 'The warm-up is longer than the run (max_steps).';
  }
  if (model && typeof lora.target_modules !== 'string') {
    const unknown = lora.target_modules.filter(
      (name) => !model.linears.includes(name.slice(name.lastIndexOf('.') + 1)),
    );
    if (unknown.length > 0) errors.target_modules = `${model.name} has no ${unknown.join(', ')}.`;
  }
  return errors;
}

function evalSteps(maxSteps: number | undefined): number | undefined {
  return maxSteps && maxSteps >= 1 ? Math.max(1, Math.floor(maxSteps / 5)) : undefined;
}

function typedPatterns({ patterns }: Settings): Record<PatternField, Record<string, number>> {
  return { rank_pattern: readPattern(patterns.rank_pattern), alpha_pattern: readPattern(patterns.alpha_pattern) };
}

/** `q_proj = 32, layers.0.mlp.* = 8`: what stands before the last equals sign is the expression. */
function readPattern(text: string): Record<string, number> {
  const entries = text.split(/[,;\n]/).filter((entry) => entry.trim() !== '');
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.lastIndexOf('=');
      return [
        (at < 0 ? entry : entry.slice(0, at)).trim(),
        (at < 0 ? undefined : parseNumber(entry.slice(at + 1))) ?? Number.NaN,
      ];
    }),
  );
}

/** A pattern as it is typed. */
export const patternText = (pattern: Readonly<Record<string, number>> = {}): string =>
  Object.entries(pattern)
    .map(([key, value]) => `${key} = ${value}`)
    .join(', ');

/** NaN for what is no number, so that the schema refuses it; undefined for nothing. */
function parseNumber(text: string): number | undefined {
  return text.trim() === '' ? undefined : Number(text.trim().replace(',', '.'));
}

function sentence(issue: v.BaseIssue<unknown>): string {
  switch (issue.type) {
    case 'number':
    case 'finite':
      return 'Enter a number.';
    case 'integer':
      return 'Enter a whole number.';
    case 'min_value':
      return `Enter ${issue.requirement} or more.`;
    case 'max_value':
      return `Enter ${issue.requirement} or less.`;
    case 'gt_value':
      return `Enter more than ${issue.requirement}.`;
    case 'lt_value':
      return `Enter less than ${issue.requirement}.`;
    case 'union':
      return 'Choose at least one module.';
    default:
      return issue.message;
  }
}
