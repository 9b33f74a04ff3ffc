/** Which variant each of a device's problems gets: forced, measured on this very device, or by rule. */
import type { Capabilities } from '../device/capabilities.ts';

/** A measured choice as it is kept, by the problem's key: its variant's name, and into how many parts the work is cut. */
export type KeptChoices = Readonly<Record<string, readonly [variant: string, parts: number]>>;

/**
 * 64, 96, 128, 192, 256 …: the next of these. How many tokens a batch may have depends on the data; a choice measured
 * for nearly as many holds for it.
 */
export function roundRows(rows: number): number {
  let size = 64;
  while (size < rows) size = size % 3 === 0 ? (size / 3) * 4 : (size / 2) * 3;
  return size;
}

/** What decides how fast a variant is; `rows`: tokens. */
export interface TunedProblem {
  readonly rows: number;
}

export abstract class MeasuredChoices<Problem extends TunedProblem, Choice> {
  readonly #measured = new Map<string, Choice>();
  readonly #asked = new Map<string, Problem>();
  #forced: Choice | null = null;

  abstract key(problem: Problem): string;
  protected abstract byRule(problem: Problem, capabilities: Capabilities): Choice;
  /** Whether what is forced can be had for this problem. */
  protected abstract fits(problem: Problem, forced: Choice): boolean;
  protected abstract write(choice: Choice): KeptChoices[string];
  /** Null for what no kernel knows any more. */
  protected abstract read(kept: KeptChoices[string]): Choice | null;

  /** Every problem gets this choice from now on: for tests and benches. */
  force(choice: Choice | null): void {
    this.#forced = choice;
  }

  /** What plans made meanwhile ask for is not measured later. */
  async quietly<T>(use: () => Promise<T>): Promise<T> {
    const before = new Map(this.#asked);
    try {
      return await use();
    } finally {
      this.#asked.clear();
      for (const [key, problem] of before) this.#asked.set(key, problem);
    }
  }

  choose(problem: Problem, capabilities: Capabilities): Choice {
    if (this.#forced && this.fits(problem, this.#forced)) return this.#forced;
    const alike = { ...problem, rows: roundRows(problem.rows) };
    const key = this.key(alike);
    this.#asked.set(key, alike);
    return this.#measured.get(key) ?? this.byRule(problem, capabilities);
  }

  /** Problems that a plan asked about and nobody has measured. */
  unmeasured(): Problem[] {
    if (this.#forced) return [];
    return [...this.#asked].filter(([key]) => !this.#measured.has(key)).map(([, problem]) => problem);
  }

  set(problem: Problem, choice: Choice): void {
    this.#measured.set(this.key(problem), choice);
  }

  kept(): KeptChoices {
    return Object.fromEntries([...this.#measured].map(([key, choice]) => [key, this.write(choice)] as const));
  }

  /** Forgets all that was measured but this: what a run was started with and keeps to its end. */
  pin(kept: KeptChoices): void {
    this.#measured.clear();
    this.restore(kept);
  }

  /** Takes what an earlier visit measured; unknown variants are left out and measured again. */
  restore(kept: KeptChoices): void {
    for (const [key, one] of Object.entries(kept)) {
      const choice = this.read(one);
      if (choice !== null) this.#measured.set(key, choice);
    }
  }
}
