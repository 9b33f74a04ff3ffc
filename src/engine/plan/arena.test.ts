import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Layout, type Lifetime, placeTensors } from './arena.ts';
import { ALIGNMENT, type ArenaTensor, align } from './tensor.ts';

const LIMIT = 64 * ALIGNMENT;

interface Wish {
  readonly bytes: number;
  readonly first: number;
  readonly length: number;
  readonly category: 'activations' | 'logits';
}

const wishes = fc.array(
  fc.record<Wish>({
    bytes: fc.integer({ min: 1, max: 20 * ALIGNMENT }),
    first: fc.integer({ min: 0, max: 30 }),
    length: fc.integer({ min: 0, max: 10 }),
    category: fc.constantFrom('activations', 'logits'),
  }),
  { maxLength: 40 },
);

const lifetimesOf = (list: readonly Wish[]): Map<ArenaTensor, Lifetime> =>
  new Map(
    list.map(({ bytes, first, length, category }, i) => [
      { kind: 'arena', name: `t${i}`, bytes, category },
      { first, last: first + length },
    ]),
  );

/** Pairs of tensors that are alive at the same dispatch and share bytes. */
function collisions(lifetimes: ReadonlyMap<ArenaTensor, Lifetime>, { places }: Layout): string[] {
  const all = [...lifetimes].map(([tensor, life]) => ({ tensor, life, place: places.get(tensor)! }));
  return all.flatMap((a, i) =>
    all.slice(0, i).flatMap((b) => {
      const together = a.life.first <= b.life.last && b.life.first <= a.life.last;
      const touching =
        a.place.chunk === b.place.chunk &&
        a.place.offset < b.place.offset + b.tensor.bytes &&
        b.place.offset < a.place.offset + a.tensor.bytes;
      return together && touching ? [`${a.tensor.name} and ${b.tensor.name}`] : [];
    }),
  );
}

describe('placeTensors', () => {
  test('tensors alive together never share bytes', () => {
    fc.assert(
      fc.property(wishes, (list) => {
        const lifetimes = lifetimesOf(list);
        expect(collisions(lifetimes, placeTensors(lifetimes, LIMIT))).toEqual([]);
      }),
    );
  });

  test('every tensor has an aligned place inside its chunk, and no chunk of several passes the limit', () => {
    fc.assert(
      fc.property(wishes, (list) => {
        const lifetimes = lifetimesOf(list);
        const { places, chunks } = placeTensors(lifetimes, LIMIT);
        expect(places.size).toBe(lifetimes.size);
        for (const [tensor, { chunk, offset }] of places) {
          expect(offset % ALIGNMENT).toBe(0);
          expect(offset + tensor.bytes).toBeLessThanOrEqual(chunks.get(chunk)!);
          expect(chunk.split(' ')[0]).toBe(tensor.category);
        }
        for (const bytes of chunks.values()) expect(bytes).toBeLessThanOrEqual(LIMIT);
      }),
    );
  });

  test('tensors that follow one another share a place', () => {
    const lifetimes = lifetimesOf([
      { bytes: 1000, first: 0, length: 1, category: 'activations' },
      { bytes: 900, first: 2, length: 1, category: 'activations' },
      { bytes: 800, first: 4, length: 0, category: 'activations' },
    ]);
    const { chunks } = placeTensors(lifetimes, LIMIT);
    expect([...chunks]).toEqual([['activations 0', align(1000)]]);
  });

  test('one dispatch is enough to keep two tensors apart', () => {
    const lifetimes = lifetimesOf([
      { bytes: 256, first: 0, length: 2, category: 'activations' },
      { bytes: 256, first: 2, length: 0, category: 'activations' },
    ]);
    expect([...placeTensors(lifetimes, LIMIT).chunks]).toEqual([['activations 0', 512]]);
  });

  test('a second chunk opens where the first is full', () => {
    const whole = { bytes: LIMIT, first: 0, length: 5, category: 'activations' } as const;
    expect([...placeTensors(lifetimesOf([whole, whole]), LIMIT).chunks.keys()]).toEqual([
      'activations 0',
      'activations 1',
    ]);
  });

  test('control: the check sees a collision', () => {
    const lifetimes = lifetimesOf([
      { bytes: 256, first: 0, length: 1, category: 'logits' },
      { bytes: 256, first: 1, length: 1, category: 'logits' },
    ]);
    const places = new Map([...lifetimes.keys()].map((tensor) => [tensor, { chunk: 'logits 0', offset: 0 }]));
    expect(collisions(lifetimes, { places, chunks: new Map() })).toEqual(['t1 and t0']);
  });
});
