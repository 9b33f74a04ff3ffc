import { expect, test } from 'vitest';
import { dropoutReference, philox } from './dropout.reference.ts';

test('Random123’s known answers for philox4x32-10', () => {
  const hex = (words: number[]) => words.map((word) => word.toString(16).padStart(8, '0')).join(' ');
  const ones = [0xffffffff, 0xffffffff];
  expect(hex(philox([0, 0, 0, 0], [0, 0]))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  expect(hex(philox([...ones, ...ones], ones))).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd');
  const pi = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344];
  expect(hex(philox(pi, [0xa4093822, 0x299f31d0]))).toBe('d16cfe09 94fdcceb 5001e420 24126ea1');
});

test('drops the share that is asked for, each element alone, and keeps the mean', () => {
  const [tokens, width, probability] = [200, 101, 0.1];
  const state = { seed: 5, step: 3, microBatch: 1 };
  const factors = dropoutReference(state, { probability, module: 7, width }, tokens);
  const share = factors.filter((f) => f === 0).length / factors.length;
  // Four standard deviations of a binomial share.
  const deviation = Math.sqrt((probability * (1 - probability)) / factors.length);
  expect(Math.abs(share - probability)).toBeLessThan(4 * deviation);
  expect(Math.abs(factors.reduce((a, b) => a + b) / factors.length - 1)).toBeLessThan(0.02);
  // Neighbours along a row and a column, and the same element of another module, step or micro-batch, are independent.
  const both = (other: (i: number) => number) =>
    factors.filter((f, i) => f === 0 && other(i) === 0).length / factors.length;
  const others = [{ module: 8 }, { step: 4 }, { microBatch: 2 }, { seed: 6 }].map((change) => {
    const changed = { ...state, module: 7, ...change };
    const again = dropoutReference(changed, { probability, module: changed.module, width }, tokens);
    return (i: number) => again[i];
  });
  for (const other of [(i: number) => factors[i + 1], (i: number) => factors[i + width], ...others]) {
    expect(Math.abs(both(other) - probability ** 2)).toBeLessThan(0.004);
  }
});
