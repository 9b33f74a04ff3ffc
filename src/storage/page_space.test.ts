import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type Extent, PageSpace, SECTOR_BYTES } from './page_space.ts';

const end = ({ at, byteLength }: Extent) => at + Math.ceil(byteLength / SECTOR_BYTES) * SECTOR_BYTES;

it('never gives the same place twice, and has no gaps left when all is given back', () => {
  const action = fc.oneof(
    fc.record({ take: fc.integer({ min: 1, max: 5 * SECTOR_BYTES }) }),
    fc.record({ give: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      let space = new PageSpace();
      const used: Extent[] = [];
      for (const one of actions) {
        if ('take' in one) {
          const extent = space.take(one.take);
          expect(extent.at % SECTOR_BYTES).toBe(0);
          for (const other of used) expect(end(extent) <= other.at || end(other) <= extent.at).toBe(true);
          used.push(extent);
        } else if (used.length > 0) {
          space.give(...(used.splice(one.give % used.length, 1) as [Extent]));
        }
        expect(space.end).toBe(Math.max(0, ...used.map(end)));
        // As it is made again from what a disk's records say.
        if (actions.length % 3 === 0) space = new PageSpace(used);
      }
      for (const extent of used) space.give(extent);
      expect(space.end).toBe(0);
      expect(space.take(10 * SECTOR_BYTES).at).toBe(0);
    }),
  );
});

it('fills the first gap that is large enough', () => {
  const space = new PageSpace();
  const [a, b, c] = [2, 1, 3].map((n) => space.take(n * SECTOR_BYTES));
  space.give(a);
  expect(space.take(3 * SECTOR_BYTES).at).toBe(end(c));
  expect(space.take(SECTOR_BYTES).at).toBe(0);
  expect(space.take(1).at).toBe(SECTOR_BYTES);
  space.give(b);
  expect(space.take(SECTOR_BYTES).at).toBe(b.at);
});
