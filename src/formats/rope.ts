/**
 * The inverse frequencies of rotary position embeddings.
 *
 * PyTorch computes them in float32 (transformers' `modeling_rope_utils.py`). So do we, rounding after each operation
 * where PyTorch rounds; powers are rounded once from float64, which is within one unit in the last place of PyTorch's
 * powf. Exact float64 frequencies would move an angle at position p by p · 3e-8 · f from the reference's, 1e-3 rad at
 * position 32,768; this way the difference is 0 for nearly every frequency. Angles are then the float32 product
 * position · frequency.
 */
import type { RopeSpec } from './model_spec.ts';
import type { Llama3Scaling, RopeParameters, YarnScaling } from './rope_parameters.ts';

const round = Math.fround;

/** Source: transformers, `compute_default_rope_parameters` and `ROPE_INIT_FUNCTIONS`. */
export function makeRope(parameters: RopeParameters): RopeSpec {
  const { theta, rotaryDim } = parameters;
  const powers = thetaPowers(round(theta), rotaryDim);
  const frequencies = powers.map((power) => round(1 / power));
  const plain = { attentionScaling: 1, long: null };
  switch (parameters.type) {
    case 'default':
      return { ...plain, inverseFrequencies: frequencies };
    case 'linear':
      return { ...plain, inverseFrequencies: frequencies.map((f) => round(f / round(parameters.factor))) };
    case 'dynamic': {
      const { factor, maxPositions } = parameters;
      return {
        inverseFrequencies: frequencies,
        attentionScaling: 1,
        long: { kind: 'dynamic', beyond: maxPositions, theta, factor },
      };
    }
    case 'llama3':
      return { ...plain, inverseFrequencies: frequencies.map((f) => scaleLlama3(f, parameters)) };
    case 'yarn':
      return {
        ...plain,
        inverseFrequencies: yarnFrequencies(powers, parameters),
        attentionScaling: parameters.attentionFactor,
      };
    case 'longrope': {
      const divided = (divisors: readonly number[]) =>
        powers.map((power, i) => round(1 / round(round(divisors[i] as number) * power)));
      return {
        inverseFrequencies: divided(parameters.shortFactor),
        attentionScaling: parameters.attentionFactor,
        long: {
          kind: 'fixed',
          beyond: parameters.originalMaxPositions,
          inverseFrequencies: divided(parameters.longFactor),
        },
      };
    }
    default:
      return parameters satisfies never;
  }
}

/** theta^(2i / rotaryDim), theta a float32 value. */
function thetaPowers(theta: number, rotaryDim: number): number[] {
  return Array.from({ length: rotaryDim / 2 }, (_, i) => round(theta ** round((2 * i) / rotaryDim)));
}

/**
 * Frequencies for batches of `length` positions: the ordinary ones up to the rope's limit. Dynamic NTK raises theta to
 * theta·(factor·S/M − (factor − 1))^(d/(d − 2)), in float32 as PyTorch does with S a tensor.
 */
export function inverseFrequenciesAt({ inverseFrequencies, long }: RopeSpec, length: number): readonly number[] {
  if (long === null || length <= long.beyond) return inverseFrequencies;
  if (long.kind === 'fixed') return long.inverseFrequencies;
  const { theta, factor, beyond } = long;
  const rotaryDim = 2 * inverseFrequencies.length;
  const stretch = round(round(round(round(factor) * length) / beyond) - round(factor - 1));
  const power = round(stretch ** round(rotaryDim / (rotaryDim - 2)));
  return thetaPowers(round(round(theta) * power), rotaryDim).map((value) => round(1 / value));
}

/** Grattafiori et al. 2024, as published with Llama 3.1: wavelengths up to O/high stay, beyond O/low are divided. */
function scaleLlama3(frequency: number, parameters: Llama3Scaling): number {
  const { lowFreqFactor: low, highFreqFactor: high, originalMaxPositions: original } = parameters;
  const factor = round(parameters.factor);
  const wavelength = round(round(2 * Math.PI) / frequency);
  if (wavelength < round(original / high)) return frequency;
  if (wavelength > round(original / low)) return round(frequency / factor);
  const smooth = round(round(round(original / wavelength) - low) / round(high - low));
  const scaled = round(round(round(1 - smooth) * frequency) / factor);
  return round(scaled + round(smooth * frequency));
}

/** Peng et al. 2023 (arXiv 2309.00071), §3.2: dimensions that turn often keep f, slow ones get f / factor, a ramp between. */
function yarnFrequencies(powers: readonly number[], parameters: RopeParameters & YarnScaling): number[] {
  const { theta, rotaryDim, originalMaxPositions, betaFast, betaSlow, truncate } = parameters;
  const factor = round(parameters.factor);
  /** The dimension that turns this often over the original context. */
  const dimensionOf = (turns: number) =>
    (rotaryDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const [fast, slow] = [dimensionOf(betaFast), dimensionOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, rotaryDim - 1);
  const width = round((low === high ? high + 0.001 : high) - low);
  return powers.map((power, i) => {
    const ramp = Math.min(1, Math.max(0, round(round(i - round(low)) / width)));
    const kept = round(1 - ramp);
    const slowed = round(1 / round(factor * power));
    return round(round(slowed * round(1 - kept)) + round(round(1 / power) * kept));
  });
}
