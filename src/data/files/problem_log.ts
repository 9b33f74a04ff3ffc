/** Problems as they are found: the first are kept, all are counted, so that a million bad rows do not fill the memory. */

interface Kind {
  readonly kind: string;
}

/** Kept by default; more are only counted. */
const KEPT = 10_000;

export class ProblemLog<P extends Kind> {
  readonly kept: P[] = [];
  /** How many there were of each kind. */
  readonly byKind: Record<string, number> = {};
  count = 0;
  readonly #most: number;

  constructor(most = KEPT) {
    this.#most = most;
  }

  add(problem: P): void {
    this.count++;
    this.byKind[problem.kind] = (this.byKind[problem.kind] ?? 0) + 1;
    if (this.kept.length < this.#most) this.kept.push(problem);
  }

  /** Another log that begins as this one stands. */
  copy<Q extends Kind>(): ProblemLog<P | Q> {
    const other = new ProblemLog<P | Q>(this.#most);
    other.kept.push(...this.kept);
    Object.assign(other.byKind, this.byKind);
    other.count = this.count;
    return other;
  }
}
