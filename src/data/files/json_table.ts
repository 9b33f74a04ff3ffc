/**
 * A JSON file: a list of rows; an object with one list of objects in it (`{"data": [{…}, …]}`); or an object of lists, a
 * list a column.
 */
import type { RangeSource } from '../../formats/range_source.ts';
import { blockCache } from './block_cache.ts';
import { decodeText, parseJson, UnreadableError } from './decode.ts';
import { JsonScanner } from './json_scanner.ts';
import { DataFileError, type Problem } from './problem.ts';
import { RowIndex } from './row_index.ts';
import { READ_LIMITS, type ReadLimits, type ScanPorts, type Table } from './table.ts';
import { Turns } from './turns.ts';

/** More fields than any dataset has columns. */
const COLUMN_CAP = 4096;

interface Column {
  readonly index: RowIndex;
  objects: number;
  readonly problems: Problem[];
}

export class JsonTable implements Table {
  readonly file: string;
  readonly format = 'json';
  readonly bytes: number;
  readonly unit = 'line';
  readonly #source: RangeSource;
  readonly #cached: RangeSource;
  readonly #limits: ReadLimits;
  /** By field; null for a list at the top. */
  readonly #columns = new Map<string | null, Column>();
  /** The columns that rows are read from: one that holds whole rows, or one a field. */
  #chosen: readonly (readonly [name: string | null, RowIndex])[] = [];

  constructor(source: RangeSource, limits: ReadLimits = READ_LIMITS) {
    this.file = source.name;
    this.bytes = source.size;
    this.#source = source;
    this.#cached = blockCache(source);
    this.#limits = limits;
  }

  get rows(): number {
    return this.#chosen[0]?.[1].length ?? 0;
  }

  async scan({ signal, onProgress, onProblem }: ScanPorts): Promise<void> {
    const { chunkBytes, rowCap } = this.#limits;
    const scanner = new JsonScanner(rowCap);
    const turns = new Turns(signal);
    for (let begin = 0; begin < this.#source.size; begin += chunkBytes) {
      const end = Math.min(begin + chunkBytes, this.#source.size);
      for (const element of scanner.push(await this.#source.read(begin, end))) {
        if (turns.due) await turns.take();
        const column = this.#column(element.column);
        if (element.error) {
          const problem = element.error.at(this.file, element.line);
          if (element.column === null) onProblem(problem);
          else column.problems.push({ ...problem, field: element.column });
          continue;
        }
        column.index.add(element.begin, element.end, element.line);
        if (typeof element.value === 'object' && element.value !== null) column.objects++;
      }
      if (scanner.top === 'other')
        throw this.#unusable('The file holds one value, not rows. Write a list of objects.', 1);
      onProgress?.(end);
    }
    signal?.throwIfAborted();
    if (scanner.top === 'object') this.#choose(onProblem);
    if (scanner.top !== undefined && !scanner.closed) {
      onProblem(this.#problem('The file ends in the middle: it was cut off. Save or download it again.', scanner.line));
    }
    if (scanner.trailing !== undefined) {
      onProblem(this.#problem('Something follows the end of the list. Put all rows into one list.', scanner.trailing));
    }
  }

  line(row: number): number {
    return this.#first().line(row);
  }

  async read(row: number): Promise<unknown> {
    const [[name, index], ...others] = this.#chosen;
    const value = await this.#element(index, row);
    if (name === null || (others.length === 0 && typeof value === 'object')) return value;
    const fields: [string, unknown][] = [[name, value]];
    for (const [field, column] of others) fields.push([String(field), await this.#element(column, row)]);
    return Object.fromEntries(fields);
  }

  async #element(index: RowIndex, row: number): Promise<unknown> {
    try {
      return parseJson(decodeText(await this.#cached.read(index.begin(row), index.end(row)), index.begin(row) === 0));
    } catch (error) {
      // Elements were read before; an object that is one row was not.
      if (!(error instanceof UnreadableError)) throw error;
      throw this.#unusable(`${error.message} Write a list of objects, or one object on each line.`, index.line(row));
    }
  }

  #first(): RowIndex {
    const index = this.#chosen[0]?.[1];
    if (!index) throw new RangeError(`${this.file} has no rows.`);
    return index;
  }

  #column(name: string | null): Column {
    const known = this.#columns.get(name);
    if (known) return known;
    if (this.#columns.size >= COLUMN_CAP) {
      throw this.#unusable(`The object has more than ${COLUMN_CAP} lists. Write a list of objects, one a row.`, 1);
    }
    const column: Column = { index: new RowIndex(), objects: 0, problems: [] };
    this.#columns.set(name, column);
    if (name === null) this.#chosen = [[null, column.index]];
    return column;
  }

  /** Of an object, when all of it was seen. */
  #choose(onProblem: (problem: Problem) => void): void {
    const columns = [...this.#columns];
    const ofObjects = columns.filter(([, { objects, index }]) => objects > 0 && objects === index.length);
    if (columns.length === 0) {
      // An object without lists is one row.
      const whole = new RowIndex();
      whole.add(0, this.#source.size, 1);
      this.#chosen = this.#source.size <= this.#limits.rowCap ? [[null, whole]] : [];
      return;
    }
    if (ofObjects.length === 1 && columns.length === 1) {
      const [[, { index, problems }]] = ofObjects;
      for (const problem of problems) onProblem(problem);
      this.#chosen = [[null, index]];
      return;
    }
    const [[first, { index: longest }]] = columns;
    for (const [name, { index, problems }] of columns) {
      if (problems.length === 0 && index.length === longest.length) continue;
      const reason =
        problems[0]?.reason ??
        `The lists differ in length: ${first} has ${longest.length} elements, ${name} has ${index.length}.`;
      throw this.#unusable(`${reason} Write a list of objects, one a row.`, problems[0]?.line ?? 1);
    }
    this.#chosen = columns.map(([name, { index }]) => [name, index]);
  }

  #problem(reason: string, line: number): Problem {
    return { file: this.file, line, field: '', kind: 'syntax', reason };
  }

  #unusable(reason: string, line: number): DataFileError {
    return new DataFileError(this.#problem(reason, line));
  }
}
