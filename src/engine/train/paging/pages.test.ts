import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { momentPageBytes } from '../../kernels/adamw.ts';
import { momentPages, OptimizerBudgetError, pageElementsWithin, residencyOf, tierOf } from './pages.ts';

test('pages cover every bank once, in order, and none lies in two', () => {
  const banks = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(banks, fc.integer({ min: 0, max: 3 }), (sizes, doubled) => {
      const elements = sizes.map((size) => size * 16384);
      const page = 16384 * 2 ** doubled;
      const pages = momentPages(elements, page);
      const ends = elements.map(() => 0);
      for (const [i, one] of pages.entries()) {
        expect(one.index).toBe(i);
        expect(one.first).toBe(ends[one.bank]);
        expect(one.elements).toBeLessThanOrEqual(page);
        ends[one.bank] += one.elements;
      }
      expect(ends).toEqual(elements);
      expect(new Set(pages.map(({ name }) => name)).size).toBe(pages.length);
    }),
  );
});

test('a page is as large as its bytes allow, and never smaller than the smallest', () => {
  expect(pageElementsWithin(32, 4 * 2 ** 20)).toBe(2 ** 19);
  expect(pageElementsWithin(32, 4 * 2 ** 20 - 1)).toBe(2 ** 18);
  expect(pageElementsWithin(32, 1)).toBe(16384);
  expect(momentPageBytes(8, 16384)).toBe(2 * 16384 + 2 * 4 * 64);
});

describe('residency', () => {
  const PAGE = 1000;
  const of = (pages: number, gpu: number, host: number, store = true) =>
    residencyOf(pages, PAGE, { gpuBytes: gpu, hostBytes: host }, store);

  test('every page has one tier, within both budgets', () => {
    const natural = fc.integer({ min: 0, max: 40 * PAGE });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 2 * PAGE, max: 40 * PAGE }),
        natural,
        (n, gpu, host) => {
          const residency = of(n, gpu, host);
          const { pinned, slots, stored, transit } = residency;
          expect(pinned + residency.host + stored).toBe(n);
          expect((pinned + slots) * PAGE).toBeLessThanOrEqual(gpu);
          // A page each way is the least that moves.
          const least = stored > 0 ? 2 * PAGE : 0;
          expect((residency.host + (stored > 0 ? 2 * transit : 0)) * PAGE).toBeLessThanOrEqual(Math.max(least, host));
          const tiers = Array.from({ length: n }, (_, i) => tierOf(residency, i));
          expect(tiers).toEqual([
            ...Array(pinned).fill('gpu'),
            ...Array(stored).fill('stored'),
            ...Array(residency.host).fill('host'),
          ]);
        },
      ),
    );
  });

  test('what fits stays, without slots', () => {
    expect(of(5, 5 * PAGE, 0)).toEqual({ pinned: 5, slots: 0, host: 0, stored: 0, transit: 0 });
    expect(of(5, 5 * PAGE - 1, 2 * PAGE)).toMatchObject({ pinned: 2, slots: 2 });
  });

  test('less than two pages, and nowhere to go, are refused with what to do', () => {
    expect(() => of(5, 2 * PAGE - 1, 1e9)).toThrow(OptimizerBudgetError);
    expect(() => of(5, 2 * PAGE, 4 * PAGE, false)).toThrow(/no disk/);
    expect(of(5, 2 * PAGE, 5 * PAGE, false)).toMatchObject({ pinned: 0, host: 5 });
  });
});
