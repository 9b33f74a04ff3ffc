import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseModelConfig } from '../../formats/model_config.ts';
import type { RopeSpec } from '../../formats/model_spec.ts';
import { inverseFrequenciesAt } from '../../formats/rope.ts';
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

interface RopeCase {
  readonly config: { readonly model_type: string };
  /** Of three batches, one after the other. */
  readonly lengths: readonly number[];
  readonly frequencies: readonly (readonly number[])[];
  readonly scaling: number;
}

test('80 random configs have transformers’ frequencies and scale, batch after batch (scripts/reference/rope_cases.py)', () => {
  const text = readFileSync(new URL('fixtures/rope_cases.jsonl', import.meta.url), 'utf8');
  const rows: RopeCase[] = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(rows).toHaveLength(80);
  let exact = 0;
  let count = 0;
  for (const { config, lengths, frequencies, scaling } of rows) {
    const spec = parseModelConfig(config);
    const found = spec.ropes[spec.layers[0].rope ?? 0];
    expect(Math.abs(found.attentionScaling / scaling - 1), JSON.stringify(config)).toBeLessThan(1e-12);
    let length = 0;
    lengths.forEach((next, batch) => {
      length = effectiveLength(found, length, next);
      const ours = inverseFrequenciesAt(found, length);
      expect(ours).toHaveLength(frequencies[batch].length);
      ours.forEach((value, i) => {
        const theirs = frequencies[batch][i];
        expect(Math.abs(value / theirs - 1), JSON.stringify(config)).toBeLessThan(1e-6);
        count++;
        if (value === theirs) exact++;
      });
    });
  }
  // The others are a unit in the last place of a power away.
  expect(exact / count).toBeGreaterThan(0.95);
});
