/** Continues prompts token by token: choosing, stopping, and text as it comes. */
import type { Prompt, Stops } from '../data/prompts.ts';
import { randomUint32 } from '../data/random.ts';
import { type Decoder, TextStream } from '../data/text_stream.ts';
import { type Generator, MOST_PICKS } from '../engine/generate/generator.ts';
import { sampleToken } from '../engine/generate/sampling.ts';
import type { Ending, Sampling } from './studio_protocol.ts';

export interface TextRequest {
  /** With the share of the adapter that each is continued with. */
  readonly rows: readonly { readonly prompt: Prompt; readonly strength: number }[];
  readonly sampling: Sampling;
  readonly stops: Stops;
}

export interface TextHooks {
  readonly signal: AbortSignal;
  /** What a row's text goes on with, and how many tokens it has now. */
  onText?(row: number, piece: string, tokens: number): void;
}

export interface ContinuedText {
  readonly ids: readonly number[];
  readonly text: string;
  readonly ending: Ending;
}

type TokenSource = Pick<Generator, 'begin' | 'logits' | 'pickLikeliest' | 'push' | 'length' | 'context'>;

/** Milliseconds of steps between two looks at them: text comes smoothly, and a stop is heeded soon. */
const LOOK_MS = 60;
/** Of all that draws from a seed, sampling. */
const STREAM = 0x73616d70;

/**
 * Emits through the hooks what comes; resolves with all texts when each has ended. Rows draw the same numbers at the same place, so
 * that what differs is the model's.
 */
export async function continueTexts(
  generator: TokenSource,
  decoder: Decoder,
  { rows, sampling, stops }: TextRequest,
  { signal, onText }: TextHooks,
): Promise<ContinuedText[]> {
  const texts = rows.map((_, row) => new RowText(row, decoder, stops, sampling.max_new_tokens, onText));
  generator.begin(rows.map(({ prompt, strength }) => ({ ids: prompt.ids, strength })));
  const greedy = sampling.temperature === 0 || sampling.top_k === 1;
  let picks = 1;
  for (;;) {
    const active = texts.filter(({ ending }) => ending === null);
    if (active.length === 0) break;
    if (signal.aborted) {
      for (const text of active) text.end('stopped');
      break;
    }
    const full = active.filter(({ row }) => generator.length(row) > generator.context);
    for (const text of full) text.end('context');
    if (full.length > 0) continue;
    const slots = active.map(({ row }) => row);
    const begun = performance.now();
    if (greedy) {
      const left = Math.max(...active.map((text) => text.left));
      const picked = await generator.pickLikeliest(slots, Math.min(picks, left));
      for (const [i, text] of active.entries()) for (const id of picked[i]) text.push(id);
      const each = (performance.now() - begun) / picked[0].length;
      picks = Math.max(1, Math.min(MOST_PICKS, 2 * picks, Math.floor(LOOK_MS / each)));
    } else {
      const logits = await generator.logits(slots);
      for (const [i, text] of active.entries()) {
        const uniform = randomUint32(sampling.seed, STREAM, text.count) / 2 ** 32;
        const id = sampleToken(logits[i], sampling, uniform);
        generator.push(text.row, id);
        text.push(id);
      }
    }
  }
  return texts.map(({ ids, text, ending }) => ({ ids, text, ending: ending! }));
}

/** One row's text so far. */
class RowText {
  readonly row: number;
  readonly ids: number[] = [];
  text = '';
  ending: Ending | null = null;
  readonly #stream: TextStream;
  readonly #stops: Stops;
  readonly #most: number;
  readonly #onText: TextHooks['onText'];
  /** Text that may be the beginning of a stop. */
  #held = '';

  constructor(row: number, decoder: Decoder, stops: Stops, most: number, onText: TextHooks['onText']) {
    this.row = row;
    this.#stream = new TextStream(decoder);
    this.#stops = stops;
    this.#most = most;
    this.#onText = onText;
  }

  get count(): number {
    return this.ids.length;
  }

  get left(): number {
    return this.#most - this.ids.length;
  }

  /** A token that was chosen; those behind the end do not count. */
  push(id: number): void {
    if (this.ending !== null) return;
    if (this.#stops.ids.has(id)) {
      this.end('end of turn');
      return;
    }
    this.ids.push(id);
    this.#add(this.#stream.push(id));
    if (this.ending === null && this.ids.length >= this.#most) this.end('length');
  }

  end(ending: Ending): void {
    this.#add(this.#stream.finish());
    if (this.ending !== null) return;
    this.ending = ending;
    this.#give(this.#held);
    this.#held = '';
  }

  #add(piece: string): void {
    this.#held += piece;
    const { texts } = this.#stops;
    const found = texts.map((stop) => this.#held.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#give(this.#held.slice(0, Math.min(...found)));
      this.#held = '';
      this.ending = 'end of turn';
      return;
    }
    const keep = Math.max(0, ...texts.map((stop) => beginningAtEnd(this.#held, stop)));
    this.#give(this.#held.slice(0, this.#held.length - keep));
    this.#held = this.#held.slice(this.#held.length - keep);
  }

  #give(text: string): void {
    this.text += text;
    this.#onText?.(this.row, text, this.ids.length);
  }
}

/** How many characters at the end of a text are a beginning of `stop`. */
function beginningAtEnd(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
