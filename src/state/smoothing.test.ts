import { expect, it } from 'vitest';
import { smooth } from './smoothing.ts';

it('starts at the first value instead of at zero', () => {
  expect(smooth([3, 3, 3], 0.9).map((value) => value.toFixed(9))).toEqual([
    '3.000000000',
    '3.000000000',
    '3.000000000',
  ]);
});

it('weighs values by their age', () => {
  // (0.5·0.5·1 + 0.5·2) / (1 − 0.5²)
  expect(smooth([1, 2], 0.5)[1]).toBeCloseTo(5 / 3, 12);
});

it('gives the values back without smoothing', () => {
  expect(smooth([1, 5, 2], 0)).toEqual([1, 5, 2]);
});
