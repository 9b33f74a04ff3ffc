/** Tokens as text to look at: one piece a token, with what becomes of it. */
import { type Example, IGNORE_INDEX } from '../data/batch.ts';
import type { Tokenizer } from '../data/tokenizer.ts';
import type { RowPiece } from './studio_protocol.ts';

/** Tokens with a piece of their own; what follows is shown in stretches of the same fate. */
const TOKENS_APART = 2000;

export function rowPieces({ ids, labels }: Example, tokenizer: Tokenizer): RowPiece[] {
  const added = new Set(tokenizer.addedTokens.map((token) => tokenizer.tokenToId(token)));
  const pieces: RowPiece[] = [];
  for (let begin = 0; begin < ids.length; ) {
    const special = added.has(ids[begin]);
    const trained = labels[begin] !== IGNORE_INDEX;
    let end = begin + 1;
    while (!special && end < ids.length && !added.has(ids[end]) && (labels[end] !== IGNORE_INDEX) === trained) end++;
    const run = ids.slice(begin, end);
    const texts = begin < TOKENS_APART ? tokenTexts(run, tokenizer) : [tokenizer.decode(run)];
    for (const text of texts) pieces.push({ text, trained, special });
    begin = end;
  }
  return pieces;
}

/** The text of each token; tokens that only together make a character are together. */
function tokenTexts(run: readonly number[], tokenizer: Tokenizer): string[] {
  const whole = tokenizer.decode(run);
  const texts: string[] = [];
  let from = 0;
  for (let end = 1; end <= run.length; end++) {
    // What a token adds to the one before it: a tokenizer that marks spaces drops the first one of a text.
    const before = from > 0 ? tokenizer.decode(run.slice(from - 1, from)) : '';
    const text = tokenizer.decode(run.slice(Math.max(0, from - 1), end)).slice(before.length);
    if (text.includes('\ufffd') && end < run.length) continue;
    texts.push(text);
    from = end;
  }
  return texts.join('') === whole ? texts : [whole];
}
