/**
 * Rotary position embeddings from config.json: both forms of the parameters, and the inverse frequencies.
 *
 * PyTorch computes inverse frequencies in float32 (transformers' `modeling_rope_utils.py`). So do we, rounding after
 * each operation where PyTorch rounds; powers are rounded once from float64, which is within one unit in the last place
 * of PyTorch's powf. Exact float64 frequencies would move an angle at position p by p · 3e-8 · f from the reference's,
 * 1e-3 rad at position 32,768; this way the difference is 0 for nearly every frequency. Angles are then the float32
 * product position · frequency.
 */
import { type ConfigReader, describe } from './config_reader.ts';
import type { RopeSpec } from './model_spec.ts';

export type RopeType = 'default' | 'linear' | 'llama3';

/** One rotary embedding's parameters, whichever way config.json writes them. */
export interface RopeParameters {
  readonly type: RopeType;
  readonly theta: number;
  /** linear, llama3; else 1. */
  readonly factor: number;
  /** llama3 only. */
  readonly llama3: Llama3Parameters | null;
}

interface Llama3Parameters {
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  /** O: the context length before scaling. */
  readonly originalMaxPositions: number;
}

const SUPPORTED: readonly RopeType[] = ['default', 'linear', 'llama3'];
const DEFAULT_THETA = 10_000;
const MAX_POSITIONS = { min: 1, max: 2 ** 32 - 1 };
const round = Math.fround;

/**
 * Reads legacy `rope_theta` + `rope_scaling {rope_type | type}`, or the newer `rope_parameters`, with transformers'
 * precedence: a non-empty `rope_scaling` first; `rope_theta` inside either one before the one beside it.
 * Throws ModelConfigError for a type other than default, linear and llama3, and for values that cannot be.
 */
export function readRopeParameters(config: ConfigReader, maxPositions: number): RopeParameters {
  const scaling = config.object('rope_scaling');
  const hasScaling = scaling !== undefined && scaling.fields().length > 0;
  const parameters = hasScaling ? scaling : config.object('rope_parameters');
  const theta = parameters?.get('rope_theta') === undefined ? undefined : parameters.positive('rope_theta');
  const plain = { theta: theta ?? config.positive('rope_theta', DEFAULT_THETA), factor: 1, llama3: null };
  if (parameters !== undefined) refusePartialRotation(parameters);
  refusePartialRotation(config);
  if (parameters === undefined) return { type: 'default', ...plain };

  const typeField = parameters.get('rope_type') === undefined ? 'type' : 'rope_type';
  const type = parameters.text(typeField, 'default');
  switch (type) {
    case 'default':
      refusePerLayerForm(parameters);
      return { type, ...plain };
    case 'linear':
      return { type, ...plain, factor: parameters.positive('factor') };
    case 'llama3':
      return {
        type,
        ...plain,
        factor: parameters.positive('factor'),
        llama3: readLlama3(config, parameters, maxPositions),
      };
    default:
      return parameters.fail(
        typeField,
        `the RoPE type ${describe(type)}, but supported for this model are ${SUPPORTED.join(', ')}`,
        'Choose a model with one of these.',
      );
  }
}

function readLlama3(config: ConfigReader, parameters: ConfigReader, maxPositions: number): Llama3Parameters {
  const lowFreqFactor = parameters.positive('low_freq_factor');
  const highFreqFactor = parameters.positive('high_freq_factor');
  if (highFreqFactor <= lowFreqFactor) {
    parameters.fail('high_freq_factor', `${highFreqFactor} must be above low_freq_factor, ${lowFreqFactor}`);
  }
  const field = 'original_max_position_embeddings';
  // transformers gives the one outside precedence, and falls back to the whole context.
  const home = config.get(field) === undefined ? parameters : config;
  return { lowFreqFactor, highFreqFactor, originalMaxPositions: home.integer(field, MAX_POSITIONS, maxPositions) };
}

function refusePartialRotation(parameters: ConfigReader): void {
  const share = parameters.get('partial_rotary_factor') ?? 1;
  if (share === 1) return;
  parameters.fail(
    'partial_rotary_factor',
    'rotating a part of each head is not supported for this model',
    'Choose another model.',
  );
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

/**
 * Inverse frequencies of a rotary embedding over `rotaryDim` (even) dimensions of a head: rotaryDim / 2 float32 values.
 * Source: transformers, `compute_default_rope_parameters`, `_compute_linear_scaling_rope_parameters`,
 * `_compute_llama3_parameters`.
 */
export function makeRope(parameters: RopeParameters, rotaryDim: number): RopeSpec {
  const base = round(parameters.theta);
  const inverseFrequencies: number[] = [];
  for (let dimension = 0; dimension < rotaryDim; dimension += 2) {
    const power = round(base ** round(dimension / rotaryDim));
    inverseFrequencies.push(scale(round(1 / power), parameters));
  }
  return { inverseFrequencies, attentionScaling: 1 };
}

function scale(frequency: number, { type, factor, llama3 }: RopeParameters): number {
  switch (type) {
    case 'default':
      return frequency;
    case 'linear':
      return round(frequency / round(factor));
    case 'llama3':
      return llama3 === null ? frequency : scaleLlama3(frequency, round(factor), llama3);
    default:
      return type satisfies never;
  }
}

function scaleLlama3(frequency: number, factor: number, parameters: Llama3Parameters): number {
  const { lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original } = parameters;
  const wavelength = round(round(2 * Math.PI) / frequency);
  if (wavelength < round(original / high)) return frequency;
  if (wavelength > round(original / low)) return round(frequency / factor);
  const smooth = round(round(round(original / wavelength) - low) / round(high - low));
  const scaled = round(round(round(1 - smooth) * frequency) / factor);
  return round(scaled + round(smooth * frequency));
}
