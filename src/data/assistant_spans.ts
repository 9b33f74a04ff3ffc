/**
 * Which stretches of a rendered conversation the assistant wrote. Most templates do not mark them, so they are derived from
 * the template's own behaviour and verified; a conversation whose spans cannot be made sure of is refused, never
 * trained as a whole.
 *
 * A span begins where the rendering of the messages before it, with the generation prompt, ends: that is what the model
 * will be given, and all that follows is its to write. It ends with the end-of-turn token.
 *
 * To verify, the place of every message is looked for in the rendering (conversation_layout.ts), and no span may hold another's.
 */
import { ChatTemplateError, type RenderChat } from './chat_template.ts';
import {
  findPrinted,
  layOut,
  type Placed,
  pieceAfter,
  readSkeleton,
  type Shape,
  type Skeleton,
  type Span,
  shapesOf,
} from './conversation_layout.ts';
import { isBlank } from './python_text.ts';
import type { Message } from './rows.ts';

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

/** How many characters after a content still belong to its turn, and the token that ends it ('' if none does). */
interface EndOfTurn {
  readonly length: number;
  readonly token: string;
}

export const THINKING_LEFT_OUT =
  'the chat template leaves the thinking of earlier turns out, as it does when the model is used; those turns are trained without it';

const ALTERED =
  "the chat template changes this conversation's messages (it may drop or move thinking, or rewrite their content), " +
  'so what it shows of the assistant is not what the row says';

/** A skeleton, and the ends of its turns by the index of the message, once they have been asked for. */
interface KnownSkeleton extends Skeleton {
  readonly ends: Map<number, EndOfTurn>;
}

interface Laid {
  readonly shapes: readonly Shape[];
  readonly skeleton: KnownSkeleton;
  /** Where all parts are, or undefined where the template prints this conversation differently from its skeleton. */
  readonly layout: readonly Placed[] | undefined;
}

/** Derives spans for one template; it keeps what it learns of each sequence of roles. */
export class SpanFinder {
  readonly #render: RenderChat;
  readonly #tokens: TurnTokens;
  readonly #skeletons = new Map<string, KnownSkeleton>();

  constructor(render: RenderChat, tokens: TurnTokens) {
    this.#render = render;
    this.#tokens = tokens;
  }

  /**
   * @throws SpanError with the reason why this conversation cannot be used for assistant-only loss
   * @throws ChatTemplateError when the template refuses the conversation
   */
  find(messages: readonly Message[]): ConversationSpans {
    this.checkThinking(messages);
    const text = this.#render(messages, false);
    const { shapes, skeleton, layout } = this.#layOut(text, messages);
    const spans: Span[] = [];
    const notes = new Set<string>();
    for (const [index, message] of messages.entries()) {
      if (message.role !== 'assistant') continue;
      const head = this.#head(messages, index, text);
      const after = pieceAfter(skeleton, index);
      if (after === undefined) throw new SpanError(`the chat template does not print message ${index + 1} just once`);
      const content =
        contentOf(index, layout) ??
        findContent(text, head.length, message.content, after) ??
        this.#promptedContent(messages, index, text, head, after);
      if (!content || content.end < head.length) throw new SpanError(ALTERED);
      const closing = skeleton.ends.get(index) ?? this.#endOfTurn(shapes, index, after);
      skeleton.ends.set(index, closing);
      this.#refuseEnds(message, index, closing.token);
      if (closing.length === 0) notes.add(NO_END_OF_TURN);
      const thinking = layout?.find((placed) => placed.index === index && placed.part === 'thinking');
      if (layout && !thinking && shapes[index]!.thinking !== 'none') notes.add(THINKING_LEFT_OUT);
      const start = this.#start(messages, index, text, head, (thinking ?? content).start);
      spans.push({ start, end: content.end + closing.length });
    }
    verifyApart(spans, messages, layout);
    return { text, spans, notes: [...notes] };
  }

  /**
   * @throws SpanError where a message has `reasoning_content` and the template would not print it even in the last turn: it would be
   *   left out in silence.
   */
  checkThinking(messages: readonly Message[]): void {
    for (const [index, { reasoning_content }] of messages.entries()) {
      if (reasoning_content === undefined) continue;
      const { order } = this.#skeleton(shapesOf(messages.slice(0, index + 1), false));
      if (order.some((placed) => placed.index === index && placed.part === 'thinking')) continue;
      throw new SpanError(
        `the chat template has no place for the reasoning_content of message ${index + 1}; write it at the beginning of the content, ` +
          'between <think> and </think>, or remove the field',
      );
    }
  }

  /** As the messages are; else with the thinking in their contents as a part of its own, where it may be left out. */
  #layOut(text: string, messages: readonly Message[]): Laid {
    const plain = shapesOf(messages, false);
    const attempts = [plain];
    const inline = shapesOf(messages, true);
    if (inline.some((shape) => shape.thinking === 'inline')) attempts.push(inline);
    for (const shapes of attempts) {
      const skeleton = this.#skeleton(shapes);
      const layout = layOut(text, messages, shapes, skeleton);
      if (layout) return { shapes, skeleton, layout };
    }
    return { shapes: plain, skeleton: this.#skeleton(plain), layout: undefined };
  }

  /** An end of turn within the words would teach the model to stop there. */
  #refuseEnds({ content, reasoning_content = '' }: Message, index: number, closing: string): void {
    const stop = [closing, this.#tokens.eosToken].find(
      (token) => token && (content.includes(token) || reasoning_content.includes(token)),
    );
    if (!stop) return;
    throw new SpanError(
      `the assistant's message ${index + 1} contains ${JSON.stringify(stop)}, which ends a turn; remove it from the text`,
    );
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
    if (isBlank(text.slice(head.length, contentStart))) return head.length;
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
      const found = findPrinted(text, start, messages[index]!.content, after);
      if (found && found.end >= head.length) return found;
    }
    return undefined;
  }

  /**
   * Where the turn of message `index` ends: at the first that is there of eos_token in what closes every turn; another
   * added token there (Phi-3 ends turns with <|end|> and the conversation with eos_token); eos_token; the closing text; an
   * added token right after the content, though the next turn's (GLM-4 stops at <|user|>); the closing whitespace.
   */
  #endOfTurn(shapes: readonly Shape[], index: number, after: string): EndOfTurn {
    const closing = this.#closing(shapes, index, after);
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

  #skeleton(shapes: readonly Shape[]): KnownSkeleton {
    const key = JSON.stringify(shapes.map(({ role, thinking }) => [role, thinking]));
    let skeleton = this.#skeletons.get(key);
    if (!skeleton) {
      skeleton = { ...readSkeleton(this.#render, shapes), ends: new Map() };
      if (this.#skeletons.size >= SKELETONS_KEPT) this.#skeletons.clear();
      this.#skeletons.set(key, skeleton);
    }
    return skeleton;
  }
}

/** Sequences of roles to remember: datasets have few, unless each conversation is of its own length. */
const SKELETONS_KEPT = 1000;

function contentOf(index: number, layout: readonly Placed[] | undefined): Span | undefined {
  return layout?.find((placed) => placed.index === index && placed.part === 'content');
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

/**
 * The content right after the head, at most with whitespace between, and what the template prints after it. For templates
 * whose skeleton depends on the contents (thinking, for one), where the text around this turn still agrees.
 */
function findContent(text: string, head: number, content: string, after: string): Span | undefined {
  for (let start = head; ; start++) {
    const found = findPrinted(text, start, content, after);
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
