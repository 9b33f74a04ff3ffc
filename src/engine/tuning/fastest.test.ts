import { expect, test } from 'vitest';
import { fastest } from './fastest.ts';

const never = () => false;

test('a clock that rises while variants are measured favours nobody', async () => {
  const real = [1, 1.05, 3];
  let measured = 0;
  const asked: number[] = [];
  const sample = async (i: number) => {
    asked.push(i);
    // The first samples are slower by a fifth, and less and less.
    return real[i] * (1 + 0.2 * 0.6 ** measured++);
  };
  // The first look alone would take the second.
  expect(1.05 * (1 + 0.2 * 0.6 ** 3)).toBeLessThan(1 * (1 + 0.2 * 0.6));
  expect(await fastest(3, sample, never)).toBe(0);
  expect(
    asked.filter((i) => i === 2),
    'clearly slower: once',
  ).toHaveLength(1);
});

test('what is alone at the top is not measured again, and an early end says nothing', async () => {
  let calls = 0;
  const sample = async (i: number) => {
    calls++;
    return [2, 1, 2][i];
  };
  expect(await fastest(3, sample, never)).toBe(1);
  expect(calls).toBe(5);
  expect(await fastest(3, sample, () => calls > 6)).toBeNull();
});
