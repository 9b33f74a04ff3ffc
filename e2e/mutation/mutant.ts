/** A shader changed in one place, and what notices it. */

export interface Mutant {
  /** Below shaders/. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** The name of the kernel case that fails. */
  readonly caughtBy: string;
}

/** Pairs of find and replace for one file, all noticed by one case. */
export const inFile = (file: string, caughtBy: string, ...changes: readonly (readonly [string, string])[]): Mutant[] =>
  changes.map(([find, replace]) => ({ file, find, replace, caughtBy }));
