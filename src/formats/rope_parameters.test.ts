import { describe, expect, test } from 'vitest';
import { ConfigReader, ModelConfigError } from './config_reader.ts';
import { readRopeParameters } from './rope_parameters.ts';

const LLAMA3 = {
  rope_type: 'llama3',
  factor: 32,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8_192,
};
const longrope = (count: number) => ({
  type: 'longrope',
  short_factor: Array(count).fill(1),
  long_factor: Array(count).fill(2),
});

describe('readRopeParameters', () => {
  const parse = (config: Record<string, unknown>) =>
    readRopeParameters(new ConfigReader(config), { headDim: 16, maxPositions: 4_096 });
  const linear = { type: 'linear', theta: 5e5, rotaryDim: 16, factor: 2 };

  test.each<[string, Record<string, unknown>]>([
    ['legacy, rope_type', { rope_theta: 5e5, rope_scaling: { rope_type: 'linear', factor: 2 } }],
    ['legacy, type', { rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 2 } }],
    ['new', { rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 5e5 } }],
    ['new with theta outside', { rope_theta: 5e5, rope_parameters: { rope_type: 'linear', factor: 2 } }],
    ['inner theta first', { rope_theta: 1, rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 5e5 } }],
    [
      'rope_scaling first',
      { rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 2 }, rope_parameters: { rope_theta: 7 } },
    ],
    [
      'an empty rope_scaling is none',
      { rope_theta: 5e5, rope_scaling: {}, rope_parameters: { rope_type: 'linear', factor: 2 } },
    ],
  ])('%s', (_, config) => {
    expect(parse(config)).toEqual(linear);
  });

  test('defaults', () => {
    const plain = { type: 'default', theta: 10_000, rotaryDim: 16 };
    expect(parse({})).toEqual(plain);
    expect(parse({ rope_scaling: null, rope_theta: null })).toEqual(plain);
    expect(parse({ rope_parameters: { rope_type: 'default', rope_theta: 10_000 } })).toEqual(plain);
    expect(parse({ rope_parameters: { rope_theta: 9 }, partial_rotary_factor: 1 })).toEqual({ ...plain, theta: 9 });
  });

  test('llama3: the original context, from where transformers takes it', () => {
    const { original_max_position_embeddings: _, ...rest } = LLAMA3;
    const original = (config: Record<string, unknown>) => {
      const parameters = parse(config);
      return 'originalMaxPositions' in parameters ? parameters.originalMaxPositions : undefined;
    };
    expect(original({ rope_scaling: LLAMA3 })).toBe(8_192);
    expect(original({ rope_scaling: LLAMA3, original_max_position_embeddings: 512 })).toBe(512);
    expect(original({ rope_scaling: rest })).toBe(4_096);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      'a type there is no formula for',
      { rope_scaling: { type: 'ntk', factor: 4 } },
      /rope_scaling\.type: .*"ntk".*supported for this model are default, linear, dynamic, llama3, yarn, longrope/,
    ],
    ['an inherited name', { rope_scaling: { type: 'constructor' } }, /"constructor"/],
    ['dynamic without factor', { rope_parameters: { rope_type: 'dynamic' } }, /rope_parameters\.factor: is missing/],
    ['yarn without factor', { rope_scaling: { type: 'yarn' } }, /factor: is missing/],
    ['yarn, theta 1', { rope_theta: 1, rope_scaling: { type: 'yarn', factor: 4 } }, /yarn needs more than 1/],
    ['yarn, a negative mscale', { rope_scaling: { type: 'yarn', factor: 4, mscale: -1 } }, /mscale: is -1/],
    ['longrope without divisors', { rope_scaling: { type: 'longrope' } }, /short_factor: is missing/],
    ['longrope, too few divisors', { rope_scaling: longrope(7) }, /short_factor: has 7 entries, but 8 pairs/],
    ['longrope, a divisor of 0', { rope_scaling: { ...longrope(8), long_factor: Array(8).fill(0) } }, /an entry is 0/],
    [
      'longrope of a context of 1',
      { rope_scaling: { ...longrope(8), original_max_position_embeddings: 1 } },
      /original_max_position_embeddings: 1 is too small/,
    ],
    ['a type that is no text', { rope_scaling: { type: 3 } }, /must be a text/],
    ['rope_scaling as a list', { rope_scaling: [1] }, /must be an object/],
    ['theta 0', { rope_theta: 0 }, /rope_theta: is 0/],
    ['theta as text', { rope_parameters: { rope_theta: '1e4' } }, /rope_parameters\.rope_theta: is "1e4"/],
    ['linear without factor', { rope_scaling: { type: 'linear' } }, /rope_scaling\.factor: is missing/],
    ['llama3 without low', { rope_scaling: { ...LLAMA3, low_freq_factor: null } }, /low_freq_factor: is missing/],
    ['llama3, high = low', { rope_scaling: { ...LLAMA3, high_freq_factor: 1 } }, /must be above low_freq_factor/],
    ['partial rotation', { partial_rotary_factor: 0.5 }, /part of each head/],
    ['partial rotation inside', { rope_parameters: { partial_rotary_factor: 0.5 } }, /part of each head/],
    ['one set a layer type', { rope_parameters: { full_attention: { rope_theta: 1 } } }, /per layer type/],
  ])('refuses %s', (_, config, message) => {
    expect(() => parse(config)).toThrow(ModelConfigError);
    expect(() => parse(config)).toThrow(message);
  });

  test('a part of each head, where the family allows it', () => {
    const part = (config: Record<string, unknown>, headDim = 16) =>
      readRopeParameters(new ConfigReader(config), { headDim, maxPositions: 64, partial: true }).rotaryDim;
    expect(part({ partial_rotary_factor: 0.75 })).toBe(12);
    expect(part({ rope_parameters: { partial_rotary_factor: 0.5 }, partial_rotary_factor: 1 })).toBe(8);
    // Rounded down, as transformers does.
    expect(part({ partial_rotary_factor: 0.6 }, 14)).toBe(8);
    for (const share of [0, -1, 2, 0.05, 0.45, '0.5']) {
      expect(() => part({ partial_rotary_factor: share })).toThrow(/partial_rotary_factor/);
    }
  });
});
