/** A list of 32-bit unsigned integers that grows: four bytes each, where an array of numbers has eight. */
export class GrowingUint32 {
  #values = new Uint32Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(value: number): void {
    if (this.#length === this.#values.length) {
      const grown = new Uint32Array(this.#length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.#length++] = value;
  }

  at(index: number): number {
    return this.#values[index];
  }

  /** As it stands; no copy. */
  view(): Uint32Array {
    return this.#values.subarray(0, this.#length);
  }
}
