/**
 * A row → token ids and labels, as the reference does it (REFERENCE.md §3, golden/make_cases.py `rows_to_examples`):
 * what is trained, what is masked, and which rows are refused because that cannot be told.
 */
import type { TrainingConfig } from '../formats/run_config.ts';
import { SpanError } from './assistant_spans.ts';
import { type Example, IGNORE_INDEX } from './batch.ts';
import { type ChatRenderer, chatSetup, type OpenChat } from './chat_renderer.ts';
import { ChatTemplateError } from './chat_template.ts';
import type { Span } from './conversation_layout.ts';
import type { DataRow } from './rows.ts';
import { type Encoding, TokenizeError, type Tokenizer } from './tokenizer.ts';
import { TokenizerError } from './tokenizer_pipeline.ts';

export type MaskConfig = Pick<TrainingConfig, 'max_length' | 'assistant_only_loss'>;

/** Why a row is left out. */
export type DropCode =
  | 'nothing-to-train'
  | 'truncated-to-nothing'
  | 'prompt-not-a-token-prefix'
  | 'template-refused'
  | 'spans-not-verified'
  | 'not-tokenizable';

export type Prepared =
  | {
      readonly kind: 'example';
      readonly example: Example;
      /** Tokens cut off at max_length. */
      readonly truncatedTokens: number;
      /** Things the user should know, the same text for the same thing in every row. */
      readonly notes: readonly string[];
    }
  | { readonly kind: 'dropped'; readonly code: DropCode; readonly reason: string };

export const STRADDLING =
  "a token begins before an assistant's answer and ends in it (the tokenizer joins the two); it is masked";
export const NO_EOS = 'the tokenizer has no eos_token, so texts end without one';

/** What a row becomes before truncation. */
interface Labelled extends Example {
  readonly notes: readonly string[];
}

class DropError extends Error {
  readonly code: DropCode;
  constructor(code: DropCode, reason: string) {
    super(reason);
    this.code = code;
  }
}

/** Prepares rows for one tokenizer and configuration. */
export class RowPreparer {
  readonly #tokenizer: Tokenizer;
  readonly #config: MaskConfig;
  readonly #openChat: OpenChat;
  #chat: ChatRenderer | undefined;

  /** `openChat` is asked when the first conversation needs the model's chat template. */
  constructor(tokenizer: Tokenizer, config: MaskConfig, openChat: OpenChat) {
    this.#tokenizer = tokenizer;
    this.#config = config;
    this.#openChat = openChat;
  }

  /**
   * Rejects with TokenizerError when a conversation needs a chat template and the model has none, with ChatTemplateError when the
   * model's template cannot be read; one that refuses the row only drops it.
   */
  async prepare(row: DataRow): Promise<Prepared> {
    if (row.kind === 'messages') await this.#conversations().open();
    let whole: Labelled;
    try {
      whole = await this.#label(row);
    } catch (error) {
      return { kind: 'dropped', ...dropped(error) };
    }
    const length = this.#config.max_length;
    const ids = whole.ids.slice(0, length);
    // Where all is trained, one array serves for both: half the memory of a large file.
    const example: Example = { ids, labels: whole.labels === whole.ids ? ids : whole.labels.slice(0, length) };
    if (!isTrained(example)) return { kind: 'dropped', ...nothingToTrain(row, whole, length) };
    return { kind: 'example', example, truncatedTokens: whole.ids.length - example.ids.length, notes: whole.notes };
  }

