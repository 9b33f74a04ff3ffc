/**
 * Which stretches of a rendered conversation the assistant wrote. Most templates do not mark them, so they are derived from
 * the template's own behaviour and verified; a conversation whose spans cannot be made sure of is refused, never
 * trained as a whole.
 *
 * A span begins where the rendering of the messages before it, with the generation prompt, ends: that is what the model
 * will be given, and all that follows is its to write. It ends with the end-of-turn token.
 *
 * To verify, the conversation is rendered a second time with a nonce in the place of each content. What lies between the
 * nonces is the template's own text (the skeleton); the first rendering must be that text with the contents in
 * it, as they are or trimmed. So every content's place is known, whatever it contains: an end-of-turn token or a forged role
 * header in a user's message is found to be the user's.
 */
import { ChatTemplateError, type RenderChat } from './chat_template.ts';
import type { Message } from './rows.ts';

/** [start, end) in UTF-16 code units of the rendered text. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface ConversationSpans {
  /** The whole conversation, rendered. */
  readonly text: string;
  /** One for each assistant message, in order; they never overlap. */
  readonly spans: readonly Span[];
  /** What the user should know of the template. */
  readonly notes: readonly string[];
}

/** The spans cannot be made sure of; the message is a reason to show beside the row. */
export class SpanError extends Error {
  override name = 'SpanError';
}

export interface TurnTokens {
  /** The tokenizer's eos_token: most templates end a turn with it. */
  readonly eosToken: string | undefined;
  /** Contents of all added tokens: another one may end a turn. */
  readonly addedTokens: readonly string[];
}

export const NO_END_OF_TURN =
  'the chat template prints nothing after an assistant turn, so the model is not taught where to stop';

/** The template's own text around the contents of a sequence of roles. */
interface Skeleton {
  /** Indices of messages in the order in which their contents are printed. */
  readonly order: readonly number[];
  /** `pieces[k]` is printed before the content of `order[k]`, the last one after all contents. */
  readonly pieces: readonly string[];
  /** What ends the turn of a message, by its index, once it has been asked for. */
  readonly ends: Map<number, EndOfTurn>;
}

/** How many characters after a content still belong to its turn, and the token that ends it ('' if none does). */
interface EndOfTurn {
  readonly length: number;
  readonly token: string;
}

const ALTERED =
  "the chat template changes this conversation's messages (it may drop thinking from earlier turns, or rewrite their content), " +
  'so what it shows of the assistant is not what the row says';

/** Derives spans for one template; it keeps what it learns of each sequence of roles. */
export class SpanFinder {
  readonly #render: RenderChat;
  readonly #tokens: TurnTokens;
  readonly #skeletons = new Map<string, Skeleton>();

  constructor(render: RenderChat, tokens: TurnTokens) {
    this.#render = render;
    this.#tokens = tokens;
  }

