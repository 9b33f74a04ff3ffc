import { describe, expect, it } from 'vitest';
import { type AddedToken, AddedTokenSplitter } from './added_tokens.ts';

const token = (content: string, flags: Partial<AddedToken> = {}): AddedToken => ({
  id: content.length,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...flags,
});
/** The parts' text, added tokens in brackets. */
const split = (tokens: readonly AddedToken[], text: string) =>
  new AddedTokenSplitter(tokens)
    .split(text)
    .map((part) => (part.token ? `[${text.slice(part.begin, part.end)}]` : text.slice(part.begin, part.end)));

describe('AddedTokenSplitter', () => {
  it('takes the leftmost longest match', () => {
    const tokens = [token('<a>'), token('<a><b>'), token('b><')];
    expect(split(tokens, 'x<a><b><a>y')).toEqual(['x', '[<a><b>]', '[<a>]', 'y']);
    expect(split(tokens, 'plain')).toEqual(['plain']);
    expect(split(tokens, '')).toEqual([]);
  });

  it('keeps whitespace that a token takes along out of its range', () => {
    expect(split([token('<a>', { lstrip: true })], 'x \n<a> y')).toEqual(['x', '[<a>]', ' y']);
    expect(split([token('<a>', { rstrip: true })], 'x <a> \n y')).toEqual(['x ', '[<a>]', 'y']);
    expect(split([token('<a>')], 'x <a> y')).toEqual(['x ', '[<a>]', ' y']);
  });

  it('finds a single word only between others', () => {
    const tokens = [token('word', { single_word: true })];
    expect(split(tokens, 'a word, words swordfish')).toEqual(['a ', '[word]', ', words swordfish']);
    expect(split([token('word')], 'words')).toEqual(['[word]', 's']);
  });
});
