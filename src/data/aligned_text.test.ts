import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type NormalizerConfig, normalizeAligned, originOf } from './aligned_text.ts';

/** Each code unit of the normalized text with the part of the text that it comes from. */
function aligned(config: NormalizerConfig, text: string): [string, string][] | undefined {
  const result = normalizeAligned(config, { text });
  return result && [...result.text].map((unit, at) => [unit, text.slice(...originOf(result, at, at + 1))]);
}
const replace = (from: string, content: string): NormalizerConfig => ({
  type: 'Replace',
  pattern: { String: from },
  content,
});

describe('normalizeAligned', () => {
  it('maps a composed character to all that it is made of', () => {
    expect(aligned({ type: 'NFC' }, 'ae\u0301b')).toEqual([
      ['a', 'a'],
      ['é', 'e\u0301'],
      ['b', 'b'],
    ]);
    expect(aligned({ type: 'NFC' }, '\u1112\u1161\u11ab')).toEqual([['한', '\u1112\u1161\u11ab']]);
  });

  it('maps a decomposed character’s parts to it, and what is put in front to the first character', () => {
    expect(aligned({ type: 'NFKD' }, 'ﬁ')).toEqual([
      ['f', 'ﬁ'],
      ['i', 'ﬁ'],
    ]);
    const llama = { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, replace(' ', '▁')] };
    expect(aligned(llama, 'a b')).toEqual([
      ['▁', 'a'],
      ['a', 'a'],
      ['▁', ' '],
      ['b', 'b'],
    ]);
    expect(aligned(llama, '')).toEqual([]);
  });

  it('maps a replacement to all of what it replaces', () => {
    expect(aligned(replace('``', '"'), 'a``b')).toEqual([
      ['a', 'a'],
      ['"', '``'],
      ['b', 'b'],
    ]);
    expect(aligned(replace('x', ''), 'axb')?.map(([unit]) => unit)).toEqual(['a', 'b']);
  });

  it('does not follow what it does not know', () => {
    expect(aligned({ type: 'Lowercase' }, 'A')).toBeUndefined();
    expect(aligned({ type: 'NFC' }, 'A')).toEqual([['A', 'A']]);
  });

  it('leaves no part of any text without a place, in order', () => {
    const forms = fc.constantFrom('NFC', 'NFD', 'NFKC', 'NFKD');
    const text = fc.array(
      fc.constantFrom('e', '\u0301', '\u0323', 'é', '한', '\u1112', '\u1161', '\u11ab', 'ﬁ', '😀', ' ', 'Å'),
    );
    fc.assert(
      fc.property(forms, text, (type, parts) => {
        const written = parts.join('');
        const result = normalizeAligned({ type }, { text: written })!;
        expect(result.text).toBe(written.normalize(type));
        let covered = 0;
        for (let at = 0; at < result.text.length; at++) {
          const [begin, end] = originOf(result, at, at + 1);
          expect(begin).toBeLessThanOrEqual(covered);
          covered = Math.max(covered, end);
        }
        expect(covered).toBe(written.length);
      }),
    );
  });
});
