import { describe, expect, test } from 'vitest';
import { ConfigReader, ModelConfigError } from './config_reader.ts';
import { makeRope, readRopeParameters } from './rope.ts';

const rope = (config: Record<string, unknown>, dim = 16) =>
  makeRope(readRopeParameters(new ConfigReader(config), 131_072), dim).inverseFrequencies;

/** float32 values printed by transformers 5.17, `LlamaRotaryEmbedding(config).inv_freq`. */
const DEFAULT_16 = [
  1.0, 0.3162277638912201, 0.10000000149011612, 0.03162277862429619, 0.009999999776482582, 0.003162277862429619,
  0.0010000000474974513, 0.0003162277862429619,
];
const LINEAR_16 = [
  0.3333333432674408, 0.10540925711393356, 0.03333333507180214, 0.010540925897657871, 0.003333333181217313,
  0.0010540926596149802, 0.0003333333588670939, 0.0001054092645063065,
];
/** Llama-3.2-1B. */
const LLAMA3_64 = [
  1.0, 0.663601279258728, 0.44036662578582764, 0.2922278344631195, 0.193922758102417, 0.12868738174438477,
  0.08539710193872452, 0.05666961893439293, 0.03760603070259094, 0.02495540864765644, 0.016560440883040428,
  0.010989529080688953, 0.00729266507551074, 0.00483942124992609, 0.0032114461064338684, 0.0012905480107292533,
  0.000429556705057621, 9.708286233944818e-5, 1.9461638657958247e-5, 1.291476746700937e-5, 8.570255886297673e-6,
  5.687232260243036e-6, 3.7740544485131977e-6, 2.504467147446121e-6, 1.6619674170215148e-6, 1.1028836297555245e-6,
  7.318749339901842e-7, 4.856731266045244e-7, 3.2229328894572973e-7, 2.1387423032592778e-7, 1.4192720243499934e-7,
  9.418306490260875e-8,
];
const LLAMA3 = {
  rope_type: 'llama3',
  factor: 32,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8_192,
};

describe('inverse frequencies', () => {
  test('default and linear equal PyTorch to the bit', () => {
    expect(rope({ rope_theta: 10_000 })).toEqual(DEFAULT_16);
    expect(rope({ rope_scaling: { rope_type: 'linear', factor: 3 } })).toEqual(LINEAR_16);
  });

  test('llama3 equals PyTorch within a few units in the last place (its smoothing amplifies one of powf)', () => {
    const found = rope({ rope_theta: 500_000, rope_scaling: LLAMA3 }, 64);
    expect(found).toHaveLength(32);
    for (const [i, expected] of LLAMA3_64.entries()) {
      expect(Math.abs((found[i] ?? 0) / expected - 1)).toBeLessThan(5e-7);
    }
    expect(found.filter((value, i) => value === LLAMA3_64[i]).length).toBeGreaterThan(28);
  });

  test('are float32 values, and nothing scales cos and sin', () => {
    const parameters = readRopeParameters(new ConfigReader({ rope_theta: 1e6, rope_scaling: LLAMA3 }), 4_096);
    const { inverseFrequencies, attentionScaling } = makeRope(parameters, 128);
    expect(inverseFrequencies.every((value) => Math.fround(value) === value)).toBe(true);
    expect(attentionScaling).toBe(1);
  });
});

describe('readRopeParameters', () => {
  const parse = (config: Record<string, unknown>) => readRopeParameters(new ConfigReader(config), 4_096);
  const linear = { type: 'linear', theta: 5e5, factor: 2, llama3: null };

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
    const plain = { type: 'default', theta: 10_000, factor: 1, llama3: null };
    expect(parse({})).toEqual(plain);
    expect(parse({ rope_scaling: null, rope_theta: null })).toEqual(plain);
    expect(parse({ rope_parameters: { rope_type: 'default', rope_theta: 10_000 } })).toEqual(plain);
    expect(parse({ rope_parameters: { rope_theta: 9 }, partial_rotary_factor: 1 })).toEqual({ ...plain, theta: 9 });
  });

  test('llama3: the original context, from where transformers takes it', () => {
    const { original_max_position_embeddings: _, ...rest } = LLAMA3;
    const original = (config: Record<string, unknown>) => parse(config).llama3?.originalMaxPositions;
    expect(original({ rope_scaling: LLAMA3 })).toBe(8_192);
    expect(original({ rope_scaling: LLAMA3, original_max_position_embeddings: 512 })).toBe(512);
    expect(original({ rope_scaling: rest })).toBe(4_096);
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      'yarn',
      { rope_scaling: { type: 'yarn', factor: 4 } },
      /rope_scaling\.type: .*"yarn".*supported for this model are default, linear, llama3/,
    ],
    ['dynamic', { rope_parameters: { rope_type: 'dynamic', factor: 4 } }, /rope_parameters\.rope_type.*"dynamic"/],
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
});
