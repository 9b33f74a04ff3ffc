import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Grid, splitGrid, workgroupsOf } from './grid_parts.ts';

const grids = fc.tuple(
  fc.integer({ min: 1, max: 40 }),
  fc.integer({ min: 1, max: 40 }),
  fc.integer({ min: 1, max: 5 }),
);

test('every workgroup is in exactly one part', () => {
  fc.assert(
    fc.property(grids, fc.integer({ min: 1, max: 300 }), (size, parts) => {
      const seen = new Set<string>();
      let count = 0;
      for (const { first, size: part } of splitGrid(size, parts)) {
        for (let z = 0; z < part[2]; z++)
          for (let y = 0; y < part[1]; y++)
            for (let x = 0; x < part[0]; x++, count++) seen.add(`${first[0] + x} ${first[1] + y} ${first[2] + z}`);
      }
      expect([count, seen.size]).toEqual([workgroupsOf(size), workgroupsOf(size)]);
    }),
  );
});

test('as many parts as asked for, twice the mean at most', () => {
  fc.assert(
    fc.property(grids, fc.integer({ min: 1, max: 300 }), (size, parts) => {
      const boxes = splitGrid(size, parts);
      const total = workgroupsOf(size);
      expect(boxes.length).toBeGreaterThanOrEqual(Math.min(parts, total));
      const largest = Math.max(...boxes.map((box) => workgroupsOf(box.size)));
      expect(largest).toBeLessThanOrEqual(Math.max(1, (4 * total) / parts));
    }),
  );
});

test('along the longest axis first', () => {
  const sizes = (size: Grid, parts: number) => splitGrid(size, parts).map((part) => part.size);
  expect(sizes([3, 8, 1], 2)).toEqual([
    [3, 4, 1],
    [3, 4, 1],
  ]);
  expect(sizes([2, 1, 1], 5)).toEqual([
    [1, 1, 1],
    [1, 1, 1],
  ]);
  expect(splitGrid([7, 1, 1], 1)).toEqual([{ first: [0, 0, 0], size: [7, 1, 1] }]);
});
