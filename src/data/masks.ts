/**
 * A row → token ids and labels, as the reference does it (REFERENCE.md §3, golden/make_cases.py `rows_to_examples`):
 * what is trained, what is masked, and which rows are refused because that cannot be told.
 */
import type { TrainingConfig } from '../formats/run_config.ts';
import { type Example, IGNORE_INDEX } from './batch.ts';
import type { OpenChat } from './chat_renderer.ts';
import type { Span } from './conversation_layout.ts';
import { type ConversationText, type Dropped, type ModelText, RowRenderer } from './model_text.ts';
import type { DataRow } from './rows.ts';
import { type Encoding, TokenizeError, type Tokenizer } from './tokenizer.ts';

export type MaskConfig = Pick<TrainingConfig, 'max_length' | 'assistant_only_loss'>;

export type Prepared =
  | {
      readonly kind: 'example';
      readonly example: Example;
      /** Tokens cut off at max_length. */
      readonly truncatedTokens: number;
      /** Things the user should know, the same text for the same thing in every row. */
      readonly notes: readonly string[];
    }
  | Dropped;

export const STRADDLING =
  "a token begins before an assistant's answer and ends in it (the tokenizer joins the two); it is masked";
export const NO_EOS = 'the tokenizer has no eos_token, so texts end without one';

/** What a row becomes before truncation. */
interface Labelled extends Example {
  readonly notes: readonly string[];
}

/** Prepares rows for one tokenizer and configuration. */
export class RowPreparer {
  readonly #tokenizer: Tokenizer;
  readonly #config: MaskConfig;
  readonly #renderer: RowRenderer;

  constructor(tokenizer: Tokenizer, config: MaskConfig, openChat: OpenChat) {
    this.#tokenizer = tokenizer;
    this.#config = config;
    this.#renderer = new RowRenderer(tokenizer, config.assistant_only_loss, openChat);
  }

  /** Rejects as {@link RowRenderer.render} does. */
  async prepare(row: DataRow): Promise<Prepared> {
    return maskText(this.#tokenizer, await this.#renderer.render(row), this.#config.max_length);
  }
}

/** Token ids and labels of a text, its first `length` tokens. */
export function maskText(tokenizer: Tokenizer, text: ModelText, length: number): Prepared {
  if (text.kind === 'dropped') return text;
  let whole: Labelled | Dropped;
  try {
    whole = new Masker(tokenizer).label(text);
  } catch (error) {
    if (!(error instanceof TokenizeError)) throw error;
    return { kind: 'dropped', code: 'not-tokenizable', reason: error.message };
  }
  if ('kind' in whole) return whole;
  const ids = whole.ids.slice(0, length);
  // Where all is trained, one array serves for both: half the memory of a large file.
  const example: Example = { ids, labels: whole.labels === whole.ids ? ids : whole.labels.slice(0, length) };
  if (!isTrained(example)) return nothingToTrain(text, whole, length);
  return { kind: 'example', example, truncatedTokens: whole.ids.length - example.ids.length, notes: whole.notes };
}

class Masker {
  readonly #tokenizer: Tokenizer;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  label(text: Exclude<ModelText, Dropped>): Labelled | Dropped {
    switch (text.kind) {
      case 'text': {
        const ids = this.#closed(this.#opened(this.#tokenizer.encode(text.text).ids));
        return { ids, labels: ids, notes: this.#eosNotes() };
      }
      case 'completion':
        return this.#completion(text.prompt, text.completion);
      case 'conversation':
        return this.#conversation(text);
      default:
        return text satisfies never;
    }
  }

  #completion(prompt: string, completion: string): Labelled | Dropped {
    const given = this.#opened(this.#tokenizer.encode(prompt).ids);
    const both = this.#opened(this.#tokenizer.encode(prompt + completion).ids);
    if (!isPrefix(given, both)) {
      return notAPrefix(
        'move whitespace from the end of the prompt to the beginning of the completion, or the other way round',
      );
    }
    const ids = this.#closed(both);
    return { ids, labels: afterPrompt(ids, given.length), notes: this.#eosNotes() };
  }

  #conversation({ text, spans, prompt, notes }: ConversationText): Labelled | Dropped {
    const encoding = this.#tokenizer.encode(text);
    const { ids } = encoding;
    const whole: Labelled = spans ? labelSpans(encoding, spans, notes) : { ids, labels: ids, notes };
    if (prompt === null) return whole;
    const given = this.#tokenizer.encode(prompt).ids;
    if (!isPrefix(given, ids)) {
      return notAPrefix(
        'the chat template writes the prompt differently when no completion follows; write the row as messages',
      );
    }
    return { ids, labels: afterPrompt(whole.labels, given.length), notes: whole.notes };
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

const isPrefix = (given: readonly number[], both: readonly number[]) => given.every((id, index) => id === both[index]);

const afterPrompt = (labels: readonly number[], prompt: number) =>
  labels.map((label, index) => (index < prompt ? IGNORE_INDEX : label));

function notAPrefix(advice: string): Dropped {
  return {
    kind: 'dropped',
    code: 'prompt-not-a-token-prefix',
    reason: `the tokens of the prompt are not the first tokens of prompt and completion together (a token spans both); ${advice}`,
  };
}

/** A token is trained when it lies wholly within a span. Spans are in order and apart. */
function labelSpans(encoding: Encoding, spans: readonly Span[], notes: readonly string[]): Labelled {
  const labels = new Array<number>(encoding.ids.length).fill(IGNORE_INDEX);
  let straddling = false;
  let k = 0;
  for (let index = 0; index < labels.length; index++) {
    const begin = encoding.begins[index];
    const end = encoding.ends[index];
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

function nothingToTrain({ kind }: ModelText, whole: Example, length: number): Dropped {
  if (isTrained(whole)) {
    return {
      kind: 'dropped',
      code: 'truncated-to-nothing',
      reason:
        `all that would be trained lies beyond max_length (the row has ${whole.ids.length} tokens, ${length} are kept); ` +
        'raise max_length, or shorten the row',
    };
  }
  const reason = kind === 'text' ? 'the text is empty' : 'no token of the row is trained';
  return { kind: 'dropped', code: 'nothing-to-train', reason };
}
