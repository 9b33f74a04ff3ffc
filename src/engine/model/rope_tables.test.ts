import { expect, test } from 'vitest';
import type { RopeSpec } from '../../formats/model_spec.ts';
import { effectiveLength, ropeAngles } from './rope_tables.ts';

const rope = (long: RopeSpec['long']): RopeSpec => ({ inverseFrequencies: [1, 0.1], attentionScaling: 1, long });

test('dynamic NTK remembers the longest batch until one below the limit, as transformers does', () => {
  const dynamic = rope({ kind: 'dynamic', beyond: 64, theta: 10_000, factor: 2 });
  let length = 0;
  const after = [30, 100, 80, 64, 120, 100, 63, 70, 64].map((next) => {
    length = effectiveLength(dynamic, length, next);
    return length;
  });
  expect(after).toEqual([30, 100, 100, 100, 120, 120, 63, 70, 70]);
});

test('others have no memory', () => {
  expect(effectiveLength(rope(null), 100, 80)).toBe(80);
  expect(effectiveLength(rope({ kind: 'fixed', beyond: 64, inverseFrequencies: [1, 1] }), 100, 80)).toBe(80);
});

test('angles are f32 products, their cosines and sines scaled', () => {
  const { cosines, sines } = ropeAngles([1, 0.1], 1.5, 12);
  expect(cosines).toHaveLength(24);
  const angle = Math.fround(11 * Math.fround(0.1));
  expect(cosines[23]).toBe(Math.fround(1.5 * Math.cos(angle)));
  expect(sines[23]).toBe(Math.fround(1.5 * Math.sin(angle)));
  expect([cosines[0], sines[0]]).toEqual([1.5, 0]);
});
