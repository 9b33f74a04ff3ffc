/** What a model is given to continue, and where it is to stop: as its rows were prepared for training. */
import { type ChatRenderer, chatSetup, type OpenChat } from './chat_renderer.ts';
import { withBos } from './masks.ts';
import type { Message } from './rows.ts';
import type { Tokenizer } from './tokenizer.ts';
import { TokenizerError } from './tokenizer_pipeline.ts';

export interface Prompt {
  readonly ids: readonly number[];
  /** What the ids are made of. */
  readonly text: string;
}

/** Where a continuation ends: at one of these tokens, or where its text has one of these. Neither belongs to it. */
export interface Stops {
  readonly ids: ReadonlySet<number>;
  readonly texts: readonly string[];
}

export class Prompts {
  readonly #tokenizer: Tokenizer;
  readonly #openChat: OpenChat;
  #chat: ChatRenderer | undefined;

  constructor(tokenizer: Tokenizer, openChat: OpenChat) {
    this.#tokenizer = tokenizer;
    this.#openChat = openChat;
  }

  get hasTemplate(): boolean {
    return this.#tokenizer.chatTemplate !== undefined;
  }

  /** Rejects with ChatTemplateError, TokenizerError and TokenizeError. */
  async chat(messages: readonly Message[]): Promise<Prompt> {
    const chat = await this.#opened();
    const text = await chat.prompt(messages);
    return { ids: this.#tokenizer.encode(text).ids, text };
  }

  /** @throws TokenizeError */
  plain(text: string): Prompt {
    return { ids: withBos(this.#tokenizer, this.#tokenizer.encode(text).ids), text };
  }

  /** For answers of a chat what ends an assistant's turn; always what ends a text. */
  async stops(chat: boolean): Promise<Stops> {
    const { eosTokenId, stopTokens } = this.#tokenizer;
    const ids = new Set(stopTokens.flatMap((token) => this.#tokenizer.tokenToId(token) ?? []));
    if (eosTokenId !== undefined) ids.add(eosTokenId);
    const end = chat ? await this.#endOfTurn() : '';
    if (end === '') return { ids, texts: [] };
    const [first] = this.#tokenizer.encode(end).ids;
    // The first of several: whatever comes behind it is not asked for any more.
    if (
      first !== undefined &&
      this.#tokenizer.addedTokens.some((token) => this.#tokenizer.tokenToId(token) === first)
    ) {
      return { ids: ids.add(first), texts: [] };
    }
    return { ids, texts: [end] };
  }

  /** What the template prints behind an answer, '' where nothing or nothing certain. */
  async #endOfTurn(): Promise<string> {
    const chat = await this.#opened();
    const answer = 'An answer.';
    const messages = [
      { role: 'user', content: 'A question.' },
      { role: 'assistant', content: answer },
    ];
    try {
      const { text, spans } = await chat.render(messages, true);
      const [span] = spans;
      if (!span) return '';
      const turn = text.slice(span.start, span.end);
      const at = turn.indexOf(answer);
      return at < 0 ? '' : turn.slice(at + answer.length);
    } catch {
      // Of a template that cannot be made sure of, the model's own settings have to do.
      return '';
    }
  }

  async #opened(): Promise<ChatRenderer> {
    const { chatTemplate } = this.#tokenizer;
    if (chatTemplate === undefined) {
      throw new TokenizerError('The model has no chat template. Write plain text for it to continue.');
    }
    this.#chat ??= this.#openChat(chatSetup(chatTemplate, this.#tokenizer));
    await this.#chat.open();
    return this.#chat;
  }
}
