import { describe, expect, it } from 'vitest';
import { rangesAlong, tokenBytes } from './token_offsets.ts';

const bytes = (...tokens: string[]) => tokens.map((token) => new TextEncoder().encode(token));

describe('tokenBytes', () => {
  it('reads GPT-2’s alphabet', () => {
    expect(tokenBytes('ĠaĊ', 'byte-level')).toEqual(Uint8Array.of(0x20, 0x61, 0x0a));
    expect(tokenBytes('ÃŁ', 'byte-level')).toEqual(new TextEncoder().encode('ß'));
    expect(tokenBytes('日', 'byte-level')).toBeUndefined();
  });

  it('reads text and byte tokens', () => {
    expect(tokenBytes('▁a', 'metaspace')).toEqual(new TextEncoder().encode('▁a'));
    expect(tokenBytes('<0x0A>', 'metaspace')).toEqual(Uint8Array.of(10));
  });
});

describe('rangesAlong', () => {
  it('gives a token that is part of a character the whole character', () => {
    const [first, second, third, fourth] = new TextEncoder().encode('😀');
    const parts = [Uint8Array.of(0x61, first!), Uint8Array.of(second!, third!), Uint8Array.of(fourth!)];
    expect(rangesAlong('a😀', parts)).toEqual([
      [0, 3],
      [1, 3],
      [1, 3],
    ]);
  });

  it('accepts only tokens that spell the text', () => {
    expect(rangesAlong('abc', bytes('ab', 'c'))).toEqual([
      [0, 2],
      [2, 3],
    ]);
    expect(rangesAlong('abc', bytes('ab', 'd'))).toBeUndefined();
    expect(rangesAlong('abc', bytes('ab'))).toBeUndefined();
    expect(rangesAlong('', [])).toEqual([]);
  });
});
