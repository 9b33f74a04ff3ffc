import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type FlatRun, layoutFlat, PAGE_BYTES } from './flat_state.ts';

const LIMIT = 4 * PAGE_BYTES;

test('a run lies without gaps at a multiple of 256 bytes, in one bank, over nothing else', () => {
  const run = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 200 })), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 12 }), (shapes) => {
      const runs: FlatRun[] = shapes.map((tensors, r) => tensors.map((shape, t) => ({ name: `${r}.${t}`, shape })));
      const { ranges, bankBytes } = layoutFlat(runs, LIMIT);
      const ends = bankBytes.map(() => 0);
      for (const tensors of runs) {
        const { bank, offset } = ranges.get(tensors[0].name)!;
        expect(offset % 256).toBe(0);
        expect(offset).toBeGreaterThanOrEqual(ends[bank]);
        let end = offset;
        for (const { name, shape } of tensors) {
          expect(ranges.get(name)).toMatchObject({ bank, offset: end });
          end += shape[0] * shape[1] * 4;
        }
        ends[bank] = end;
      }
      for (const [bank, bytes] of bankBytes.entries()) {
        expect(bytes % PAGE_BYTES).toBe(0);
        expect(bytes).toBeGreaterThanOrEqual(ends[bank]);
        expect(bytes).toBeLessThanOrEqual(LIMIT);
      }
    }),
  );
});

test('a run larger than a bank is refused with what to do', () => {
  expect(() => layoutFlat([[{ name: 'a', shape: [PAGE_BYTES, 2] }]], LIMIT)).toThrow(/smaller r/);
});
