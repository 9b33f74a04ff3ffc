/** Where an assistant's turn ends in a rendered conversation: at the token that inference will look for, or what comes nearest to one. */
import { ChatTemplateError } from './chat_template.ts';
import { pieceAfter, type Shape, type Skeleton, type Span } from './conversation_layout.ts';
import { isBlank, strip } from './python_text.ts';

export interface TurnTokens {
  /** The tokenizer's eos_token: most templates end a turn with it. */
  readonly eosToken: string | undefined;
  /** At which generation stops by the model's own settings, where they say. */
  readonly stopTokens?: readonly string[];
  /** Contents of all added tokens: another one may end a turn. */
  readonly addedTokens: readonly string[];
}

export const NO_END_OF_TURN =
  'the chat template prints nothing after an assistant turn, so the model is not taught where to stop';

/** How many characters after a content still belong to its turn, and the token that ends it ('' if none does). */
export interface EndOfTurn {
  readonly length: number;
  readonly token: string;
  /** What the user should know of it. */
  readonly note: string | undefined;
}

/** Finds the ends of one template's turns. */
export class TurnEnds {
  readonly #tokens: TurnTokens;
  readonly #skeleton: (shapes: readonly Shape[]) => Skeleton;

  constructor(tokens: TurnTokens, skeleton: (shapes: readonly Shape[]) => Skeleton) {
    this.#tokens = tokens;
    this.#skeleton = skeleton;
  }

  /**
   * Where the turn of message `index` ends: at the first that is there of eos_token or another stop in what closes every turn; another
   * added token there (Phi-3 ends turns with <|end|> and the conversation with eos_token); eos_token; the closing text; an
   * added token right after the content, though the next turn's (GLM-4 stops at <|user|>); the closing whitespace.
   */
  find(shapes: readonly Shape[], index: number, after: string): EndOfTurn {
    const closing = this.#closing(shapes, index, after);
    const inClosing = this.#stop(closing) ?? this.#firstAddedToken(closing) ?? this.#stop(after);
    if (inClosing) return this.#at(after, inClosing.end, after.slice(inClosing.start, inClosing.end));
    const text = wholeWords(closing, after);
    if (!isBlank(text)) return this.#at(after, strip(text, 'right').length, strip(text));
    const next = this.#firstAddedToken(after);
    if (next && isBlank(after.slice(0, next.start))) {
      return this.#at(after, next.end, after.slice(next.start, next.end));
    }
    return this.#at(after, text.length, '');
  }

  /** A turn that ends after so many characters, with what is to say of it. */
  #at(after: string, length: number, token: string): EndOfTurn {
    if (length === 0) return { length, token, note: NO_END_OF_TURN };
    const { stopTokens = [] } = this.#tokens;
    const stops = stopTokens.length === 0 || stopTokens.some((stop) => after.slice(0, length).includes(stop));
    return { length, token, note: stops ? undefined : otherEnd(after.slice(0, length), stopTokens) };
  }

  /** What the template prints after message `index` whether the conversation goes on or not: that closes the turn. */
  #closing(shapes: readonly Shape[], index: number, after: string): string {
    const last = index === shapes.length - 1;
    try {
      const other = last
        ? pieceAfter(
            this.#skeleton([...shapes, { role: 'user', thinking: 'none' }, { role: 'assistant', thinking: 'none' }]),
            index,
          )
        : pieceAfter(this.#skeleton(shapes.slice(0, index + 1)), index);
      return other === undefined ? '' : commonPrefix(after, other);
    } catch (error) {
      // The template does not know such a conversation. Where this one stops, all that follows closes it.
      if (error instanceof ChatTemplateError) return last ? after : '';
      throw error;
    }
  }

  /** The first of eos_token and the tokens that generation stops at. */
  #stop(text: string): Span | undefined {
    return first(text, [this.#tokens.eosToken ?? '', ...(this.#tokens.stopTokens ?? [])]);
  }

  #firstAddedToken(text: string): Span | undefined {
    return first(text, this.#tokens.addedTokens);
  }
}

function otherEnd(closing: string, stopTokens: readonly string[]): string {
  return (
    `assistant turns end with ${JSON.stringify(closing)}, but by the model's settings generation stops at ${stopTokens.join(' or ')}: ` +
    'name the former as a stop where you run the tuned model'
  );
}

/** The token that comes first in a text, the longest of several there. */
function first(text: string, tokens: readonly string[]): Span | undefined {
  let found: Span | undefined;
  for (const token of tokens) {
    const start = isBlank(token) ? -1 : text.indexOf(token);
    if (start === -1) continue;
    const end = start + token.length;
    if (!found || start < found.start || (start === found.start && end > found.end)) found = { start, end };
  }
  return found;
}

export function commonPrefix(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}

/** A closing that ends within a word has taken the beginning of what follows it along. */
function wholeWords(closing: string, after: string): string {
  const cut = closing.length < after.length && /\S$/u.test(closing) && /^\S/u.test(after.slice(closing.length));
  return cut ? closing.replace(/\S+$/u, '') : closing;
}
