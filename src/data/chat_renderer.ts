/**
 * Conversations through a model's chat template, wherever that happens. A template is a program that somebody else wrote: what prepares rows gives it to
 * a {@link ChatRenderer} made for it, which may live in a worker that can be thrown away (worker/contained_chat.ts).
 */
import { type ConversationSpans, SpanFinder } from './assistant_spans.ts';
import { compileChatTemplate } from './chat_template.ts';
import type { Message } from './rows.ts';
import type { SpecialTokens } from './tokenizer_files.ts';
import type { TurnTokens } from './turn_ends.ts';

/** All that a rendering depends on, beside the messages. */
export interface ChatSetup {
  /** Jinja source. */
  readonly template: string;
  readonly specialTokens: SpecialTokens;
  readonly turnTokens: TurnTokens;
  /** What `strftime_now` tells, one moment for all rows; milliseconds since 1970. */
  readonly now: number;
}

export interface RenderedChat extends ConversationSpans {
  /** The first messages with a generation prompt, where their number was given. */
  readonly prompt?: string;
}

export interface ChatRenderer {
  /** Rejects with ChatTemplateError when the template cannot be read. Once is enough; again costs nothing. */
  open(): Promise<void>;
  /**
   * The conversation as text and, if asked for, where the assistant wrote (no spans otherwise). Rejects with ChatTemplateError when the
   * template refuses it, with SpanError when the spans cannot be made sure of, or something of it would be left out in silence.
   */
  render(messages: readonly Message[], spans: boolean, promptMessages?: number): Promise<RenderedChat>;
  /** The conversation as text, up to where the assistant's answer begins. Rejects with ChatTemplateError. */
  prompt(messages: readonly Message[]): Promise<string>;
}

/** What of a tokenizer its chat template depends on. */
interface Templated {
  readonly specialTokens: SpecialTokens;
  readonly eosToken: string | undefined;
  readonly stopTokens: readonly string[];
  readonly addedTokens: readonly string[];
}

export function chatSetup(template: string, tokenizer: Templated): ChatSetup {
  const { specialTokens, eosToken, stopTokens, addedTokens } = tokenizer;
  return { template, specialTokens, turnTokens: { eosToken, stopTokens, addedTokens }, now: Date.now() };
}

export type OpenChat = (setup: ChatSetup) => ChatRenderer;

/** In this very thread, without a limit of time: inside a worker that has one, and for templates that are known. */
export function renderHere(setup: ChatSetup): ChatRenderer {
  let chat: ReturnType<typeof compileChat> | undefined;
  const opened = () => {
    chat ??= compileChat(setup);
    return chat;
  };
  return {
    async open() {
      opened();
    },
    render: async (...conversation) => opened().render(...conversation),
    prompt: async (messages) => opened().prompt(messages),
  };
}

/** A template made ready; what it is asked is thrown, not rejected. */
export interface CompiledChat {
  render(messages: readonly Message[], spans: boolean, promptMessages?: number): RenderedChat;
  prompt(messages: readonly Message[]): string;
}

/** @throws ChatTemplateError */
export function compileChat(setup: ChatSetup): CompiledChat {
  const render = compileChatTemplate(setup.template, setup.specialTokens, { now: new Date(setup.now) });
  const finder = new SpanFinder(render, setup.turnTokens);
  const whole = (messages: readonly Message[], spans: boolean): ConversationSpans => {
    if (spans) return finder.find(messages);
    finder.checkThinking(messages);
    return { text: render(messages, false), spans: [], notes: [] };
  };
  return {
    render(messages, spans, promptMessages) {
      const chat = whole(messages, spans);
      return promptMessages === undefined ? chat : { ...chat, prompt: render(messages.slice(0, promptMessages), true) };
    },
    prompt: (messages) => render(messages, true),
  };
}
