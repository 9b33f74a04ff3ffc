import { expect, test } from 'vitest';
import { expectedTensors } from '../formats/check_checkpoint.ts';
import { layerLinears } from '../formats/model_spec.ts';
import { BENCH_MODELS, benchModel } from './bench_models.ts';

/** Parameters, and those of an adapter of rank 16 on all linears, as published or counted from the published shapes. */
const SIZES: Readonly<Record<string, readonly [number, number]>> = {
  'SmolLM2-135M': [134_515_008, 4_884_480],
  'SmolLM2-360M': [361_821_120, 8_683_520],
  'SmolLM2-1.7B': [1_711_376_384, 18_087_936],
  'Qwen2.5-0.5B': [494_032_768, 8_798_208],
  'Qwen2.5-1.5B': [1_543_714_304, 18_464_768],
  'Qwen2.5-7B': [7_615_616_512, 40_370_176],
  'Qwen3-0.6B': [596_049_920, 10_092_544],
  'Qwen3-1.7B': [1_720_574_976, 17_432_576],
  'Qwen3-4B': [4_022_468_096, 33_030_144],
  'Qwen3-8B': [8_190_735_360, 43_646_976],
  'Llama-3.2-1B': [1_235_814_400, 11_272_192],
  'Llama-3.2-3B': [3_212_749_824, 24_313_856],
  'Llama-3.1-8B': [8_030_261_248, 41_943_040],
  'TinyLlama-1.1B': [1_100_048_384, 12_615_680],
  'Gemma-3-270m': [268_098_176, 3_796_992],
  'Gemma-3-1b': [999_885_952, 13_045_760],
  'Gemma-2-2b': [2_614_341_888, 20_766_720],
  'Mistral-7B': [7_248_023_552, 41_943_040],
  'Phi-3.5-mini': [3_821_079_552, 25_165_824],
  'SmolLM3-3B': [3_075_098_624, 30_228_480],
};

test.each(Object.entries(SIZES))('%s has its number of parameters', (name, [parameters, adapter]) => {
  const spec = benchModel(name);
  const count = expectedTensors(spec).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const linears = layerLinears(spec).reduce((sum, { inFeatures, outFeatures }) => sum + inFeatures + outFeatures, 0);
  expect([count, 16 * linears * spec.layers.length]).toEqual([parameters, adapter]);
});

test('every model but the smallest is counted, and no other name is known', () => {
  expect(BENCH_MODELS.filter((name) => !(name in SIZES))).toEqual(['tiny', 'demo']);
  expect(() => benchModel('GPT-2')).toThrow(/--model is tiny, .*; not GPT-2/);
});
