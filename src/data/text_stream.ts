/**
 * Text out of tokens as they come. A token may be a part of a character, and what one adds to a text may depend on the one
 * before it, so that text is given out only once it cannot change any more: never half a character.
 */

/** What of a tokenizer it takes. */
export interface Decoder {
  decode(ids: readonly number[]): string;
}

/** What a decoder writes for bytes that are no character (yet). */
const BROKEN = '\ufffd';

export class TextStream {
  readonly #decoder: Decoder;
  /** The tokens that are still looked at: those of the last piece, for what comes after it, then those not given out. */
  #ids: number[] = [];
  #given = 0;

  constructor(decoder: Decoder) {
    this.#decoder = decoder;
  }

  /** The text that is certain now: often empty within a character. */
  push(id: number): string {
    this.#ids.push(id);
    const { before, all } = this.#texts();
    if (all.endsWith(BROKEN)) return '';
    this.#ids = this.#ids.slice(this.#given);
    this.#given = this.#ids.length;
    return all.slice(before.length);
  }

  /** What is left at the end; bytes that never became a character are shown as such. */
  finish(): string {
    const { before, all } = this.#texts();
    this.#ids = [];
    this.#given = 0;
    return all.slice(before.length);
  }

  #texts() {
    const before = this.#given > 0 ? this.#decoder.decode(this.#ids.slice(0, this.#given)) : '';
    return { before, all: this.#ids.length > 0 ? this.#decoder.decode(this.#ids) : '' };
  }
}
