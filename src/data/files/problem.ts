/** What is wrong with a dataset, told by file, line, field and kind. */

export type ProblemKind =
  /** Bytes that are no UTF-8. */
  | 'encoding'
  /** Not the format that the file claims to be. */
  | 'syntax'
  | 'too-long'
  | 'too-deep'
  | 'unclosed-quote'
  /** Another number of columns than the header has. */
  | 'ragged-row'
  /** A value that is no row at all. */
  | 'not-a-row'
  | 'missing-field'
  | 'wrong-type'
  | 'empty-field'
  | 'unsupported'
  | 'preference-pair';

/** Something that a row, or a file from some line on, cannot be used for. */
export interface Problem {
  /** The file's name as it was given. */
  readonly file: string;
  /** Line from 1, or the row's number in a file without lines (Parquet). */
  readonly line: number;
  /** For example `messages[2].content`; empty where the whole row is meant. */
  readonly field: string;
  readonly kind: ProblemKind;
  /** A sentence: what is wrong, and what to do. */
  readonly reason: string;
}

/** Nothing of a file can be read; the message names the file and says what to do. */
export class DataFileError extends Error {
  override name = 'DataFileError';
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(`${problem.file}: ${problem.reason}`);
    this.problem = problem;
  }
}
