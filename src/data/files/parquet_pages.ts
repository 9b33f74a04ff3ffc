/**
 * What the pages of a Parquet column declare, checked before any of them is unpacked: a page of a few bytes may claim
 * gigabytes, or a billion values. Headers are Thrift's compact protocol (parquet-format, PageHeader).
 */

export interface PageLimits {
  /** Values that the column's own metadata speaks of. */
  readonly values: number;
  /** Bytes of one page, unpacked. */
  readonly pageBytes: number;
}

/** A page of values, as its header has it. */
export interface DataPage {
  readonly packed: Uint8Array;
  /** Bytes that it becomes. */
  readonly unpacked: number;
  readonly values: number;
  /** By parquet-format's number. */
  readonly encoding: number;
  /** Bytes of repetition and definition levels and whether the rest is packed, of version 2. */
  readonly second: { readonly levelBytes: readonly [number, number]; readonly packed: boolean } | null;
}

/**
 * Bytes that the column's pages become together; `onPage` sees each page of values when its header was found to be good.
 *
 * @throws RangeError when a header is damaged or claims more than the limits
 */
export function checkPages(column: Uint8Array, limits: PageLimits, onPage?: (page: DataPage) => void): number {
  const reader = new CompactReader(column);
  let total = 0;
  let values = 0;
  while (reader.at < column.length - 1 && values < limits.values) {
    const header = reader.struct(0);
    const unpacked = whole(header.get(2), 'size');
    const packed = whole(header.get(3), 'packed size');
    if (unpacked > limits.pageBytes) throw new RangeError(`a page claims ${unpacked} bytes`);
    if (packed > column.length - reader.at) throw new RangeError('a page goes on past the end of its column');
    const inner = [5, 7, 8].map((field) => header.get(field)).find((field) => field instanceof Map);
    const claimed = inner instanceof Map ? whole(inner.get(1), 'number of values') : 0;
    if (claimed > limits.values) throw new RangeError(`a page claims ${claimed} values of ${limits.values}`);
    // A dictionary's values (field 7) are not the column's.
    if (!header.has(7)) values += claimed;
    total += unpacked;
    const [first, second] = [header.get(5), header.get(8)];
    const page = first instanceof Map ? first : second;
    if (page instanceof Map) {
      onPage?.({
        packed: column.subarray(reader.at, reader.at + packed),
        unpacked,
        values: claimed,
        encoding: whole(page.get(page === second ? 4 : 2), 'encoding'),
        second:
          page === second
            ? {
                levelBytes: [whole(page.get(6), 'length of repetition levels'), whole(page.get(5), 'length of levels')],
                packed: page.get(7) !== false,
              }
            : null,
      });
    }
    reader.at += packed;
  }
  return total;
}

type Field = number | boolean | Map<number, Field> | null;

function whole(value: Field | undefined, what: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new RangeError(`a page header has no ${what}`);
}

const DEPTH_CAP = 8;

/** As much of the protocol as page headers need: contents of strings and lists are passed over. */
class CompactReader {
  at = 0;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  struct(depth: number): Map<number, Field> {
    if (depth > DEPTH_CAP) throw new RangeError('a page header is nested too deep');
    const fields = new Map<number, Field>();
    let id = 0;
    for (;;) {
      const byte = this.#byte();
      if (byte === 0) return fields;
      id = byte >> 4 ? id + (byte >> 4) : this.#zigzag();
      fields.set(id, this.#value(byte & 0x0f, depth));
    }
  }

  #value(type: number, depth: number): Field {
    switch (type) {
      case 1:
        return true;
      case 2:
        return false;
      case 3:
        return this.#byte();
      case 4:
      case 5:
      case 6:
        return this.#zigzag();
      case 7:
        this.at += 8;
        return null;
      case 8: {
        const length = this.#varint();
        this.at += length;
        return null;
      }
      case 9:
      case 10:
        return this.#list(depth);
      case 12:
        return this.struct(depth + 1);
      default:
        throw new RangeError(`a page header has a field of unknown type ${type}`);
    }
  }

  #list(depth: number): null {
    const head = this.#byte();
    const size = head >> 4 === 15 ? this.#varint() : head >> 4;
    for (let i = 0; i < size; i++) this.#value(head & 0x0f, depth + 1);
    return null;
  }

  #byte(): number {
    if (this.at >= this.#bytes.length) throw new RangeError('a page header is cut off');
    return this.#bytes[this.at++];
  }

  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > 2 ** 49) throw new RangeError('a page header has a number that is too long');
    }
  }

  #zigzag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}
