/**
 * Prepared examples held compactly: four bytes a token, its label in the highest bit. What does not go into the budget is
 * not held, and is prepared again from its row when it is asked for.
 */
import type { Example } from './batch.ts';
import { GrowingUint32 } from './growing.ts';
import { unpackTokens } from './row_encoder.ts';

/** 16 M tokens, 64 MiB. */
const DEFAULT_TOKENS = 16 * 2 ** 20;
/** Tokens of a block: blocks never grow, so nothing is copied and no room is held twice. */
const BLOCK = 2 ** 20;
const NOT_HELD = 2 ** 32 - 1;

export class TokenStore {
  readonly #budget: number;
  readonly #blocks: Uint32Array[] = [];
  /** Tokens held. */
  #held = 0;
  /** Where an example's tokens begin, counted over all blocks. */
  readonly #begins = new GrowingUint32();
  readonly #lengths = new GrowingUint32();

  constructor(budget = DEFAULT_TOKENS) {
    this.#budget = budget;
  }

  /** Adds the next example, packed as row_encoder.ts does; it is numbered from 0. */
  add(tokens: Uint32Array): void {
    const held = this.#held + tokens.length <= this.#budget;
    this.#begins.push(held ? this.#held : NOT_HELD);
    this.#lengths.push(tokens.length);
    if (!held) return;
    for (let from = 0; from < tokens.length; ) {
      const at = this.#held % BLOCK;
      if (at === 0) this.#blocks.push(new Uint32Array(BLOCK));
      const part = tokens.subarray(from, from + BLOCK - at);
      this.#blocks[this.#blocks.length - 1].set(part, at);
      this.#held += part.length;
      from += part.length;
    }
  }

  /** Undefined for an example that is not held. */
  get(example: number): Example | undefined {
    const begin = this.#begins.at(example);
    if (begin === NOT_HELD) return undefined;
    const tokens = Uint32Array.from({ length: this.#lengths.at(example) }, (_, i) => {
      const at = begin + i;
      return this.#blocks[Math.floor(at / BLOCK)][at % BLOCK];
    });
    return unpackTokens(tokens);
  }
}
