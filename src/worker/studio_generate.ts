/** The studio's model and adapter, ready to continue texts. */
import type { OpenChat } from '../data/chat_renderer.ts';
import { type Prompt, Prompts } from '../data/prompts.ts';
import type { Gpu } from '../engine/device/gpu.ts';
import { Generator } from '../engine/generate/generator.ts';
import { LoadedAdapter } from '../engine/generate/loaded_adapter.ts';
import { Scorer } from '../engine/generate/scorer.ts';
import type { BoundAdapter } from '../engine/model/decoder.ts';
import type { TensorValues } from '../engine/train/flat_state.ts';
import { adaptedLinears, type LoraSettings } from '../formats/lora.ts';
import { continueTexts } from './generate_text.ts';
import { rowPieces } from './row_pieces.ts';
import type { LoadedModel } from './studio_model.ts';
import type { StudioCommand, StudioEvent, TryInput } from './studio_protocol.ts';

/** An adapter that is not on the GPU. */
export interface TunedAdapter {
  readonly lora: LoraSettings & { readonly use_dora: boolean };
  readonly tensors: ReadonlyMap<string, TensorValues>;
}

/** What texts are continued with: what a run trains just now, an adapter, or the model alone. */
export type AdapterSource = { readonly live: BoundAdapter } | { readonly tuned: TunedAdapter } | null;

/** Room that a generator has at least, so that a conversation can go on without another one. */
const LEAST_CONTEXT = 256;

/** Positions a sequence for so many tokens. */
export const contextFor = (tokens: number): number => Math.max(LEAST_CONTEXT, 2 ** Math.ceil(Math.log2(tokens)));

interface Held {
  readonly source: object | null;
  readonly adapter: LoadedAdapter | null;
  readonly bound: BoundAdapter;
  generator: Generator | null;
  scorer: Scorer | null;
}

/** What texts are made of. */
type TextParts = Pick<LoadedModel, 'spec' | 'tokenizer' | 'weights'>;

/** Keeps what was made last, as long as it fits what is asked for next. */
export class TextModel {
  readonly #gpu: Gpu;
  readonly #model: TextParts;
  readonly prompts: Prompts;
  #held: Held | null = null;

  constructor(gpu: Gpu, model: TextParts, openChat: OpenChat) {
    this.#gpu = gpu;
    this.#model = model;
    this.prompts = new Prompts(model.tokenizer, openChat);
  }

  get gpu(): Gpu {
    return this.#gpu;
  }

  get model(): TextParts {
    return this.#model;
  }

  async generator(source: AdapterSource, sequences: number, tokens: number): Promise<Generator> {
    const held = await this.#hold(source);
    const { generator } = held;
    if (generator && generator.sequences >= sequences && generator.context >= tokens) return generator;
    generator?.dispose();
    held.generator = null;
    const model = this.#model.weights;
    const sizes = { sequences, context: contextFor(tokens) };
    held.generator = await Generator.create(this.#gpu, { model, adapter: held.bound, ...sizes });
    return held.generator;
  }

  async scorer(source: AdapterSource, tokens: number): Promise<Scorer> {
    const held = await this.#hold(source);
    if (held.scorer && held.scorer.capacity >= tokens) return held.scorer;
    held.scorer?.dispose();
    held.scorer = null;
    const model = this.#model.weights;
    held.scorer = await Scorer.create(this.#gpu, { model, adapter: held.bound, capacity: tokens });
    return held.scorer;
  }

  dispose(): void {
    this.#held?.generator?.dispose();
    this.#held?.scorer?.dispose();
    this.#held?.adapter?.dispose();
    this.#held = null;
  }

  async #hold(source: AdapterSource): Promise<Held> {
    const identity = source === null ? null : 'live' in source ? source.live.state : source.tuned;
    if (this.#held?.source === identity) return this.#held;
    this.dispose();
    if (source !== null && 'live' in source) {
      this.#held = { source: identity, adapter: null, bound: source.live, generator: null, scorer: null };
      return this.#held;
    }
    const adapter = source ? await this.#load(source.tuned) : LoadedAdapter.none(this.#gpu);
    this.#held = { source: identity, adapter, bound: adapter, generator: null, scorer: null };
    return this.#held;
  }

  #load({ lora, tensors }: TunedAdapter): Promise<LoadedAdapter> {
    const { spec, weights } = this.#model;
    const options = { adapters: adaptedLinears(spec, lora), dora: lora.use_dora, dropout: 0 };
    return LoadedAdapter.create(this.#gpu, weights, options, tensors);
  }
}

export function promptOf(prompts: Prompts, input: TryInput): Prompt | Promise<Prompt> {
  return input.kind === 'chat' ? prompts.chat(input.messages) : prompts.plain(input.text);
}

export class EmptyPromptError extends Error {
  override name = 'EmptyPromptError';
}

/** Emits `prompts`, `text` … and `generated`. */
export async function generateInStudio(
  text: TextModel,
  source: AdapterSource,
  { runId, rows, sampling }: Extract<StudioCommand, { type: 'generate' }>,
  emit: (event: StudioEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  const { tokenizer, spec } = text.model;
  const prompts = await Promise.all(rows.map(({ input }) => promptOf(text.prompts, input)));
  if (prompts.some(({ ids }) => ids.length === 0)) {
    throw new EmptyPromptError('There is nothing to continue. Write a few words first.');
  }
  emit({
    type: 'prompts',
    runId,
    prompts: prompts.map(({ ids }) => {
      const own = [...ids];
      return { pieces: rowPieces({ ids: own, labels: own.map(() => -100) }, tokenizer), tokens: own.length };
    }),
  });
  const longest = Math.max(...prompts.map(({ ids }) => ids.length));
  const tokens = Math.min(longest + sampling.max_new_tokens, Math.max(spec.maxPositions, longest));
  const generator = await text.generator(source, rows.length, tokens);
  const stops = await text.prompts.stops(rows.some(({ input }) => input.kind === 'chat'));
  let first: number | null = null;
  const results = await continueTexts(
    generator,
    tokenizer,
    { rows: rows.map(({ strength }, i) => ({ prompt: prompts[i], strength })), sampling, stops },
    {
      signal,
      onText(row, piece, tokens) {
        first ??= performance.now();
        emit({ type: 'text', runId, row, text: piece, tokens });
      },
    },
  );
  const ended = results.map(({ ids, ending }) => ({ tokens: ids.length, ending }));
  const seconds = first === null ? 0 : (performance.now() - first) / 1000;
  emit({ type: 'generated', runId, rows: ended, seconds, memory: text.gpu.ledger.byCategory() });
}
