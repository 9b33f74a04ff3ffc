/** PEFT's adapter_config.json: read with the refusal of what is not supported, and written complete. */
import { describe, isRecord } from './config_reader.ts';
import type { LoraSettings } from './lora.ts';

/** What an adapter says of itself. Field names are PEFT's. */
export interface PeftConfig {
  readonly r: number;
  readonly lora_alpha: number;
  /** Null when the file has none: then only the tensors say. */
  readonly target_modules: LoraSettings['target_modules'] | null;
  readonly layers_to_transform: readonly number[] | null;
  readonly layers_pattern: string | readonly string[] | null;
  readonly exclude_modules: string | readonly string[] | null;
  readonly rank_pattern: Readonly<Record<string, number>>;
  readonly alpha_pattern: Readonly<Record<string, number>>;
  readonly use_rslora: boolean;
  readonly use_dora: boolean;
  readonly lora_dropout: number;
  readonly base_model_name_or_path: string | null;
  /** The whole file. */
  readonly raw: Readonly<Record<string, unknown>>;
}

/** An adapter that is damaged, or uses a feature that cannot be continued here. */
export class AdapterError extends Error {
  override name = 'AdapterError';
  constructor(adapter: string, problem: string, advice: string) {
    super(`Adapter ${adapter}: ${problem}. ${advice}`);
  }
}

/** PEFT 0.21, `LoraConfig`: what an absent field means. */
const DEFAULT_RANK = 8;
const DEFAULT_ALPHA = 8;

/** Fields that change what the adapter computes, with what each one is; all must be at "off". */
export const UNSUPPORTED_LORA: ReadonlyMap<string, string> = new Map([
  ['modules_to_save', 'whole modules, such as the embedding, would be trained in full beside LoRA'],
  ['fan_in_fan_out', 'weights are stored transposed'],
  ['lora_bias', 'B has a bias'],
  ['layer_replication', 'layers are replicated'],
  ['trainable_token_indices', 'single token embeddings are trained'],
  ['target_parameters', 'parameters other than linear modules are adapted'],
  ['use_qalora', 'it is a QA-LoRA adapter'],
  ['use_bdlora', 'it is a block-diagonal adapter'],
  ['alora_invocation_tokens', 'it is an activated LoRA adapter'],
  ['arrow_config', 'it is an Arrow router'],
  ['kasa_config', 'it is a KaSA adapter'],
  ['monteclora_config', 'it is a MonteCLoRA adapter'],
]);

/** Initializations that leave the base weights alone. PiSSA, OLoRA, LoftQ and their like change them. */
const PLAIN_INITS: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'orthogonal', 'eva'];

/** Reads a parsed adapter_config.json. Throws {@link AdapterError} saying which field is not supported and why. */
export function parsePeftConfig(adapter: string, json: unknown): PeftConfig {
  if (!isRecord(json)) {
    throw new AdapterError(adapter, 'adapter_config.json is not a JSON object', 'Download or export it again.');
  }
  const get = (field: string): unknown => (Object.hasOwn(json, field) ? json[field] : undefined);
  const wrong = (field: string, must: string): never => {
    throw new AdapterError(
      adapter,
      `${field} ${describe(get(field))}, but must be ${must}`,
      'Export the adapter again.',
    );
  };
  refuseUnsupported(adapter, get);

  const r = get('r') ?? DEFAULT_RANK;
  if (typeof r !== 'number' || !Number.isSafeInteger(r) || r < 1) return wrong('r', 'a whole number above 0');
  const alpha = get('lora_alpha') ?? DEFAULT_ALPHA;
  if (typeof alpha !== 'number' || !Number.isFinite(alpha) || alpha <= 0) {
    return wrong('lora_alpha', 'a number above 0');
  }
  const flag = (field: string): boolean => {
    const value = get(field) ?? false;
    return typeof value === 'boolean' ? value : wrong(field, 'true or false');
  };
  const pattern = (field: string, fits: (value: number) => boolean): Record<string, number> => {
    const value = get(field) ?? {};
    const entries = isRecord(value) ? Object.entries(value) : wrong(field, 'an object');
    return Object.fromEntries(
      entries.map(([key, number]) => [
        key,
        typeof number === 'number' && fits(number) ? number : wrong(field, 'an object of numbers above 0'),
      ]),
    );
  };
  const texts = (field: string) => readTexts(get(field), () => wrong(field, 'a text or a list of texts'));
  const dropout = get('lora_dropout') ?? 0;
  if (typeof dropout !== 'number' || !(dropout >= 0 && dropout < 1)) {
    return wrong('lora_dropout', 'a share from 0 to below 1');
  }
  const base = get('base_model_name_or_path') ?? null;
  if (base !== null && typeof base !== 'string') return wrong('base_model_name_or_path', 'a text or null');
  return {
    r,
    lora_alpha: alpha,
    target_modules: texts('target_modules'),
    layers_to_transform: readLayers(get('layers_to_transform'), () => wrong('layers_to_transform', 'layer numbers')),
    layers_pattern: texts('layers_pattern'),
    exclude_modules: texts('exclude_modules'),
    rank_pattern: pattern('rank_pattern', (value) => Number.isSafeInteger(value) && value >= 1),
    alpha_pattern: pattern('alpha_pattern', (value) => Number.isFinite(value) && value > 0),
    use_rslora: flag('use_rslora'),
    use_dora: flag('use_dora'),
    lora_dropout: dropout,
    base_model_name_or_path: base,
    raw: json,
  };
}

