/**
 * A row → the text that the model is shown, before it is cut into tokens. What is left to do needs the tokenizer alone, so it can be
 * done anywhere (masks.ts, row_encoder.ts).
 */
import { SpanError } from './assistant_spans.ts';
import { type ChatRenderer, chatSetup, type OpenChat } from './chat_renderer.ts';
import { ChatTemplateError } from './chat_template.ts';
import type { Span } from './conversation_layout.ts';
import type { DataRow } from './rows.ts';
import type { Tokenizer } from './tokenizer.ts';
import { TokenizerError } from './tokenizer_pipeline.ts';

/** Why a row is left out. */
export type DropCode =
  | 'nothing-to-train'
  | 'truncated-to-nothing'
  | 'prompt-not-a-token-prefix'
  | 'template-refused'
  | 'spans-not-verified'
  | 'not-tokenizable';

export interface Dropped {
  readonly kind: 'dropped';
  readonly code: DropCode;
  readonly reason: string;
}

export interface ConversationText {
  readonly kind: 'conversation';
  readonly text: string;
  /** What the assistant wrote, where only that is trained. */
  readonly spans: readonly Span[] | null;
  /** What stands before the completion, where only what follows it is trained. */
  readonly prompt: string | null;
  readonly notes: readonly string[];
}

export type ModelText =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'completion'; readonly prompt: string; readonly completion: string }
  | ConversationText
  | Dropped;

/** What of a tokenizer's files decides about texts. */
export type ChatTokens = Pick<Tokenizer, 'chatTemplate' | 'specialTokens' | 'eosToken' | 'stopTokens' | 'addedTokens'>;

export class RowRenderer {
  readonly #tokens: ChatTokens;
  readonly #assistantOnly: boolean;
  readonly #openChat: OpenChat;
  #chat: ChatRenderer | undefined;

  /** `openChat` is asked when the first conversation needs the model's chat template. */
  constructor(tokens: ChatTokens, assistantOnly: boolean, openChat: OpenChat) {
    this.#tokens = tokens;
    this.#assistantOnly = assistantOnly;
    this.#openChat = openChat;
  }

  /**
   * Rejects with TokenizerError when a conversation needs a chat template and the model has none, with ChatTemplateError when the
   * model's template cannot be read; one that refuses the row only drops it.
   */
  async render(row: DataRow): Promise<ModelText> {
    switch (row.kind) {
      case 'text':
        return { kind: 'text', text: row.text };
      case 'prompt':
        return { kind: 'completion', prompt: row.prompt, completion: row.completion };
      case 'messages':
        return this.#conversation(row);
      default:
        return row satisfies never;
    }
  }

  async #conversation({
    messages,
    promptMessages,
  }: DataRow & { readonly kind: 'messages' }): Promise<ConversationText | Dropped> {
    const chat = this.#conversations();
    await chat.open();
    const trained = messages.slice(promptMessages ?? 0);
    if (this.#assistantOnly && !trained.some((message) => message.role === 'assistant')) {
      const reason = 'the conversation has no assistant message, and only those are trained (assistant_only_loss)';
      return { kind: 'dropped', code: 'nothing-to-train', reason };
    }
    try {
      const { text, spans, prompt, notes } = await chat.render(messages, this.#assistantOnly, promptMessages);
      return { kind: 'conversation', text, spans: this.#assistantOnly ? spans : null, prompt: prompt ?? null, notes };
    } catch (error) {
      if (error instanceof SpanError) return { kind: 'dropped', code: 'spans-not-verified', reason: error.message };
      if (!(error instanceof ChatTemplateError)) throw error;
      return { kind: 'dropped', code: 'template-refused', reason: error.message };
    }
  }

  #conversations(): ChatRenderer {
    if (this.#chat) return this.#chat;
    const { chatTemplate } = this.#tokens;
    if (chatTemplate === undefined) {
      throw new TokenizerError(
        'The rows are conversations, but the model has no chat template. Choose the instruct version of the model, or rows with ' +
          'text or prompt and completion.',
      );
    }
    this.#chat = this.#openChat(chatSetup(chatTemplate, this.#tokens));
    return this.#chat;
  }
}
