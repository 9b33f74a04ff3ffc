import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { packBestFitDecreasing } from './packing.ts';

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

/** golden/make_cases.py `pack_bfd`, word for word. */
function reference(lengths: readonly number[], maxLength: number): number[][] {
  const rows: number[][] = [];
  const lengthOf = (row: readonly number[]) => sum(row.map((example) => lengths[example]));
  for (const example of [...lengths.keys()].sort((a, b) => lengths[b] - lengths[a])) {
    const fit = rows.filter((row) => maxLength - lengthOf(row) >= lengths[example]);
    const best = fit.reduce<number[] | undefined>((a, b) => (a && lengthOf(a) >= lengthOf(b) ? a : b), undefined);
    if (best) best.push(example);
    else rows.push([example]);
  }
  return rows;
}

describe('packBestFitDecreasing', () => {
  it('packs as the reference does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 45 }),
        (wanted, maxLength) => {
          const lengths = wanted.map((length) => Math.min(length, maxLength));
          expect(packBestFitDecreasing(lengths, maxLength)).toEqual(reference(lengths, maxLength));
        },
      ),
    );
  });

  it('loses no example, repeats none and overfills no row', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 100 }), (lengths) => {
        const rows = packBestFitDecreasing(lengths, 64);
        expect(rows.flat().sort((a, b) => a - b)).toEqual([...lengths.keys()]);
        expect(Math.max(...rows.map((row) => sum(row.map((example) => lengths[example]))))).toBeLessThanOrEqual(64);
      }),
    );
  });

  it('gives an example that is too long a row of its own, and none to nothing', () => {
    expect(packBestFitDecreasing([3, 9], 5)).toEqual([[1], [0]]);
    expect(packBestFitDecreasing([], 5)).toEqual([]);
    expect(packBestFitDecreasing([3, 9], 1e12)).toEqual([[1, 0]]);
  });

  it('packs 100,000 examples without looking through every row for each', () => {
    const lengths = Array.from({ length: 100_000 }, (_, index) => ((index * 7919) % 1024) + 1);
    const before = performance.now();
    const rows = packBestFitDecreasing(lengths, 2048);
    expect(performance.now() - before).toBeLessThan(3000);
    expect(sum(rows.map((row) => row.length))).toBe(100_000);
  });
});
