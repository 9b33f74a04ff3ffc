/** The rows of several files as one list, in the order of the files. */
import type { RangeSource } from '../../formats/range_source.ts';
import { type OpenTablePorts, openTable } from './open_table.ts';
import type { Problem } from './problem.ts';
import type { Table } from './table.ts';

export interface ReadProgress {
  readonly bytesRead: number;
  readonly bytes: number;
  readonly rows: number;
}

export interface RowSetPorts extends Omit<OpenTablePorts, 'onProgress'> {
  /** `rows` can be asked for already. */
  readonly onProgress?: (progress: ReadProgress, rows: RowSet) => void;
  readonly onProblem: (problem: Problem) => void;
}

export class RowSet {
  readonly tables: readonly Table[];

  constructor(tables: readonly Table[]) {
    this.tables = tables;
  }

  get length(): number {
    return this.tables.reduce((sum, table) => sum + table.rows, 0);
  }

  /** The value of row `row`, from 0. */
  read(row: number): Promise<unknown> {
    const [table, own] = this.#locate(row);
    return table.read(own);
  }

  /** Where row `row` stands. */
  place(row: number): { file: string; line: number } {
    const [table, own] = this.#locate(row);
    return { file: table.file, line: table.line(own) };
  }

  #locate(row: number): [Table, number] {
    let first = 0;
    for (const table of this.tables) {
      if (row < first + table.rows) return [table, row - first];
      first += table.rows;
    }
    throw new RangeError(`There is no row ${row} among ${first}.`);
  }
}

/**
 * Opens the files one after the other and reads each through.
 *
 * @throws DataFileError for a file that cannot be read at all; the signal's reason when aborted
 */
export async function readRowSet(sources: readonly RangeSource[], ports: RowSetPorts): Promise<RowSet> {
  const { signal, onProblem, onProgress } = ports;
  const bytes = sources.reduce((sum, { size }) => sum + size, 0);
  const tables: Table[] = [];
  const rows = new RowSet(tables);
  let before = 0;
  for (const source of sources) {
    const report = (bytesRead: number) =>
      onProgress?.({ bytesRead: Math.min(bytes, before + bytesRead), bytes, rows: rows.length }, rows);
    // Unpacking is the first half of a compressed file.
    const table = await openTable(source, { ...ports, onProgress: (read) => report(read / 2) });
    tables.push(table);
    const packed = table.bytes !== source.size;
    await table.scan({
      signal,
      onProblem,
      onProgress: (read) => report(packed ? (source.size * (1 + read / Math.max(1, table.bytes))) / 2 : read),
    });
    before += source.size;
  }
  return rows;
}
