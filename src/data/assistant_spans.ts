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
import type { RenderChat } from './chat_template.ts';
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
import { commonPrefix, type EndOfTurn, TurnEnds, type TurnTokens } from './turn_ends.ts';

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
  readonly #ends: TurnEnds;
  readonly #skeletons = new Map<string, KnownSkeleton>();

  constructor(render: RenderChat, tokens: TurnTokens) {
    this.#render = render;
    this.#tokens = tokens;
    this.#ends = new TurnEnds(tokens, (shapes) => this.#skeleton(shapes));
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
      const closing = skeleton.ends.get(index) ?? this.#ends.find(shapes, index, after);
      skeleton.ends.set(index, closing);
      this.#refuseEnds(message, index, closing.token);
      if (closing.note !== undefined) notes.add(closing.note);
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
