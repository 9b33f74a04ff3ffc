import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { family } from './fixtures/families.ts';
import { type Decoder, TextStream } from './text_stream.ts';
import { Tokenizer } from './tokenizer.ts';

/** A token a byte. */
const bytes: Decoder = { decode: (ids) => new TextDecoder().decode(Uint8Array.from(ids)) };
const stream = (decoder: Decoder, ids: readonly number[]) => {
  const own = new TextStream(decoder);
  const pieces = ids.map((id) => own.push(id));
  return { pieces, end: own.finish() };
};

test('gives a character when its last byte has come', () => {
  const { pieces, end } = stream(bytes, [...new TextEncoder().encode('aé🦊b')]);
  expect(pieces).toEqual(['a', '', 'é', '', '', '', '🦊', 'b']);
  expect(end).toBe('');
});

test('bytes that never become one are shown at the end, once', () => {
  expect(stream(bytes, [0x61, 0xf0, 0x9f])).toEqual({ pieces: ['a', '', ''], end: '\ufffd' });
});

test('whatever comes, the pieces are the whole text, and none of a good text ends within a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const ids = [...new TextEncoder().encode(text)];
      const { pieces, end } = stream(bytes, ids);
      expect(pieces.join('') + end).toBe(text);
      for (const piece of pieces) expect(piece).not.toMatch(/\ufffd|\p{Surrogate}/u);
    }),
  );
});

describe('with the tokenizers of real models', () => {
  const texts = ['Der Fuchs sagt: “Süß!” 🦊🍇 – 你好，世界.', ' leading and  double  spaces\n\n\tindent', '👩‍👩‍👧 é'];
  test.each(['smollm2', 'llama2', 'llama3.2', 'gemma3', 'qwen3', 'mistral-nemo', 'phi3.5'])('%s', async (name) => {
    const tokenizer = await Tokenizer.load(family(name).folder);
    for (const text of texts) {
      const { ids } = tokenizer.encode(text);
      const { pieces, end } = stream(tokenizer, ids);
      expect(pieces.join('') + end).toBe(tokenizer.decode(ids));
      for (const piece of pieces) expect(piece).not.toContain('\ufffd');
    }
  });
});