  #label(row: DataRow): Labelled | Promise<Labelled> {
    switch (row.kind) {
      case 'text':
        return this.#text(row.text);
      case 'prompt':
        return this.#completion(row.prompt, row.completion);
      case 'messages':
        return this.#conversation(row);
      default:
        return row satisfies never;
    }
  }

  #text(text: string): Labelled {
    const ids = this.#closed(this.#opened(this.#tokenizer.encode(text).ids));
    return { ids, labels: ids, notes: this.#eosNotes() };
  }

  #completion(prompt: string, completion: string): Labelled {
    const given = this.#opened(this.#tokenizer.encode(prompt).ids);
    const both = this.#opened(this.#tokenizer.encode(prompt + completion).ids);
    if (given.some((id, index) => id !== both[index])) {
      throw new DropError(
        'prompt-not-a-token-prefix',
        'the tokens of the prompt are not the first tokens of prompt and completion together (a token spans both); ' +
          'move whitespace from the end of the prompt to the beginning of the completion, or the other way round',
      );
    }
    const ids = this.#closed(both);
    const labels = ids.map((id, index) => (index < given.length ? IGNORE_INDEX : id));
    return { ids, labels, notes: this.#eosNotes() };
  }

  async #conversation({ messages }: DataRow & { readonly kind: 'messages' }): Promise<Labelled> {
    const chat = this.#conversations();
    if (!this.#config.assistant_only_loss) {
      const { ids } = this.#tokenizer.encode((await chat.render(messages, false)).text);
      return { ids, labels: ids, notes: [] };
    }
    if (!messages.some((message) => message.role === 'assistant')) {
      throw new DropError(
        'nothing-to-train',
        'the conversation has no assistant message, and only those are trained (assistant_only_loss)',
      );
    }
    const { text, spans, notes } = await chat.render(messages, true);
    return labelSpans(this.#tokenizer.encode(text), spans, notes);
  }

  #conversations(): ChatRenderer {
    if (this.#chat) return this.#chat;
    const { chatTemplate } = this.#tokenizer;
    if (chatTemplate === undefined) {
      throw new TokenizerError(
        'The rows are conversations, but the model has no chat template. Choose the instruct version of the model, or rows with ' +
          'text or prompt and completion.',
      );
    }
    this.#chat = this.#openChat(chatSetup(chatTemplate, this.#tokenizer));
    return this.#chat;
  }

  #opened(ids: readonly number[]): readonly number[] {
    return withBos(this.#tokenizer, ids);
  }

  /** EOS at the end, unless the text already ends with it. */
  #closed(ids: readonly number[]): readonly number[] {
    const { eosTokenId } = this.#tokenizer;
    return eosTokenId === undefined || ids.at(-1) === eosTokenId ? ids : [...ids, eosTokenId];
  }

  #eosNotes(): readonly string[] {
    return this.#tokenizer.eosTokenId === undefined ? [NO_EOS] : [];
  }
}

/** The tokenizer's BOS in front, where the tokenizer itself puts one and the text does not begin with it. */
export function withBos({ addsBos, bosTokenId }: Tokenizer, ids: readonly number[]): readonly number[] {
  return addsBos && bosTokenId !== undefined && ids[0] !== bosTokenId ? [bosTokenId, ...ids] : ids;
}

/** A token is trained when it lies wholly within a span. Spans are in order and apart. */
function labelSpans(encoding: Encoding, spans: readonly Span[], notes: readonly string[]): Labelled {
  const labels = new Array<number>(encoding.ids.length).fill(IGNORE_INDEX);
  let straddling = false;
  let k = 0;
  for (const [index, [begin, end]] of encoding.offsets.entries()) {
    while (k < spans.length && spans[k]!.end <= begin) k++;
    const span = spans[k];
    if (!span || end <= span.start) continue;
    if (begin >= span.start && end <= span.end) labels[index] = encoding.ids[index]!;
    else straddling = true;
  }
  return { ids: encoding.ids, labels, notes: straddling ? [...notes, STRADDLING] : notes };
}

/** Whether any label but the first, which nothing comes before, is trained. */
function isTrained(example: Example): boolean {
  return example.labels.some((label, index) => index > 0 && label !== IGNORE_INDEX);
}

function nothingToTrain(row: DataRow, whole: Example, length: number): { code: DropCode; reason: string } {
  if (isTrained(whole)) {
    return {
      code: 'truncated-to-nothing',
      reason:
        `all that would be trained lies beyond max_length (the row has ${whole.ids.length} tokens, ${length} are kept); ` +
        'raise max_length, or shorten the row',
    };
  }
  const what = row.kind === 'text' ? 'the text is empty' : 'no token of the row is trained';
  return { code: 'nothing-to-train', reason: what };
}

/** A reason to leave the row out; other errors are the caller's. */
function dropped(error: unknown): { code: DropCode; reason: string } {
  if (error instanceof DropError) return { code: error.code, reason: error.message };
  if (error instanceof SpanError) return { code: 'spans-not-verified', reason: error.message };
  if (error instanceof ChatTemplateError) return { code: 'template-refused', reason: error.message };
  if (error instanceof TokenizeError) return { code: 'not-tokenizable', reason: error.message };
  throw error;
}
