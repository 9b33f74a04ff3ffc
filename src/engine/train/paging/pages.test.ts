import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { momentPageBytes } from '../../kernels/adamw.ts';
import { hostPagesOf, momentPages, OptimizerBudgetError, pageElementsWithin, residencyOf, tierOf } from './pages.ts';

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
          const { pinned, slots, stored, leaving } = residency;
          expect(pinned + residency.host + stored).toBe(n);
          expect((pinned + slots) * PAGE).toBeLessThanOrEqual(gpu);
          // The least that moves: one that is read, one that waits, one that leaves, one that is written.
          const least = stored > 0 ? 4 * PAGE : 0;
          expect(hostPagesOf(residency) * PAGE).toBeLessThanOrEqual(Math.max(least, host));
          expect(leaving > 0).toBe(slots > 0);
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
    expect(of(5, 5 * PAGE, 0)).toMatchObject({ pinned: 5, slots: 0, host: 0, stored: 0, leaving: 0 });
    expect(of(5, 5 * PAGE - 1, 2 * PAGE)).toMatchObject({ pinned: 2, slots: 2 });
  });

  test('in host memory every page has a place to leave to where the budget has room for it, and two have at least', () => {
    const moving = { transit: 0, inFlight: 0, stored: 0 };
    expect(of(12, 4 * PAGE, Number.POSITIVE_INFINITY)).toMatchObject({ ...moving, host: 10, leaving: 10 });
    expect(of(12, 4 * PAGE, 15 * PAGE)).toMatchObject({ ...moving, host: 10, leaving: 5 });
    expect(of(12, 4 * PAGE, 12 * PAGE)).toMatchObject({ ...moving, host: 10, leaving: 2 });
    expect(of(12, 4 * PAGE, 11 * PAGE).stored).toBeGreaterThan(0);
  });

  test('less than two pages, and nowhere to go, are refused with what to do', () => {
    expect(() => of(5, 2 * PAGE - 1, 1e9)).toThrow(OptimizerBudgetError);
    expect(() => of(5, 2 * PAGE, 6 * PAGE, false)).toThrow(/no disk/);
    expect(of(5, 2 * PAGE, 7 * PAGE, false)).toMatchObject({ pinned: 0, host: 5 });
  });
});
