/** The parameters of rotary position embeddings, in whichever form config.json has them. Their use: {@link ./rope.ts}. */
import { type ConfigReader, describe } from './config_reader.ts';

/** One rotary embedding. Sources: transformers, `modeling_rope_utils.py`; the papers stand beside the formulas in rope.ts. */
export type RopeParameters = RopeBase & RopeScaling;

interface RopeBase {
  readonly theta: number;
  /** How many of a head's dimensions turn; even. */
  readonly rotaryDim: number;
}

export type RopeScaling =
  | { readonly type: 'default' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'dynamic'; readonly factor: number; readonly maxPositions: number }
  | Llama3Scaling
  | YarnScaling
  | LongRopeScaling;

export interface Llama3Scaling {
  readonly type: 'llama3';
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  /** O: the context length before scaling. */
  readonly originalMaxPositions: number;
}

export interface YarnScaling {
  readonly type: 'yarn';
  readonly factor: number;
  readonly originalMaxPositions: number;
  /** Multiplies cos and sin. */
  readonly attentionFactor: number;
  readonly betaFast: number;
  readonly betaSlow: number;
  /** Whether the ramp's ends are whole dimensions. */
  readonly truncate: boolean;
}

export interface LongRopeScaling {
  readonly type: 'longrope';
  readonly originalMaxPositions: number;
  readonly attentionFactor: number;
  /** Divisors of the frequencies, rotaryDim / 2 each: up to O positions, and beyond. */
  readonly shortFactor: readonly number[];
  readonly longFactor: readonly number[];
}

/** What a family decides about its rotary embeddings. */
export interface RopeFamily {
  readonly headDim: number;
  readonly maxPositions: number;
  readonly defaultTheta?: number;
  /** Whether `partial_rotary_factor` may be below 1. */
  readonly partial?: boolean;
  /** The Config class's own `original_max_position_embeddings`, which hides the one inside the parameters. */
  readonly classOriginal?: number;
  /** Older names of types. */
  readonly aliases?: Readonly<Record<string, RopeScaling['type']>>;
  /** Refuses other types. */
  readonly only?: readonly RopeScaling['type'][];
}

const TYPES: readonly RopeScaling['type'][] = ['default', 'linear', 'dynamic', 'llama3', 'yarn', 'longrope'];
const DEFAULT_THETA = 10_000;
const MAX_POSITIONS = { min: 1, max: 2 ** 32 - 1 };
const ORIGINAL = 'original_max_position_embeddings';

/**
 * Reads legacy `rope_theta` + `rope_scaling {rope_type | type}`, or the newer `rope_parameters`, with transformers'
 * precedence: a non-empty `rope_scaling` first; `rope_theta` inside either one before the one beside it.
 * Throws ModelConfigError for a type that is not known, and for values that cannot be.
 */
export function readRopeParameters(config: ConfigReader, family: RopeFamily): RopeParameters {
  const scaling = config.object('rope_scaling');
  const hasScaling = scaling !== undefined && scaling.fields().length > 0;
  const parameters = hasScaling ? scaling : config.object('rope_parameters');
  const outerTheta = config.get('rope_theta') === undefined ? undefined : config.positive('rope_theta');
  // Config classes with this field prefer the one outside; elsewhere it is an extra one, and preferred as well.
  const outerOriginal = config.get(ORIGINAL) === undefined ? undefined : config.integer(ORIGINAL, MAX_POSITIONS);
  const share = parameters?.get('partial_rotary_factor') === undefined ? config : parameters;
  const rotaryDim = readRotaryDim(share, family);
  if (parameters === undefined) {
    return { type: 'default', theta: outerTheta ?? family.defaultTheta ?? DEFAULT_THETA, rotaryDim };
  }
  return readRope(parameters, { ...family, theta: outerTheta, original: outerOriginal, rotaryDim, byLayerType: false });
}

/**
 * One of the sets of a config that has one a layer type: theta is `parameters`' own or the family's. Throws as
 * {@link readRopeParameters}.
 */
export function readLayerTypeRope(parameters: ConfigReader, family: RopeFamily): RopeParameters {
  const rotaryDim = readRotaryDim(parameters, family);
  return readRope(parameters, { ...family, theta: undefined, original: undefined, rotaryDim, byLayerType: true });
}

interface Surroundings extends RopeFamily {
  /** What stands beside the parameters. */
  readonly theta: number | undefined;
  readonly original: number | undefined;
  readonly rotaryDim: number;
  readonly byLayerType: boolean;
}

function readRope(parameters: ConfigReader, family: Surroundings): RopeParameters {
  const inner = parameters.get('rope_theta') === undefined ? undefined : parameters.positive('rope_theta');
  const theta = inner ?? family.theta ?? family.defaultTheta ?? DEFAULT_THETA;
  const { rotaryDim } = family;
  const original = () =>
    family.original ?? family.classOriginal ?? parameters.integer(ORIGINAL, MAX_POSITIONS, family.maxPositions);
  const type = readType(parameters, family);
  switch (type) {
    case 'default':
      refusePerLayerForm(parameters);
      return { type, theta, rotaryDim };
    case 'linear':
      return { type, theta, rotaryDim, factor: parameters.positive('factor') };
    case 'dynamic':
      if (rotaryDim < 4) parameters.fail('rope_type', 'dynamic needs more than two rotated dimensions');
      return { type, theta, rotaryDim, factor: parameters.positive('factor'), maxPositions: family.maxPositions };
    case 'llama3':
      return { theta, rotaryDim, ...readLlama3(parameters, original()) };
    case 'yarn':
      if (theta <= 1) parameters.fail('rope_theta', `${describe(theta)}, but yarn needs more than 1`);
      return { theta, rotaryDim, ...readYarn(parameters, original(), family) };
    case 'longrope':
      return { theta, rotaryDim, ...readLongRope(parameters, original(), family) };
    default:
      return type satisfies never;
  }
}

