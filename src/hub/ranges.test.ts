import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RangeSet } from './ranges.ts';

const range = fc.tuple(fc.nat(60), fc.nat(20)).map(([begin, length]) => [begin, begin + length] as const);

it('is what a set of numbers would be', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), range, ([...added], [from, to]) => {
      const [ranges, numbers] = [new RangeSet(), new Set<number>()];
      for (const [begin, end] of added) {
        const before = numbers.size;
        for (let n = begin; n < end; n++) numbers.add(n);
        expect(ranges.add(begin, end)).toBe(numbers.size - before);
      }
      expect(ranges.total).toBe(numbers.size);
      const asked = Array.from({ length: to - from }, (_, i) => from + i);
      expect(ranges.covers(from, to)).toBe(asked.every((n) => numbers.has(n)));
      expect(ranges.next(from)).toBe(Math.min(...[...numbers].filter((n) => n >= from)));
      // Sorted, and no two of them touch.
      ranges.ranges.forEach(([begin], i) => {
        expect(begin).toBeGreaterThan(ranges.ranges[i - 1]?.[1] ?? -1);
      });
    }),
  );
});
