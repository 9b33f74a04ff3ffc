/**
 * Which examples are the same, token by token and label by label, told by a 64-bit hash: among a million examples two
 * different ones are taken for the same with a chance of 3e-8.
 */
import { GrowingUint32 } from './growing.ts';

/** Stands for an empty place of the table. */
const FREE = 0;

export class DuplicateFinder {
  readonly #low = new GrowingUint32();
  readonly #high = new GrowingUint32();
  /** Open addressing: example + 1, at most half full. */
  #table = new Uint32Array(2048);

  /** Adds the next example, packed as row_encoder.ts does; the number of the first one that equals it, its own where there is none. */
  add(tokens: Uint32Array): number {
    const number = this.#low.length;
    const [low, high] = hash(tokens);
    this.#low.push(low);
    this.#high.push(high);
    if (2 * (number + 1) > this.#table.length) this.#grow();
    const place = this.#find(low, high);
    const found = this.#table[place];
    if (found !== FREE) return found - 1;
    this.#table[place] = number + 1;
    return number;
  }

  #find(low: number, high: number): number {
    const mask = this.#table.length - 1;
    for (let place = low & mask; ; place = (place + 1) & mask) {
      const held = this.#table[place];
      if (held === FREE || (this.#low.at(held - 1) === low && this.#high.at(held - 1) === high)) return place;
    }
  }

  #grow(): void {
    const before = this.#table;
    this.#table = new Uint32Array(before.length * 2);
    for (const held of before) {
      if (held !== FREE) this.#table[this.#find(this.#low.at(held - 1), this.#high.at(held - 1))] = held;
    }
  }
}

/** Two multiplicative hashes with different constants, finished as MurmurHash3 does. */
function hash(tokens: Uint32Array): [number, number] {
  let low = 0x9e3779b9 ^ tokens.length;
  let high = 0x85ebca6b;
  for (let i = 0; i < tokens.length; i++) {
    // The label's bit first: a multiplication would carry it out of the word.
    const token = (tokens[i] << 1) | (tokens[i] >>> 31);
    low = Math.imul(low ^ token, 0x01000193) ^ (low >>> 15);
    high = Math.imul(high + token, 0x27d4eb2f) ^ (high >>> 13);
  }
  return [finish(low), finish(high)];
}

function finish(value: number): number {
  let h = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
