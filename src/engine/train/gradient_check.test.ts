import { expect, test } from 'vitest';
import { compareWithF32, F16_LIMITS, type LossAndGradients } from './gradient_check.ts';

const measured = (loss: number, ...values: number[]): LossAndGradients => ({
  loss,
  gradients: new Map([
    ['a', { shape: [2], data: Float32Array.from(values.slice(0, 2)) }],
    ['b', { shape: [values.length - 2], data: Float32Array.from(values.slice(2)) }],
  ]),
});
const F32 = measured(2, 3, 0, 0, 4);

test('f16 where loss and gradients are near enough, over all tensors together', () => {
  expect(compareWithF32(F32, F32)).toEqual({ precision: 'f16', errors: { loss: 0, gradient: 0 } });
  // A tenth of one small element is 6 % of it, 1.4 % of all.
  const near = compareWithF32(F32, measured(2.002, 3, 0.07, 0, 4));
  expect(near.precision).toBe('f16');
  expect(near.errors?.loss).toBeCloseTo(0.001, 6);
  expect(near.errors?.gradient).toBeCloseTo(0.014, 6);
});

test.each([
  ['the loss is off', measured(2 * (1 + 1.5 * F16_LIMITS.loss), 3, 0, 0, 4)],
  ['a gradient is off', measured(2, 3, 0, 0.15, 4)],
  ['a gradient left f16’s range', measured(2, 3, 0, Number.NaN, 4)],
  ['a gradient is infinite', measured(2, Number.POSITIVE_INFINITY, 0, 0, 4)],
  ['the loss is no number', measured(Number.NaN, 3, 0, 0, 4)],
  ['gradients are missing', { loss: 2, gradients: new Map() }],
])('f32 where %s', (_, f16) => {
  expect(compareWithF32(F32, f16).precision).toBe('f32');
});

test('f32 where there is nothing to compare with', () => {
  expect(compareWithF32(measured(2, 0, 0, 0, 0), measured(2, 0, 0, 0, 0)).precision).toBe('f32');
});
