/**
 * Best-fit-decreasing packing (`bfd`): examples, longest first, go into the row with the least space that still holds
 * them, among equally full rows the earliest made. The order is that of the reference (REFERENCE.md §3), but found in
 * O(log length) an example instead of by looking through every row.
 */
/**
 * Packs examples, given by their lengths, into rows of at most `maxLength` tokens; a row is the numbers of its examples.
 * The sort is stable. An example longer than `maxLength` (the caller truncates, so there should be none) has a row of its
 * own.
 */
export function packBestFitDecreasing(lengths: ArrayLike<number>, maxLength: number): number[][] {
  const sorted = Uint32Array.from({ length: lengths.length }, (_, number) => number);
  sorted.sort((a, b) => lengths[b] - lengths[a] || a - b);
  // A capacity beyond all tokens together changes nothing, and bounds the table below.
  const capacity = Math.min(
    maxLength,
    sorted.reduce((sum, number) => sum + lengths[number], 0),
  );
  const rows: number[][] = [];
  const open = new OpenRows(capacity);
  for (const number of sorted) {
    const length = lengths[number];
    const space = open.leastSpace(length);
    if (space === undefined) {
      rows.push([number]);
      if (length <= capacity) open.add(rows.length - 1, capacity - length);
      continue;
    }
    const row = open.takeEarliest(space);
    rows[row]!.push(number);
    open.add(row, space - length);
  }
  return rows;
}

/** Rows by the space left in them: a heap of row numbers for each space, and a tree that finds the next space in use. */
class OpenRows {
  readonly #heaps: (number[] | undefined)[];
  /** A complete binary tree over spaces; a node counts the non-empty heaps below it. */
  readonly #counts: Uint32Array;
  readonly #leaves: number;

  constructor(capacity: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(capacity + 1));
    this.#counts = new Uint32Array(2 * this.#leaves);
    this.#heaps = new Array(capacity + 1);
  }

  add(row: number, space: number): void {
    let heap = this.#heaps[space];
    if (!heap) {
      heap = [];
      this.#heaps[space] = heap;
    }
    if (heap.length === 0) this.#count(space, 1);
    heap.push(row);
    for (let i = heap.length - 1; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (heap[parent]! <= heap[i]!) break;
      swap(heap, i, parent);
      i = parent;
    }
  }

  /** The smallest space in use that is at least `length`. */
  leastSpace(length: number): number | undefined {
    if (length >= this.#leaves) return undefined;
    let node = this.#leaves + length;
    if (this.#counts[node]! > 0) return length;
    // Up until a right sibling holds something, then down its leftmost path.
    while (node > 1) {
      if (node % 2 === 0 && this.#counts[node + 1]! > 0) {
        node++;
        while (node < this.#leaves) node = this.#counts[2 * node]! > 0 ? 2 * node : 2 * node + 1;
        return node - this.#leaves;
      }
      node >>= 1;
    }
    return undefined;
  }

  /** Removes and returns the earliest row with exactly this space; there must be one. */
  takeEarliest(space: number): number {
    const heap = this.#heaps[space]!;
    const row = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) {
      this.#count(space, -1);
      return row;
    }
    heap[0] = last;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && heap[child]! < heap[least]!) least = child;
      }
      if (least === i) return row;
      swap(heap, i, least);
      i = least;
    }
  }

  #count(space: number, change: number): void {
    for (let node = this.#leaves + space; node >= 1; node >>= 1) this.#counts[node]! += change;
  }
}

function swap(heap: number[], i: number, j: number): void {
  const held = heap[i]!;
  heap[i] = heap[j]!;
  heap[j] = held;
}