function refuseUnsupported(adapter: string, get: (field: string) => unknown): void {
  const later = 'This comes in a later release. Export a plain LoRA adapter, or start a new one.';
  const type = get('peft_type');
  if (type !== 'LORA') {
    throw new AdapterError(adapter, `peft_type ${describe(type)}; only "LORA" adapters can be loaded`, later);
  }
  const bias = get('bias') ?? 'none';
  if (bias !== 'none') {
    throw new AdapterError(adapter, `bias ${describe(bias)}: biases of the base are trained, not only LoRA`, later);
  }
  for (const [field, meaning] of UNSUPPORTED_LORA) {
    if (isSet(get(field))) throw new AdapterError(adapter, `${field} is set: ${meaning}`, later);
  }
  const init = get('init_lora_weights');
  if (!PLAIN_INITS.includes(init)) {
    throw new AdapterError(adapter, `init_lora_weights ${describe(init)}, which changes the base weights too`, later);
  }
}

/** PEFT writes "off" as null, false, or an empty list or object. */
export function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isRecord(value)) return Object.keys(value).length > 0;
  return value !== undefined && value !== null && value !== false;
}

function readTexts(value: unknown, wrong: () => never): string | readonly string[] | null {
  if (value === undefined || value === null) return null;
  if (typeof value === 'string') return value;
  if (!Array.isArray(value) || !value.every((name): name is string => typeof name === 'string')) return wrong();
  return value;
}

function readLayers(value: unknown, wrong: () => never): PeftConfig['layers_to_transform'] {
  const layers = typeof value === 'number' ? [value] : (value ?? []);
  if (!Array.isArray(layers) || !layers.every((n): n is number => Number.isSafeInteger(n) && n >= 0)) return wrong();
  return layers.length === 0 ? null : layers;
}

/** What the studio decides about an adapter it writes; everything else in the file is PEFT's default. */
export interface PeftConfigFields {
  readonly r: number;
  readonly lora_alpha: number;
  readonly target_modules: readonly string[];
  readonly layers_to_transform?: number | readonly number[] | null;
  readonly layers_pattern?: string | readonly string[] | null;
  readonly exclude_modules?: string | readonly string[] | null;
  readonly rank_pattern?: Readonly<Record<string, number>>;
  readonly alpha_pattern?: Readonly<Record<string, number>>;
  readonly use_rslora: boolean;
  readonly use_dora?: boolean;
  readonly lora_dropout?: number;
  readonly init_lora_weights?: true | 'gaussian';
  readonly base_model_name_or_path: string | null;
  readonly revision?: string | null;
}

/**
 * adapter_config.json as PEFT 0.21 writes it: every field, keys sorted, two spaces. A whole `lora_alpha` comes out as an
 * integer, which Ollama needs.
 */
export function formatPeftConfig(fields: PeftConfigFields): string {
  const config = {
    alora_invocation_tokens: null,
    alpha_pattern: fields.alpha_pattern ?? {},
    arrow_config: null,
    auto_mapping: null,
    base_model_name_or_path: fields.base_model_name_or_path,
    bias: 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    exclude_modules: fields.exclude_modules ?? null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: fields.init_lora_weights ?? true,
    kasa_config: null,
    layer_replication: null,
    layers_pattern: fields.layers_pattern ?? null,
    layers_to_transform: fields.layers_to_transform ?? null,
    loftq_config: {},
    lora_alpha: fields.lora_alpha,
    lora_bias: false,
    lora_dropout: fields.lora_dropout ?? 0,
    lora_ga_config: null,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    monteclora_config: null,
    peft_type: 'LORA',
    // The version whose fields these are: PEFT compares it to decide about unknown ones.
    peft_version: '0.21.0',
    qalora_group_size: 16,
    r: fields.r,
    rank_pattern: fields.rank_pattern ?? {},
    revision: fields.revision ?? null,
    target_modules: fields.target_modules,
    target_parameters: null,
    task_type: 'CAUSAL_LM',
    trainable_token_indices: null,
    use_bdlora: null,
    use_dora: fields.use_dora ?? false,
    use_qalora: false,
    use_rslora: fields.use_rslora,
    velora_config: null,
  };
  return JSON.stringify(config, null, 2);
}
