import { expect, test } from 'vitest';
import { initialLora } from './lora.ts';

const shapes = [
  { name: 'a.lora_A', shape: [8, 2000] },
  { name: 'a.lora_B', shape: [30, 8] },
  { name: 'b.lora_A', shape: [4, 5000] },
];
const moments = (data: Float32Array) => {
  const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
  return { mean, deviation: Math.sqrt(data.reduce((sum, x) => sum + (x - mean) ** 2, 0) / data.length) };
};

test('Kaiming: uniform up to 1/√in; B zero', () => {
  const tensors = initialLora(shapes, 1, true);
  for (const [name, inFeatures] of [
    ['a.lora_A', 2000],
    ['b.lora_A', 5000],
  ] as const) {
    const { data } = tensors.get(name)!;
    const bound = 1 / Math.sqrt(inFeatures);
    expect(data.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / bound).toBeCloseTo(1, 2);
    expect(moments(data).deviation / (bound / Math.sqrt(3))).toBeCloseTo(1, 1);
  }
  expect(tensors.get('a.lora_B')!.data).toEqual(new Float32Array(240));
});

test('gaussian: the standard deviation is 1 over the module’s own rank', () => {
  const tensors = initialLora(shapes, 1, 'gaussian');
  for (const [name, rank] of [
    ['a.lora_A', 8],
    ['b.lora_A', 4],
  ] as const) {
    const { data } = tensors.get(name)!;
    const { mean, deviation } = moments(data);
    expect(Math.abs(mean * rank)).toBeLessThan(0.04);
    expect(Math.abs(deviation * rank - 1)).toBeLessThan(0.03);
    const within = data.filter((x) => Math.abs(x * rank) < 1).length / data.length;
    expect(Math.abs(within - 0.6827)).toBeLessThan(0.015);
  }
  expect(tensors.get('a.lora_B')!.data).toEqual(new Float32Array(240));
});

test('the same seed gives the same start, another seed another one', () => {
  expect(initialLora(shapes, 7, true)).toEqual(initialLora(shapes, 7, true));
  expect(initialLora(shapes, 8, true)).not.toEqual(initialLora(shapes, 7, true));
});
