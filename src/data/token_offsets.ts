/**
 * Where each token lies in the text it came from. The tokenizer library gives token strings only; they are turned back
 * into the bytes they stand for and laid along the text's own UTF-8 bytes, and every byte must agree.
 */

/** How a tokenizer writes text in its tokens: bytes in GPT-2's alphabet, or text with ▁ for a space. */
export type TokenStyle = 'byte-level' | 'metaspace';

const encoder = new TextEncoder();
const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/;

/**
 * GPT-2's `bytes_to_unicode`: printable Latin-1 characters stand for themselves, the other bytes for U+0100
 * onwards, in order.
 */
const CHARACTER_OF_BYTE: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    return String.fromCharCode(printable ? byte : next++);
  });
})();
const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(
  CHARACTER_OF_BYTE.map((character, byte) => [character, byte]),
);

/** A text as byte-level models see it: a character of GPT-2's alphabet for each of its UTF-8 bytes. */
export function byteLevelText(text: string): string {
  let written = '';
  for (const byte of encoder.encode(text)) written += CHARACTER_OF_BYTE[byte];
  return written;
}

/** The bytes that a token of the model's vocabulary stands for, or undefined when it is not written in that style. */
export function tokenBytes(token: string, style: TokenStyle): Uint8Array | undefined {
  if (style === 'metaspace') {
    const byte = BYTE_TOKEN.exec(token);
    return byte ? Uint8Array.of(Number.parseInt(byte[1]!, 16)) : encoder.encode(token);
  }
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF_CHARACTER.get(token[i]!);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/**
 * The ranges of `text`, in UTF-16 code units, that the tokens cover, or undefined unless their bytes are exactly the
 * text's. A token that covers part of a character has the range of the whole character.
 */
export function rangesAlong(text: string, tokens: readonly Uint8Array[]): [number, number][] | undefined {
  const bytes = encoder.encode(text);
  const total = tokens.reduce((sum, token) => sum + token.length, 0);
  if (total !== bytes.length) return undefined;
  const characters = bytes.length === text.length ? undefined : characterOfByte(text, bytes.length);
  const ranges: [number, number][] = [];
  let at = 0;
  for (const token of tokens) {
    for (let i = 0; i < token.length; i++) {
      if (token[i] !== bytes[at + i]) return undefined;
    }
    const last = at + token.length - 1;
    if (token.length === 0) ranges.push([characters?.starts[at] ?? at, characters?.starts[at] ?? at]);
    else if (characters) ranges.push([characters.starts[at]!, characters.ends[last]!]);
    else ranges.push([at, last + 1]);
    at += token.length;
  }
  return ranges;
}

/** For each byte of a text the code units of the character that it is part of. */
function characterOfByte(text: string, length: number): { starts: Uint32Array; ends: Uint32Array } {
  const starts = new Uint32Array(length);
  const ends = new Uint32Array(length);
  let byte = 0;
  let unit = 0;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    const next = unit + character.length;
    for (let i = 0; i < bytes; i++) {
      starts[byte] = unit;
      ends[byte] = next;
      byte++;
    }
    unit = next;
  }
  return { starts, ends };
}
