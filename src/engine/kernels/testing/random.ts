/** Random test inputs from a seed, so that a failure can be repeated. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer in [low, high). */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low));
  }

  /** A 32-bit word, all bits random. */
  word(): number {
    return Math.floor(this.next() * 2 ** 32);
  }

  /** Normally distributed f32 values (Box & Muller 1958). */
  normal(count: number, deviation = 1): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: count }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
      return deviation * radius * Math.cos(2 * Math.PI * this.next());
    });
  }

  /** Uniform f32 values in [low, high). */
  uniform(count: number, low: number, high: number): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: count }, () => low + (high - low) * this.next());
  }

  /** Integers in [low, high). */
  integers(count: number, low: number, high: number): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: count }, () => this.integer(low, high));
  }
}
