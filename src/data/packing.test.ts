import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Example, Row } from './batch.ts';
import { packBestFitDecreasing } from './packing.ts';

const ofLength = (length: number, first = 0): Example => {
  const ids = Array.from({ length }, (_, index) => first + index);
  return { ids, labels: ids };
};
const lengthOf = (row: readonly Example[]) => row.reduce((sum, example) => sum + example.ids.length, 0);

/** golden/make_cases.py `pack_bfd`, word for word. */
function reference(examples: readonly Example[], maxLength: number): Row[] {
  const rows: Example[][] = [];
  for (const example of [...examples].sort((a, b) => b.ids.length - a.ids.length)) {
    const fit = rows.filter((row) => maxLength - lengthOf(row) >= example.ids.length);
    const best = fit.reduce<Example[] | undefined>((a, b) => (a && lengthOf(a) >= lengthOf(b) ? a : b), undefined);
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
        (lengths, maxLength) => {
          const examples = lengths.map((length, index) => ofLength(Math.min(length, maxLength), index * 100));
          expect(packBestFitDecreasing(examples, maxLength)).toEqual(reference(examples, maxLength));
        },
      ),
    );
  });

  it('loses no token, repeats none and overfills no row', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 100 }), (lengths) => {
        const examples = lengths.map((length) => ofLength(length));
        const rows = packBestFitDecreasing(examples, 64);
        expect(new Set(rows.flat())).toEqual(new Set(examples));
        expect(rows.flat()).toHaveLength(examples.length);
        expect(Math.max(...rows.map(lengthOf))).toBeLessThanOrEqual(64);
      }),
    );
  });

  it('gives an example that is too long a row of its own, and none to nothing', () => {
    expect(packBestFitDecreasing([ofLength(3), ofLength(9)], 5).map(lengthOf)).toEqual([9, 3]);
    expect(packBestFitDecreasing([], 5)).toEqual([]);
    expect(packBestFitDecreasing([ofLength(3), ofLength(9)], 1e12).map(lengthOf)).toEqual([12]);
  });

  it('packs 100,000 examples without looking through every row for each', () => {
    const lengths = Array.from({ length: 1024 }, (_, index) => ofLength(index + 1));
    const examples = Array.from({ length: 100_000 }, (_, index) => ({ ...lengths[(index * 7919) % 1024]! }));
    const before = performance.now();
    const rows = packBestFitDecreasing(examples, 2048);
    expect(performance.now() - before).toBeLessThan(3000);
    expect(rows.reduce((sum, row) => sum + row.length, 0)).toBe(100_000);
  });
});
