import { describe, expect, it } from 'vitest';
import {
  batchMismatches,
  check,
  gradientChecks,
  LIMITS,
  largest,
  mismatches,
  relativeDistance,
  relativeError,
  relativeNorm,
} from './parity_checks.ts';

describe('a check', () => {
  it('passes up to its limit and never with NaN', () => {
    expect(check('x', 1e-5, 1e-5).pass).toBe(true);
    expect(check('x', 1.1e-5, 1e-5).pass).toBe(false);
    expect(check('x', Number.NaN, 1e-5).pass).toBe(false);
    expect(check('x', largest([0, Number.NaN, 1e-9]), 1).pass).toBe(false);
  });
});

describe('distances', () => {
  it('are relative to the reference, in float64', () => {
    expect(relativeNorm([3, 4.5], [3, 4])).toBeCloseTo(0.1, 12);
    expect(relativeError(1.01, 1)).toBeCloseTo(0.01, 12);
    expect(relativeError(0, 0)).toBe(0);
    expect(relativeError(1e-9, 0)).toBe(Number.POSITIVE_INFINITY);
  });

  it('are infinite between different lengths', () => {
    expect(relativeNorm([], [1])).toBe(Number.POSITIVE_INFINITY);
    expect(relativeNorm([1], [])).toBe(Number.POSITIVE_INFINITY);
  });

  it('of an adapter are measured against how far it moved, over all tensors together', () => {
    expect(
      relativeDistance([
        [[11], [10], [5]],
        [[7], [7], [7]],
      ]),
    ).toBeCloseTo(0.2, 12);
    expect(relativeDistance([[[7], [7], [7]]])).toBe(0);
  });

  it('carry a NaN through', () => {
    expect(relativeNorm([Number.NaN], [1])).toBeNaN();
  });
});

describe('mismatches', () => {
  it('counts elements', () => {
    expect(mismatches([1, 2, 3], [1, 5, 4])).toBe(2);
    expect(mismatches([1, 2], [1, 2, 3])).toBe(3);
  });

  it('sees a batch with other rows of the same tokens', () => {
    const flat = { input_ids: [[1, 2]], labels: [[1, 2]], position_ids: [[0, 1]], segments: [[1, 1]] };
    const rows = { ...flat, input_ids: [[1], [2]] };
    expect(batchMismatches(flat, flat)).toBe(0);
    expect(batchMismatches(rows, flat)).toBeGreaterThan(0);
  });

  it('names the gradient that is wrong, missing or unknown', () => {
    const theirs = new Map([
      ['a.lora_A', Float32Array.of(1)],
      ['a.lora_B', Float32Array.of(1)],
    ]);
    const ours = new Map([
      ['a.lora_A', { data: Float32Array.of(1.001) }],
      ['b.lora_B', { data: Float32Array.of(1) }],
    ]);
    const failed = gradientChecks(ours, theirs, LIMITS).filter(({ pass }) => !pass);
    expect(failed.map(({ name, value }) => [name, value > 1])).toEqual([
      ['gradients: names', true],
      ['gradient of a.lora_A', false],
      ['gradient of a.lora_B', true],
    ]);
  });
});
