import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Example } from './batch.ts';
import { DuplicateFinder } from './duplicates.ts';
import { packTokens } from './row_encoder.ts';
import { TokenStore } from './token_store.ts';

const packed = (example: Example) => {
  const tokens = new Uint32Array(example.ids.length);
  packTokens(example, tokens);
  return tokens;
};

const examples = fc.array(
  fc.array(fc.tuple(fc.nat({ max: 3 }), fc.boolean()), { maxLength: 3 }).map(
    (tokens): Example => ({
      ids: tokens.map(([id]) => id),
      labels: tokens.map(([id, trained]) => (trained ? id : -100)),
    }),
  ),
  { maxLength: 200 },
);

it('finds the first equal example, tokens and labels', () => {
  fc.assert(
    fc.property(examples, (list) => {
      const finder = new DuplicateFinder();
      const found = list.map((example) => finder.add(packed(example)));
      const texts = list.map((example) => JSON.stringify(example));
      expect(found).toEqual(texts.map((text) => texts.indexOf(text)));
    }),
  );
});

it('finds them among many', () => {
  const finder = new DuplicateFinder();
  for (let i = 0; i < 20_000; i++) expect(finder.add(packed({ ids: [i, i >> 3], labels: [i, -100] }))).toBe(i);
  for (let i = 0; i < 20_000; i += 997) expect(finder.add(packed({ ids: [i, i >> 3], labels: [i, -100] }))).toBe(i);
});

it('gives back what was stored, and nothing beyond its budget', () => {
  fc.assert(
    fc.property(examples, fc.nat({ max: 100 }), (list, budget) => {
      const store = new TokenStore(budget);
      for (const example of list) store.add(packed(example));
      let room = budget;
      for (const [i, example] of list.entries()) {
        const fits = example.ids.length <= room;
        if (fits) room -= example.ids.length;
        expect(store.get(i)).toEqual(fits ? example : undefined);
      }
    }),
  );
});
