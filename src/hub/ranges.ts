/** A set of byte offsets as sorted, disjoint, non-touching ranges [begin, end). */
export class RangeSet {
  #ranges: [number, number][] = [];

  /** Adds [begin, end); returns how many of its bytes were not in the set before. */
  add(begin: number, end: number): number {
    if (begin >= end) return 0;
    const kept: [number, number][] = [];
    let [low, high, known] = [begin, end, 0];
    for (const range of this.#ranges) {
      if (range[1] < begin || range[0] > end) {
        kept.push(range);
        continue;
      }
      known += Math.max(0, Math.min(range[1], end) - Math.max(range[0], begin));
      low = Math.min(low, range[0]);
      high = Math.max(high, range[1]);
    }
    kept.push([low, high]);
    this.#ranges = kept.sort((a, b) => a[0] - b[0]);
    return end - begin - known;
  }

  /** Whether all of [begin, end) is in the set. */
  covers(begin: number, end: number): boolean {
    return begin >= end || this.#ranges.some(([low, high]) => low <= begin && end <= high);
  }

  /** The first offset ≥ `from` that is in the set; Infinity when there is none. */
  next(from: number): number {
    const range = this.#ranges.find(([, high]) => high > from);
    return range ? Math.max(range[0], from) : Number.POSITIVE_INFINITY;
  }

  /** How many offsets are in the set. */
  get total(): number {
    return this.#ranges.reduce((sum, [low, high]) => sum + high - low, 0);
  }

  get ranges(): readonly (readonly [number, number])[] {
    return this.#ranges;
  }
}
