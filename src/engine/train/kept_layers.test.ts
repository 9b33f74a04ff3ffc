import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { chooseKeptLayers, recomputedLayers } from './kept_layers.ts';

test('the most layers that fit, whatever a layer costs', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(1000), { minLength: 1, maxLength: 70 }),
      fc.nat(1000),
      fc.nat(40_000),
      (steps, least, budget) => {
        // The first layer that is kept may cost nothing.
        const totals = [least];
        for (const step of steps) totals.push(totals[totals.length - 1] + step);
        const bytes = vi.fn((kept: number) => totals[kept]);
        const kept = chooseKeptLayers(steps.length, budget, bytes);
        const best = Math.max(
          0,
          totals.findLastIndex((total) => total <= budget),
        );
        expect(kept).toBe(best);
        expect(bytes.mock.calls.length).toBeLessThanOrEqual(Math.ceil(Math.log2(steps.length)) + 1);
      },
    ),
  );
});

test('the last layers are kept', () => {
  expect(recomputedLayers(4, 0)).toEqual([true, true, true, true]);
  expect(recomputedLayers(4, 1)).toEqual([true, true, true, false]);
  expect(recomputedLayers(4, 4)).toEqual([false, false, false, false]);
});
