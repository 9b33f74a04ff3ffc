import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitExamples } from './split.ts';

const apart = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('splitExamples', () => {
  it('holds out the share that is asked for, by seed', () => {
    const { training, validation } = splitExamples(apart(1000), 0.1, 42);
    expect([training.length, validation.length]).toEqual([900, 100]);
    expect(splitExamples(apart(1000), 0.1, 42).validation).toEqual(validation);
    expect(splitExamples(apart(1000), 0.1, 43).validation).not.toEqual(validation);
    expect(splitExamples(apart(1000), 0, 42).validation).toHaveLength(0);
  });

  it('is disjoint and complete, keeps equals together and leaves something to train on', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 60 }),
        fc.double({ min: 0, max: 0.5, noNaN: true }),
        fc.nat(),
        (kinds, share, seed) => {
          const groups = kinds.map((kind) => kinds.indexOf(kind));
          const { training, validation } = splitExamples(groups, share, seed);
          expect([...training, ...validation].sort((a, b) => a - b)).toEqual(apart(kinds.length));
          expect(training.length).toBeGreaterThan(0);
          const held = new Set([...validation].map((i) => groups[i]));
          expect([...training].some((i) => held.has(groups[i]))).toBe(false);
        },
      ),
    );
  });
});
