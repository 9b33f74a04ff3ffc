/**
 * A dataset file as rows in reach by number: it is read through once (`scan`), which leaves a compact index of where rows
 * lie, and a row is read again when it is asked for. A file of any size costs memory for its index alone.
 */
import type { RangeSource } from '../../formats/range_source.ts';
import { blockCache } from './block_cache.ts';
import type { Problem } from './problem.ts';
import { RowIndex } from './row_index.ts';
import { Turns } from './turns.ts';

export type TableFormat = 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet' | 'text' | 'markdown';

export interface ScanPorts {
  readonly signal?: AbortSignal | undefined;
  /** The bytes read so far; {@link Table.rows} has grown with them. */
  readonly onProgress?: (bytesRead: number) => void;
  /** What cannot be used, in file order. The rows beside it can. */
  readonly onProblem: (problem: Problem) => void;
}

export interface Table {
  readonly file: string;
  readonly format: TableFormat;
  /** Bytes, as stored. */
  readonly bytes: number;
  /** What {@link line} counts. */
  readonly unit: 'line' | 'row';
  /** Rows that can be read; grows while the file is scanned. */
  readonly rows: number;
  /**
   * Reads the file through. Called once.
   *
   * @throws DataFileError when the file as a whole is not what it claims to be; the signal's reason when aborted
   */
  scan(ports: ScanPorts): Promise<void>;
  /** Where row `row` (from 0) stands in its file, from 1. */
  line(row: number): number;
  /** The row's value: what JSON says, or an object by column. */
  read(row: number): Promise<unknown>;
}

/** Sizes that tests make small. */
export interface ReadLimits {
  /** Bytes read at a time. */
  readonly chunkBytes: number;
  /** Bytes of the longest row that is read at all; a longer one is a problem and is not held in memory. */
  readonly rowCap: number;
}

export const READ_LIMITS: ReadLimits = { chunkBytes: 2 ** 20, rowCap: 64 * 2 ** 20 };

/** What a scan finds: a row's bytes [begin, end), a problem, or how far it is. */
export type Found =
  | { readonly kind: 'row'; readonly begin: number; readonly end: number; readonly line: number }
  | { readonly kind: 'problem'; readonly problem: Problem }
  | { readonly kind: 'progress'; readonly bytes: number };

/** How one format finds its rows, and reads one again. */
export interface RowFormat {
  /** Reads `source` from its beginning to its end. */
  find(source: RangeSource): AsyncIterable<Found>;
  /** The value of a row from its bytes, which `find` has accepted. */
  parse(bytes: Uint8Array, line: number): unknown;
}

/** A table whose rows are each a stretch of the file. */
export class StretchTable implements Table {
  readonly file: string;
  readonly format: TableFormat;
  readonly bytes: number;
  readonly unit = 'line';
  readonly #source: RangeSource;
  readonly #cached: RangeSource;
  readonly #rowFormat: RowFormat;
  readonly #index = new RowIndex();

  constructor(source: RangeSource, format: TableFormat, rowFormat: RowFormat) {
    this.file = source.name;
    this.format = format;
    this.bytes = source.size;
    this.#source = source;
    this.#cached = blockCache(source);
    this.#rowFormat = rowFormat;
  }

  get rows(): number {
    return this.#index.length;
  }

  async scan({ signal, onProgress, onProblem }: ScanPorts): Promise<void> {
    const turns = new Turns(signal);
    for await (const found of this.#rowFormat.find(this.#source)) {
      if (turns.due) await turns.take();
      if (found.kind === 'row') this.#index.add(found.begin, found.end, found.line);
      else if (found.kind === 'problem') onProblem(found.problem);
      else onProgress?.(found.bytes);
    }
    signal?.throwIfAborted();
  }

  line(row: number): number {
    return this.#index.line(row);
  }

  async read(row: number): Promise<unknown> {
    const bytes = await this.#cached.read(this.#index.begin(row), this.#index.end(row));
    return this.#rowFormat.parse(bytes, this.#index.line(row));
  }
}
