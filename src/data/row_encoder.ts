/** Texts → tokens, some dozens at a time and compactly, so that a batch can cross from one thread to another. */
import { type Example, IGNORE_INDEX } from './batch.ts';
import { maskText } from './masks.ts';
import type { Dropped, ModelText } from './model_text.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Set in a token that is trained; ids are far below it. */
const TRAINED = 2 ** 31;

export type EncodedRow =
  | {
      readonly kind: 'example';
      /** Tokens of it, within {@link EncodedRows.tokens}. */
      readonly length: number;
      readonly truncatedTokens: number;
      readonly notes: readonly string[];
    }
  | Dropped;

export interface EncodedRows {
  /** The packed tokens of all examples, one after the other. */
  readonly tokens: Uint32Array<ArrayBuffer>;
  readonly rows: readonly EncodedRow[];
}

export interface RowEncoder {
  /** Batches that it can have under way at once. */
  readonly width: number;
  /** In the order of the texts, whatever else is under way. */
  encode(texts: readonly ModelText[], maxLength: number): Promise<EncodedRows>;
}

/** In this very thread. */
export function encodeHere(tokenizer: Tokenizer): RowEncoder {
  return { width: 1, encode: async (texts, maxLength) => encodeRows(tokenizer, texts, maxLength) };
}

export function encodeRows(tokenizer: Tokenizer, texts: readonly ModelText[], maxLength: number): EncodedRows {
  const examples: Example[] = [];
  const rows = texts.map((text): EncodedRow => {
    const prepared = maskText(tokenizer, text, maxLength);
    if (prepared.kind === 'dropped') return prepared;
    const { example, truncatedTokens, notes } = prepared;
    examples.push(example);
    return { kind: 'example', length: example.ids.length, truncatedTokens, notes };
  });
  const tokens = new Uint32Array(examples.reduce((sum, { ids }) => sum + ids.length, 0));
  let at = 0;
  for (const example of examples) at += packTokens(example, tokens, at);
  return { tokens, rows };
}

/** Ids with their labels in the highest bit, into `tokens` from `begin` on; how many there were. */
export function packTokens({ ids, labels }: Example, tokens: Uint32Array, begin = 0): number {
  for (let i = 0; i < ids.length; i++) tokens[begin + i] = labels[i] === IGNORE_INDEX ? ids[i] : ids[i] + TRAINED;
  return ids.length;
}

export const isTrainedToken = (token: number): boolean => token >= TRAINED;
export const idOfToken = (token: number): number => token % TRAINED;

export function unpackTokens(tokens: Uint32Array): Example {
  const packed = [...tokens];
  return {
    ids: packed.map(idOfToken),
    labels: packed.map((token) => (isTrainedToken(token) ? idOfToken(token) : IGNORE_INDEX)),
  };
}
