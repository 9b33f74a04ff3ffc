import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NonFiniteLogitsError } from './generator.ts';
import { sampleToken } from './sampling.ts';

const LOGITS = Float32Array.from([1, 3, -2, 3.5, 0, 2.9]);
const ALL = { temperature: 1, top_k: 0, top_p: 1 };

/** Which tokens are drawn, and how often of 10,000 even draws. */
function shares(logits: Float32Array, options: Parameters<typeof sampleToken>[1]): Map<number, number> {
  const counts = new Map<number, number>();
  for (let i = 0; i < 10_000; i++) {
    const id = sampleToken(logits, options, (i + 0.5) / 10_000);
    counts.set(id, (counts.get(id) ?? 0) + 1e-4);
  }
  return counts;
}

const softmax = (logits: ArrayLike<number>, temperature: number) => {
  const weights = Array.from(logits, (x) => Math.exp(x / temperature));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((w) => w / total);
};

test('at temperature 0 and with top_k 1 the likeliest, the first of equals', () => {
  expect(sampleToken(LOGITS, { ...ALL, temperature: 0 }, 0.99)).toBe(3);
  expect(sampleToken(LOGITS, { ...ALL, top_k: 1 }, 0.99)).toBe(3);
  expect(sampleToken(Float32Array.from([1, 2, 2]), { ...ALL, temperature: 0 }, 0)).toBe(1);
});

test.each([0.5, 1, 3])('temperature %s gives the softmax', (temperature) => {
  const expected = softmax(LOGITS, temperature);
  const drawn = shares(LOGITS, { ...ALL, temperature });
  for (const [id, share] of expected.entries()) expect(drawn.get(id) ?? 0).toBeCloseTo(share, 3);
});

test('top_k keeps the so many likeliest, in proportion', () => {
  const drawn = shares(LOGITS, { ...ALL, top_k: 2 });
  const [a, b] = [Math.exp(3.5), Math.exp(3)];
  expect([...drawn.keys()].sort()).toEqual([1, 3]);
  expect(drawn.get(3)).toBeCloseTo(a / (a + b), 3);
});

test('top_p keeps the fewest that reach it', () => {
  const p = softmax(LOGITS, 1);
  const order = [3, 1, 5, 0, 4, 2];
  for (let count = 1; count <= order.length; count++) {
    const reached = order.slice(0, count).reduce((sum, id) => sum + p[id], 0);
    const kept = shares(LOGITS, { ...ALL, top_p: reached - 1e-6 });
    expect([...kept.keys()].sort()).toEqual(
      order
        .slice(0, count)
        .filter((id) => p[id] > 1e-4)
        .sort(),
    );
  }
});

test('after top_k, top_p is of what top_k kept', () => {
  const equal = new Float32Array(100);
  const kept = shares(equal, { temperature: 1, top_k: 10, top_p: 0.45 });
  expect([...kept.keys()].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
});

test('the same draw gives the same token, which is one of those allowed', () => {
  // Far enough apart that their weights differ too.
  const logits = fc
    .array(fc.integer({ min: -400, max: 400 }), { minLength: 1, maxLength: 200 })
    .map((values) => Float32Array.from(values, (x) => x / 8));
  fc.assert(
    fc.property(
      logits,
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.nat(20),
      fc.double({ min: Math.fround(0.01), max: 1, noNaN: true }),
      (values, uniform, top_k, top_p) => {
        const options = { temperature: 0.8, top_k, top_p };
        const id = sampleToken(values, options, uniform);
        expect(sampleToken(values, options, uniform)).toBe(id);
        const better = values.filter((x) => x > values[id]).length;
        if (top_k > 0) expect(better).toBeLessThan(top_k);
        expect(Number.isInteger(id) && id < values.length).toBe(true);
      },
    ),
  );
});

describe('numbers that are none', () => {
  test.each([
    ['NaN', [1, Number.NaN]],
    ['infinity', [1, Number.POSITIVE_INFINITY]],
    ['only minus infinity', [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]],
  ])('%s', (_, values) => {
    expect(() => sampleToken(Float32Array.from(values), ALL, 0.5)).toThrow(NonFiniteLogitsError);
  });
  test('control: some minus infinity is no fault', () => {
    expect(sampleToken(Float32Array.from([Number.NEGATIVE_INFINITY, 1]), ALL, 0.5)).toBe(1);
  });
});
