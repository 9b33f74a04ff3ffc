/**
 * Prepared examples held compactly: four bytes a token, its label in the highest bit. What does not go into the budget is
 * not held, and is prepared again from its row when it is asked for.
 */
import { type Example, IGNORE_INDEX } from './batch.ts';
import { GrowingUint32 } from './growing.ts';

/** 24 M tokens, 96 MiB. */
const DEFAULT_TOKENS = 24 * 2 ** 20;
/** Tokens of a block: blocks never grow, so nothing is copied and no room is held twice. */
const BLOCK = 2 ** 20;
const TRAINED = 2 ** 31;
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

  /** Adds the next example; it is numbered from 0. */
  add({ ids, labels }: Example): void {
    const held = this.#held + ids.length <= this.#budget;
    this.#begins.push(held ? this.#held : NOT_HELD);
    this.#lengths.push(ids.length);
    if (!held) return;
    for (const [i, id] of ids.entries()) {
      const at = this.#held++;
      if (at % BLOCK === 0) this.#blocks.push(new Uint32Array(BLOCK));
      this.#blocks[this.#blocks.length - 1][at % BLOCK] = labels[i] === IGNORE_INDEX ? id : id + TRAINED;
    }
  }

  /** Undefined for an example that is not held. */
  get(example: number): Example | undefined {
    const begin = this.#begins.at(example);
    if (begin === NOT_HELD) return undefined;
    const tokens = Array.from({ length: this.#lengths.at(example) }, (_, i) => {
      const at = begin + i;
      return this.#blocks[Math.floor(at / BLOCK)][at % BLOCK];
    });
    return {
      ids: tokens.map((token) => token % TRAINED),
      labels: tokens.map((token) => (token >= TRAINED ? token - TRAINED : IGNORE_INDEX)),
    };
  }
}
