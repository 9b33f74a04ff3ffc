/**
 * Where a chat template puts each message. It is rendered a second time with a nonce in the place of each content: what lies between the
 * nonces is the template's own text (the skeleton), and the conversation must be that text with the contents in it, as they are or
 * without whitespace at their ends. So every content's place is known, whatever it contains: an end-of-turn token or a forged role header in a
 * user's message is found to be the user's.
 */
import type { RenderChat } from './chat_template.ts';
import { isBlank, strip } from './python_text.ts';
import type { Message } from './rows.ts';

/** [start, end) in UTF-16 code units of the rendered text. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** What of a message a template may print apart. */
export type Part = 'thinking' | 'content';

/**
 * A message as far as its text does not matter. Thinking stands in `reasoning_content` (`field`), or in the content before `</think>`
 * (`inline`), where some templates look for it.
 */
export interface Shape {
  readonly role: string;
  readonly thinking: 'none' | 'field' | 'inline';
}

/** The template's own text around the contents of a sequence of shapes. */
export interface Skeleton {
  /** Parts of messages, by index, in the order in which they are printed. */
  readonly order: readonly { readonly index: number; readonly part: Part }[];
  /** `pieces[k]` is printed before `order[k]`, the last one after all of them. */
  readonly pieces: readonly string[];
}

/** A part of message `index`, where it was printed. */
export interface Placed extends Span {
  readonly index: number;
  readonly part: Part;
}

export const shapesOf = (messages: readonly Message[], inline: boolean): Shape[] =>
  messages.map((message) => ({ role: message.role, thinking: thinkingOf(message, inline) }));

function thinkingOf(message: Message, inline: boolean): Shape['thinking'] {
  if (message.reasoning_content !== undefined) return 'field';
  return inline && splitThinking(message) ? 'inline' : 'none';
}

/** Thinking and answer of a content that has both, or undefined where they cannot be told apart for sure. */
export function splitThinking({ role, content }: Message): { thinking: string; answer: string } | undefined {
  if (role !== 'assistant') return undefined;
  const [before, answer, ...more] = content.split('</think>');
  if (answer === undefined || more.length > 0 || answer.includes('<think>')) return undefined;
  const [lead, thinking, ...nested] = before!.split('<think>');
  if (nested.length > 0) return undefined;
  if (thinking === undefined) return { thinking: lead!, answer };
  return isBlank(lead!) ? { thinking, answer } : undefined;
}

export function readSkeleton(render: RenderChat, shapes: readonly Shape[]): Skeleton {
  const rendered = render(shapes.map(nonceMessage), false);
  const order: { index: number; part: Part }[] = [];
  const pieces: string[] = [];
  let from = 0;
  for (const match of rendered.matchAll(NONCE)) {
    const index = Number(match[2]);
    if (index >= shapes.length) continue;
    order.push({ index, part: match[1] === 't' ? 'thinking' : 'content' });
    pieces.push(rendered.slice(from, match.index));
    from = match.index + match[0].length;
  }
  return { order, pieces: [...pieces, rendered.slice(from)] };
}

/** Letters and digits only, so that no template trims or escapes it, and no nonce is part of another. */
const nonce = (index: number, part: Part) => `x7Q${part === 'thinking' ? 't' : 'n'}${index}kWz`;
const NONCE = /x7Q([nt])(\d+)kWz/g;

function nonceMessage({ role, thinking }: Shape, index: number): Message {
  const content = nonce(index, 'content');
  const thought = nonce(index, 'thinking');
  if (thinking === 'none') return { role, content };
  if (thinking === 'field') return { role, content, reasoning_content: thought };
  return { role, content: `<think>\n${thought}\n</think>\n\n${content}` };
}

/** What the template prints after the content of message `index`, or undefined unless that content is printed once. */
export function pieceAfter({ order, pieces }: Skeleton, index: number): string | undefined {
  const places = [...order.keys()].filter((k) => order[k]!.index === index && order[k]!.part === 'content');
  return places.length === 1 ? pieces[places[0]! + 1] : undefined;
}

/** Where the parts lie, in order, or undefined when the text is not the skeleton with the messages in it. */
export function layOut(
  text: string,
  messages: readonly Message[],
  shapes: readonly Shape[],
  { order, pieces }: Skeleton,
): Placed[] | undefined {
  const layout: Placed[] = [];
  let at = 0;
  for (const [k, { index, part }] of order.entries()) {
    const piece = pieces[k]!;
    if (!text.startsWith(piece, at)) return undefined;
    const last = k === order.length - 1;
    const words = partOf(messages[index]!, shapes[index]!, part);
    const found = findPrinted(text, at + piece.length, words, pieces[k + 1]!, last);
    if (!found) return undefined;
    layout.push({ index, part, ...found });
    at = found.end;
  }
  return text.slice(at) === pieces.at(-1) ? layout : undefined;
}

function partOf(message: Message, shape: Shape, part: Part): string {
  if (shape.thinking !== 'inline') return part === 'content' ? message.content : (message.reasoning_content ?? '');
  const { thinking, answer } = splitThinking(message)!;
  return part === 'content' ? answer : thinking;
}

/** Where `words` stand at `start`, as they are or without whitespace at their ends, with `after` behind them. */
export function findPrinted(text: string, start: number, words: string, after: string, last = false): Span | undefined {
  for (const printed of stripped(words)) {
    const end = start + printed.length;
    if (!text.startsWith(printed, start) || !text.startsWith(after, end)) continue;
    if (!last || end + after.length === text.length) return { start, end };
  }
  return undefined;
}

/** More whitespace than this at an end is taken as a whole or not at all. */
const SPACES_TRIED = 16;

/** A text with less and less of the whitespace at its ends: templates strip all of it, or line ends only, or nothing. */
function* stripped(words: string): Generator<string> {
  const lead = words.length - strip(words, 'left').length;
  const core = strip(words).length;
  const trail = words.length - lead - core;
  for (let left = 0; left <= lead; left += lead > SPACES_TRIED ? lead : 1) {
    for (let right = 0; right <= trail; right += trail > SPACES_TRIED ? trail : 1) {
      yield words.slice(left, words.length - right);
    }
  }
  if (core > 0) return;
  for (let right = 1; right < lead; right++) yield words.slice(0, lead - right);
}
