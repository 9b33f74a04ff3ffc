/**
 * Prepared examples held compactly: four bytes a token, its label in the highest bit. What does not go into the budget is
 * not held, and is prepared again from its row when it is asked for.
 */
import { type Example, IGNORE_INDEX } from './batch.ts';
import { GrowingUint32 } from './growing.ts';

/** 24 M tokens, 96 MiB. */
const DEFAULT_TOKENS = 24 * 2 ** 20;
const TRAINED = 2 ** 31;
const NOT_HELD = 2 ** 32 - 1;

export class TokenStore {
  readonly #budget: number;
  readonly #tokens = new GrowingUint32();
  /** Where an example's tokens begin. */
  readonly #begins = new GrowingUint32();
  readonly #lengths = new GrowingUint32();

  constructor(budget = DEFAULT_TOKENS) {
    this.#budget = budget;
  }

  /** Adds the next example; it is numbered from 0. */
  add({ ids, labels }: Example): void {
    const held = this.#tokens.length + ids.length <= this.#budget;
    this.#begins.push(held ? this.#tokens.length : NOT_HELD);
    this.#lengths.push(ids.length);
    if (!held) return;
    for (const [i, id] of ids.entries()) this.#tokens.push(labels[i] === IGNORE_INDEX ? id : id + TRAINED);
  }

  /** Undefined for an example that is not held. */
  get(example: number): Example | undefined {
    const begin = this.#begins.at(example);
    if (begin === NOT_HELD) return undefined;
    const tokens = this.#tokens.view().subarray(begin, begin + this.#lengths.at(example));
    const ids = Array.from(tokens, (token) => token % TRAINED);
    return { ids, labels: Array.from(tokens, (token) => (token >= TRAINED ? token - TRAINED : IGNORE_INDEX)) };
  }
}
