import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { permutation, randomUint32 } from './random.ts';

describe('randomUint32', () => {
  it('stays the same: runs resume across versions', () => {
    expect([0, 1, 2].map((counter) => randomUint32(42, 0, counter))).toMatchInlineSnapshot(`
      [
        2263257812,
        364263630,
        183032588,
      ]
    `);
  });

  it('is uniform enough in each bit, over counters, streams and seeds', () => {
    const draws = 20_000;
    for (const draw of [
      (i: number) => randomUint32(42, 0, i),
      (i: number) => randomUint32(42, i, 0),
      (i: number) => randomUint32(i, 0, 0),
    ]) {
      const ones = new Array<number>(32).fill(0);
      for (let i = 0; i < draws; i++) for (let bit = 0; bit < 32; bit++) ones[bit]! += (draw(i) >>> bit) & 1;
      // Six standard deviations of a fair coin.
      for (const count of ones) expect(Math.abs(count - draws / 2)).toBeLessThan(6 * Math.sqrt(draws / 4));
    }
  });
});

describe('permutation', () => {
  it('holds each index once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200 }), fc.nat(), fc.nat(), (n, seed, stream) => {
        expect([...permutation(n, seed, stream)].sort((a, b) => a - b)).toEqual([...Array(n).keys()]);
      }),
    );
  });

  it('favours no order', () => {
    const counts = new Map<string, number>();
    for (let stream = 0; stream < 12_000; stream++) {
      const order = permutation(4, 7, stream).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    // Expected 500 each, standard deviation about 22.
    for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(130);
  });
});