  /**
   * @throws SpanError with the reason why this conversation cannot be used for assistant-only loss
   * @throws ChatTemplateError when the template refuses the conversation
   */
  find(messages: readonly Message[]): ConversationSpans {
    const text = this.#render(messages, false);
    const roles = messages.map((message) => message.role);
    const skeleton = this.#skeleton(roles);
    const layout = layOut(text, messages, skeleton);
    const spans: Span[] = [];
    const notes = new Set<string>();
    for (const [index, message] of messages.entries()) {
      if (message.role !== 'assistant') continue;
      const head = this.#head(messages, index, text);
      const after = pieceAfter(skeleton, index);
      if (after === undefined) throw new SpanError(`the chat template does not print message ${index + 1} just once`);
      const content =
        layout?.find((placed) => placed.index === index) ??
        findContent(text, head.length, message.content, after) ??
        this.#promptedContent(messages, index, text, head, after);
      if (!content || content.end < head.length) throw new SpanError(ALTERED);
      const closing = skeleton.ends.get(index) ?? this.#endOfTurn(roles, index, after);
      skeleton.ends.set(index, closing);
      const stop = [closing.token, this.#tokens.eosToken].find((token) => token && message.content.includes(token));
      if (stop) {
        throw new SpanError(
          `the assistant's message ${index + 1} contains ${JSON.stringify(stop)}, which ends a turn; remove it from the text`,
        );
      }
      if (closing.length === 0) notes.add(NO_END_OF_TURN);
      spans.push({ start: this.#start(messages, index, text, head, content.start), end: content.end + closing.length });
    }
    verifyApart(spans, messages, layout);
    return { text, spans, notes: [...notes] };
  }

  /** What the model is given before message `index`; a prefix of the whole conversation. */
  #head(messages: readonly Message[], index: number, text: string): string {
    const head = this.#render(messages.slice(0, index), true);
    if (text.startsWith(head)) return head;
    throw new SpanError(
      `what the chat template prints before the assistant's message ${index + 1} with a generation prompt is not how the conversation ` +
        'goes on without one; it changes earlier turns, or its prompt differs from a finished turn',
    );
  }

  #start(messages: readonly Message[], index: number, text: string, head: string, contentStart: number): number {
    // A prompt may give the beginning of the answer itself (DeepSeek-R1's <think>): the model writes the rest.
    if (contentStart < head.length) return head.length;
    if (text.slice(head.length, contentStart).trim() === '') return head.length;
    // The template prints something before the content that it did not prompt with. With a generation prompt that is the
    // model's to write (Qwen3's empty thinking); a template that knows no such prompt prints its role header here.
    const prompted = this.#render(messages.slice(0, index), false) !== head;
    return prompted ? head.length : contentStart;
  }

  /** A content that begins within the generation prompt, where {@link findContent} does not look. */
  #promptedContent(
    messages: readonly Message[],
    index: number,
    text: string,
    head: string,
    after: string,
  ): Span | undefined {
    const unprompted = commonPrefix(this.#render(messages.slice(0, index), false), head).length;
    for (let start = head.length - 1; start >= unprompted; start--) {
      const found = findVariant(text, start, messages[index]!.content, after);
      if (found && found.end >= head.length) return found;
    }
    return undefined;
  }

  /**
   * Where the turn of message `index` ends: at the first that is there of eos_token in what closes every turn; another
   * added token there (Phi-3 ends turns with <|end|> and the conversation with eos_token); eos_token; the closing text; an
   * added token right after the content, though the next turn's (GLM-4 stops at <|user|>); the closing whitespace.
   */
  #endOfTurn(roles: readonly string[], index: number, after: string): EndOfTurn {
    const closing = this.#closing(roles, index, after);
    const inClosing = this.#eos(closing) ?? this.#firstAddedToken(closing) ?? this.#eos(after);
    if (inClosing) return { length: inClosing.end, token: after.slice(inClosing.start, inClosing.end) };
    const text = wholeWords(closing, after);
    if (text.trim() !== '') return { length: text.trimEnd().length, token: text.trim() };
    const next = this.#firstAddedToken(after);
    if (next && after.slice(0, next.start).trim() === '') {
      return { length: next.end, token: after.slice(next.start, next.end) };
    }
    return { length: text.length, token: '' };
  }

  /** What the template prints after message `index` whether the conversation goes on or not: that closes the turn. */
  #closing(roles: readonly string[], index: number, after: string): string {
    const last = index === roles.length - 1;
    try {
      const other = last
        ? pieceAfter(this.#skeleton([...roles, 'user', 'assistant']), index)
        : pieceAfter(this.#skeleton(roles.slice(0, index + 1)), index);
      return other === undefined ? '' : commonPrefix(after, other);
    } catch (error) {
      // The template does not know such a conversation. Where this one stops, all that follows closes it.
      if (error instanceof ChatTemplateError) return last ? after : '';
      throw error;
    }
  }

  #eos(text: string): Span | undefined {
    const { eosToken } = this.#tokens;
    const start = eosToken ? text.indexOf(eosToken) : -1;
    return eosToken && start !== -1 ? { start, end: start + eosToken.length } : undefined;
  }

  #firstAddedToken(text: string): Span | undefined {
    let first: Span | undefined;
    for (const token of this.#tokens.addedTokens) {
      const start = token.trim() === '' ? -1 : text.indexOf(token);
      if (start === -1) continue;
      const end = start + token.length;
      if (!first || start < first.start || (start === first.start && end > first.end)) first = { start, end };
    }
    return first;
  }

  #skeleton(roles: readonly string[]): Skeleton {
    const key = JSON.stringify(roles);
    let skeleton = this.#skeletons.get(key);
    if (!skeleton) {
      skeleton = readSkeleton(
        this.#render(
          roles.map((role, index) => ({ role, content: nonce(index) })),
          false,
        ),
        roles.length,
      );
      if (this.#skeletons.size >= SKELETONS_KEPT) this.#skeletons.clear();
      this.#skeletons.set(key, skeleton);
    }
    return skeleton;
  }
}

