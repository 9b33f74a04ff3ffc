/**
 * Splitting a text at a tokenizer's added tokens (`<|im_end|>`, `</s>` …), by the rules of Hugging Face tokenizers'
 * `AddedVocabulary`: leftmost longest match, then the token's flags.
 */

/** An entry of `added_tokens` in tokenizer.json. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Matches only between characters that are not of a word. */
  readonly single_word: boolean;
  /** Takes the whitespace before it along. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Is looked for after normalization, not in the text as written. */
  readonly normalized: boolean;
  readonly special: boolean;
}

/**
 * A stretch of the text: an added token with its own characters' range, or plain text. Whitespace that a token's lstrip
 * or rstrip takes along is in no stretch.
 */
export interface TextPart {
  readonly begin: number;
  readonly end: number;
  readonly token?: AddedToken;
}

const SPACE = /^\p{White_Space}$/u;
const WORD_BEFORE = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const WORD_AFTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

export class AddedTokenSplitter {
  /** Tokens by their first code unit, longest first. */
  readonly #byFirst = new Map<string, AddedToken[]>();
  /** Finds the next code unit that one of them begins with; null where there are no tokens. */
  readonly #first: RegExp | null;

  /** @param contentOf the text a token is looked for by: its content, or that content normalized. */
  constructor(tokens: Iterable<AddedToken>, contentOf = (token: AddedToken) => token.content) {
    for (const token of tokens) {
      const content = contentOf(token);
      if (content === '') continue;
      const group = this.#byFirst.get(content[0]!) ?? [];
      group.push(content === token.content ? token : { ...token, content });
      this.#byFirst.set(content[0]!, group);
    }
    for (const group of this.#byFirst.values()) group.sort((a, b) => b.content.length - a.content.length);
    const units = [...this.#byFirst.keys()].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
    this.#first = units.length === 0 ? null : new RegExp(`[${units.join('')}]`, 'g');
  }

  /** The parts of `text` in order; parts without characters are left out. */
  split(text: string): TextPart[] {
    const parts: TextPart[] = [];
    let from = 0;
    for (let at = this.#next(text, 0); at < text.length; at = this.#next(text, at)) {
      const token = this.#byFirst.get(text[at]!)?.find((candidate) => text.startsWith(candidate.content, at));
      if (!token) {
        at++;
        continue;
      }
      const begin = at;
      const end = at + token.content.length;
      at = end;
      if (token.single_word && isWithinWord(text, begin, end)) continue;
      let left = begin;
      if (token.lstrip) while (left > from && SPACE.test(text[left - 1]!)) left--;
      if (left > from) parts.push({ begin: from, end: left });
      parts.push({ begin, end, token });
      from = end;
      if (token.rstrip) while (from < text.length && SPACE.test(text[from]!)) from++;
      at = Math.max(at, from);
    }
    if (from < text.length) parts.push({ begin: from, end: text.length });
    return parts;
  }

  /** Where a token could begin, from `at` on. */
  #next(text: string, at: number): number {
    if (!this.#first) return text.length;
    this.#first.lastIndex = at;
    return this.#first.exec(text)?.index ?? text.length;
  }
}

function isWithinWord(text: string, begin: number, end: number): boolean {
  // Two code units hold any character.
  return WORD_BEFORE.test(text.slice(Math.max(0, begin - 2), begin)) || WORD_AFTER.test(text.slice(end, end + 2));
}
