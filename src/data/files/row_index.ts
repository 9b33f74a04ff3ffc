/** Where a file's rows begin and how long they are: 16 bytes a row, so that a million rows are 16 MB. */

const FIRST_ROWS = 1024;

export class RowIndex {
  #begin = new Float64Array(FIRST_ROWS);
  #bytes = new Uint32Array(FIRST_ROWS);
  #line = new Uint32Array(FIRST_ROWS);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Bytes [begin, end) of the file, at `line` (from 1). */
  add(begin: number, end: number, line: number): void {
    if (this.#length === this.#begin.length) this.#grow();
    this.#begin[this.#length] = begin;
    this.#bytes[this.#length] = end - begin;
    this.#line[this.#length] = line;
    this.#length++;
  }

  begin(row: number): number {
    return this.#begin[this.#checked(row)];
  }

  end(row: number): number {
    return this.begin(row) + this.#bytes[row];
  }

  line(row: number): number {
    return this.#line[this.#checked(row)];
  }

  #checked(row: number): number {
    if (Number.isInteger(row) && row >= 0 && row < this.#length) return row;
    throw new RangeError(`There is no row ${row} among ${this.#length}.`);
  }

  #grow(): void {
    const room = this.#begin.length * 2;
    const begin = new Float64Array(room);
    const bytes = new Uint32Array(room);
    const line = new Uint32Array(room);
    begin.set(this.#begin);
    bytes.set(this.#bytes);
    line.set(this.#line);
    this.#begin = begin;
    this.#bytes = bytes;
    this.#line = line;
  }
}