/** Letters and digits only, so that no template trims or escapes it, and no nonce is part of another. */
function nonce(index: number): string {
  return `x7Qn${index}kWz`;
}

const NONCE = /x7Qn(\d+)kWz/g;

/** Sequences of roles to remember: datasets have few, unless each conversation is of its own length. */
const SKELETONS_KEPT = 1000;

function readSkeleton(rendered: string, messages: number): Skeleton {
  const order: number[] = [];
  const pieces: string[] = [];
  let from = 0;
  for (const match of rendered.matchAll(NONCE)) {
    if (Number(match[1]) >= messages) continue;
    order.push(Number(match[1]));
    pieces.push(rendered.slice(from, match.index));
    from = match.index + match[0].length;
  }
  return { order, pieces: [...pieces, rendered.slice(from)], ends: new Map() };
}

/** What the template prints after the content of message `index`, or undefined unless that content is printed once. */
function pieceAfter(skeleton: Skeleton, index: number): string | undefined {
  const at = skeleton.order.indexOf(index);
  return at === -1 || skeleton.order.includes(index, at + 1) ? undefined : skeleton.pieces[at + 1];
}

function commonPrefix(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}

/** A closing that ends within a word has taken the beginning of what follows it along. */
function wholeWords(closing: string, after: string): string {
  const cut = closing.length < after.length && /\S$/u.test(closing) && /^\S/u.test(after.slice(closing.length));
  return cut ? closing.replace(/\S+$/u, '') : closing;
}

/** A content as templates print it. */
function variants(content: string): string[] {
  return [...new Set([content, content.trim(), content.trimStart(), content.trimEnd()])];
}

/** The content of message `index`, where it was printed. */
interface Placed extends Span {
  readonly index: number;
}

/** Where the contents lie, in order, or undefined when the text is not the skeleton with the contents in it. */
function layOut(text: string, messages: readonly Message[], skeleton: Skeleton): Placed[] | undefined {
  const layout: Placed[] = [];
  let at = 0;
  for (const [k, index] of skeleton.order.entries()) {
    const piece = skeleton.pieces[k]!;
    if (!text.startsWith(piece, at)) return undefined;
    const start = at + piece.length;
    const last = k === skeleton.order.length - 1;
    const content = findVariant(text, start, messages[index]!.content, skeleton.pieces[k + 1]!, last);
    if (!content) return undefined;
    layout.push({ index, ...content });
    at = content.end;
  }
  return text.slice(at) === skeleton.pieces.at(-1) ? layout : undefined;
}

function findVariant(text: string, start: number, content: string, after: string, last = false): Span | undefined {
  for (const variant of variants(content)) {
    const end = start + variant.length;
    if (!text.startsWith(variant, start) || !text.startsWith(after, end)) continue;
    if (!last || end + after.length === text.length) return { start, end };
  }
  return undefined;
}

/**
 * The content right after the head, at most with whitespace between, and what the template prints after it. For templates
 * whose skeleton depends on the contents (thinking, for one), where the text around this turn still agrees.
 */
function findContent(text: string, head: number, content: string, after: string): Span | undefined {
  for (let start = head; ; start++) {
    const found = findVariant(text, start, content, after);
    if (found) return found;
    if (text.slice(start, start + 1).trim() !== '' || start >= text.length) return undefined;
  }
}

/** Spans follow each other and hold no other message's content. */
function verifyApart(
  spans: readonly Span[],
  messages: readonly Message[],
  layout: readonly Placed[] | undefined,
): void {
  for (const [k, span] of spans.entries()) {
    if (k > 0 && span.start < spans[k - 1]!.end)
      throw new SpanError('two assistant turns overlap in the rendered text');
    for (const placed of layout ?? []) {
      if (messages[placed.index]!.role === 'assistant' || placed.start === placed.end) continue;
      if (placed.start < span.end && placed.end > span.start) {
        throw new SpanError(`the text of message ${placed.index + 1} lies within an assistant turn`);
      }
    }
  }
}
