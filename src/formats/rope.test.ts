import { describe, expect, test } from 'vitest';
import { ConfigReader } from './config_reader.ts';
import { inverseFrequenciesAt, makeRope } from './rope.ts';
import { readRopeParameters } from './rope_parameters.ts';

const spec = (config: Record<string, unknown>, headDim = 16, maxPositions = 131_072) =>
  makeRope(readRopeParameters(new ConfigReader(config), { headDim, maxPositions }));
const rope = (config: Record<string, unknown>, dim = 16) => spec(config, dim).inverseFrequencies;

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
    const { inverseFrequencies, attentionScaling, long } = spec({ rope_theta: 1e6, rope_scaling: LLAMA3 }, 128);
    expect(inverseFrequencies.every((value) => Math.fround(value) === value)).toBe(true);
    expect(attentionScaling).toBe(1);
    expect(long).toBeNull();
  });

  const yarn = { rope_type: 'yarn', factor: 8, original_max_position_embeddings: 64 };
  const YARN = [
    1.0, 0.2239946573972702, 0.0416666641831398, 0.0039528473280370235, 0.0012499999720603228, 0.00039528473280370235,
    0.0001250000059371814, 3.9528473280370235e-5,
  ];

  test('yarn equals PyTorch to the bit, also with ends between dimensions and mscale', () => {
    const whole = spec({ rope_parameters: yarn }, 16, 512);
    expect(whole.inverseFrequencies).toEqual(YARN);
    expect(whole.attentionScaling).toBe(1.2079441541679836);
    const exact = spec({
      rope_scaling: { ...yarn, truncate: false, beta_fast: 16, beta_slow: 2, mscale: 1, mscale_all_dim: 0.5 },
    });
    expect(exact.inverseFrequencies).toEqual([1, 0.12053398787975311, 0.012500000186264515, ...YARN.slice(3)]);
    expect(exact.attentionScaling).toBe(1.094179988101349);
    // A factor of null is the contexts' ratio.
    expect(spec({ rope_parameters: { ...yarn, factor: null } }, 16, 512)).toEqual(whole);
    expect(spec({ rope_parameters: { ...yarn, attention_factor: 0.5 } }).attentionScaling).toBe(0.5);
  });

  test('dynamic: the default up to the limit, PyTorch’s beyond', () => {
    const dynamic = spec({ rope_parameters: { rope_type: 'dynamic', factor: 2.5, rope_theta: 10_000 } }, 16, 64);
    expect(inverseFrequenciesAt(dynamic, 1)).toEqual(DEFAULT_16);
    expect(inverseFrequenciesAt(dynamic, 64)).toEqual(DEFAULT_16);
    const expected: readonly [number, readonly number[]][] = [
      [
        100,
        [
          1, 0.2789476811885834, 0.07781180739402771, 0.021705422550439835, 0.006054677069187164, 0.0016889381222426891,
          0.0004711253859568387, 0.00013141933595761657,
        ],
      ],
      [
        70,
        [
          1, 0.30685704946517944, 0.094161257147789, 0.028894048184156418, 0.008866342715919018, 0.002720699878409505,
          0.0008348660194315016, 0.0002561845176387578,
        ],
      ],
    ];
    for (const [length, theirs] of expected) {
      const ours = inverseFrequenciesAt(dynamic, length);
      expect(ours).toHaveLength(8);
      theirs.forEach((value, i) => {
        expect(Math.abs((ours[i] ?? 0) / value - 1)).toBeLessThan(3e-7);
      });
    }
  });

  test('longrope: divisors by length, the scale from the contexts’ ratio', () => {
    const config = {
      original_max_position_embeddings: 32,
      rope_scaling: {
        type: 'longrope',
        short_factor: [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
        long_factor: [1, 2, 3, 4, 5, 6.5, 7, 8],
      },
    };
    const long = spec(config, 16, 128);
    expect(long.attentionScaling).toBe(1.1832159566199232);
    expect(inverseFrequenciesAt(long, 32)).toEqual([
      1, 0.2874797582626343, 0.0833333358168602, 0.024325214326381683, 0.0071428571827709675, 0.0021081853192299604,
      0.0006249999860301614, 0.0001860163320088759,
    ]);
    expect(inverseFrequenciesAt(long, 33)).toEqual([
      1, 0.15811388194561005, 0.03333333507180214, 0.007905694656074047, 0.0020000000949949026, 0.0004865042574238032,
      0.0001428571413271129, 3.9528473280370235e-5,
    ]);
    // A context that was not extended; a factor and a scale of its own.
    expect(spec(config, 16, 32).attentionScaling).toBe(1);
    const own = (fields: object) => spec({ ...config, rope_scaling: { ...config.rope_scaling, ...fields } }, 16, 128);
    expect(own({ factor: 32 }).attentionScaling).toBe(Math.sqrt(2));
    expect(own({ factor: 32, attention_factor: 1.5 }).attentionScaling).toBe(1.5);
  });
});