function readType(parameters: ConfigReader, { aliases = {}, only = TYPES }: RopeFamily): RopeScaling['type'] {
  const field = parameters.get('rope_type') === undefined ? 'type' : 'rope_type';
  const name = parameters.text(field, 'default');
  const type = Object.hasOwn(aliases, name) ? aliases[name] : TYPES.find((one) => one === name);
  if (type !== undefined && only.includes(type)) return type;
  return parameters.fail(
    field,
    `the RoPE type ${describe(name)}, but supported for this model are ${only.join(', ')}`,
    'Choose a model with one of these.',
  );
}

function readLlama3(parameters: ConfigReader, originalMaxPositions: number): Llama3Scaling {
  const factor = parameters.positive('factor');
  const lowFreqFactor = parameters.positive('low_freq_factor');
  const highFreqFactor = parameters.positive('high_freq_factor');
  if (highFreqFactor <= lowFreqFactor) {
    parameters.fail('high_freq_factor', `${highFreqFactor} must be above low_freq_factor, ${lowFreqFactor}`);
  }
  return { type: 'llama3', factor, lowFreqFactor, highFreqFactor, originalMaxPositions };
}

/** 0.1·mscale·ln(factor) + 1 (Peng et al. 2023, arXiv 2309.00071, eq. 22). */
const yarnScale = (factor: number, mscale = 1): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);

function readYarn(
  parameters: ConfigReader,
  original: number,
  { maxPositions, byLayerType }: Surroundings,
): YarnScaling {
  const nullFactor = parameters.has('factor') && parameters.get('factor') === undefined;
  const factor = nullFactor ? maxPositions / original : parameters.positive('factor');
  const optional = (field: string) => (parameters.get(field) === undefined ? null : parameters.notNegative(field));
  const mscale = optional('mscale');
  const mscaleAllDim = optional('mscale_all_dim');
  // 0 counts as absent for all four, as in Python's `or`.
  const attentionFactor =
    optional('attention_factor') ??
    (mscale && mscaleAllDim ? yarnScale(factor, mscale) / yarnScale(factor, mscaleAllDim) : yarnScale(factor));
  return {
    type: 'yarn',
    factor,
    originalMaxPositions: original,
    attentionFactor,
    betaFast: optional('beta_fast') || 32,
    betaSlow: optional('beta_slow') || 1,
    // transformers does not look for it in a layer type's own set.
    truncate: parameters.boolean('truncate', true) || byLayerType,
  };
}

function readLongRope(
  parameters: ConfigReader,
  original: number,
  { maxPositions, rotaryDim }: Surroundings,
): LongRopeScaling {
  const factor = parameters.get('factor') === undefined ? maxPositions / original : parameters.positive('factor');
  // √(1 + ln factor / ln O) (Ding et al. 2024, arXiv 2402.13753).
  const computed = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  const given = parameters.get('attention_factor') !== undefined;
  if (!given && !Number.isFinite(computed)) parameters.fail(ORIGINAL, `${original} is too small for longrope`);
  const factors = (field: string): readonly number[] => {
    const list = parameters.list(field) ?? parameters.fail(field, 'is missing, but longrope needs it');
    if (list.length !== rotaryDim / 2) {
      parameters.fail(field, `has ${list.length} entries, but ${rotaryDim / 2} pairs of dimensions turn`);
    }
    return list.map((value) => {
      if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
      return parameters.fail(field, `an entry ${describe(value)}, but must be a number above 0`);
    });
  };
  return {
    type: 'longrope',
    originalMaxPositions: original,
    attentionFactor: given ? parameters.notNegative('attention_factor') : computed,
    shortFactor: factors('short_factor'),
    longFactor: factors('long_factor'),
  };
}

/** int(head_dim · partial_rotary_factor), as transformers rounds. */
function readRotaryDim(parameters: ConfigReader, { headDim, partial = false }: RopeFamily): number {
  const field = 'partial_rotary_factor';
  const share = parameters.get(field) === undefined ? 1 : parameters.positive(field);
  if (share === 1) return headDim;
  if (!partial) {
    parameters.fail(field, 'rotating a part of each head is not supported for this model', 'Choose another model.');
  }
  const rotaryDim = Math.trunc(headDim * share);
  if (share > 1 || rotaryDim < 2 || rotaryDim % 2 !== 0) {
    parameters.fail(field, `${share} of a head of ${headDim} is not an even number of dimensions within it`);
  }
  return rotaryDim;
}

/** `rope_parameters {full_attention: {…}}` has no rope_type of its own, and must not pass for the default. */
function refusePerLayerForm(parameters: ConfigReader): void {
  for (const field of parameters.fields()) {
    if (typeof parameters.get(field) === 'object') {
      parameters.fail(
        field,
        'RoPE parameters per layer type are not supported for this model',
        'Choose another model.',
      );
    }
  }
}
