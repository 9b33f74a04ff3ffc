/**
 * A Parquet file, read with hyparquet: the footer says where the row groups lie, and rows are unpacked some hundreds at a
 * time, the last such stretches held. What the file declares is checked before it is believed.
 */
import {
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  snappyUncompress,
} from 'hyparquet';
import { decompressBrotli, decompressLz4, decompressLz4Raw, decompressZstd, gunzip } from 'hyparquet-compressors';
import type { RangeSource } from '../../formats/range_source.ts';
import { checkPages, type DataPage } from './parquet_pages.ts';
import { checkRuns, type Levels } from './parquet_runs.ts';
import { DataFileError, type Problem } from './problem.ts';
import type { ScanPorts, Table } from './table.ts';
import { Turns } from './turns.ts';

/** Each gets room for what the page's header says, which {@link checkPages} has seen. */
const COMPRESSORS: Readonly<Record<string, (input: Uint8Array, length: number) => Uint8Array>> = {
  SNAPPY: (input, length) => {
    const output = new Uint8Array(length);
    snappyUncompress(input, output);
    return output;
  },
  GZIP: (input, length) => gunzip(input, new Uint8Array(length)),
  BROTLI: decompressBrotli,
  ZSTD: (input, length) => decompressZstd(input, new Uint8Array(length)),
  LZ4: decompressLz4,
  LZ4_RAW: decompressLz4Raw,
};

const FOOTER_CAP = 64 * 2 ** 20;
const COLUMN_CAP = 4096;
/** Of a row group. */
const ROWS_CAP = 10_000_000;
/** Of a column of a row group, and of all of them: a page of a few bytes can say that there are a hundred million. */
const VALUES_CAP = 20_000_000;
const GROUP_VALUES_CAP = 64_000_000;
const UNPACKED_CAP = 2 ** 30;
const PAGE_CAP = 256 * 2 ** 20;

/**
 * Rows unpacked together, and how many such stretches are held. Each is read from the beginning of its row group's columns: a large group in
 * small stretches would be unpacked from its beginning again and again.
 */
const STRETCH = { least: 256, most: 16_384, bytes: 8 * 2 ** 20 };
const STRETCHES_KEPT = 4;
/** Of a value as JavaScript holds it, beside its text. */
const VALUE_BYTES = 64;

interface RowGroup {
  readonly begin: number;
  readonly rows: number;
  /** Rows unpacked together. */
  readonly stretch: number;
}

export class ParquetTable implements Table {
  readonly file: string;
  readonly format = 'parquet';
  readonly bytes: number;
  readonly unit = 'row';
  readonly #source: RangeSource;
  readonly #buffer: { byteLength: number; slice(begin: number, end?: number): Promise<ArrayBuffer> };
  #metadata: FileMetaData | undefined;
  /** Those that can be read, by row; `begin` counts rows of the file. */
  readonly #groups: RowGroup[] = [];
  readonly #stretches = new Map<number, Promise<Record<string, unknown>[]>>();
  #rows = 0;

  constructor(source: RangeSource) {
    this.file = source.name;
    this.bytes = source.size;
    this.#source = source;
    this.#buffer = {
      byteLength: source.size,
      slice: async (begin, end = source.size) =>
        (await source.read(Math.max(0, begin), Math.min(end, source.size))).buffer,
    };
  }

  get rows(): number {
    return this.#rows;
  }

  async scan({ signal, onProgress, onProblem }: ScanPorts): Promise<void> {
    const metadata = await this.#readMetadata();
    this.#metadata = metadata;
    const turns = new Turns(signal);
    let begin = 0;
    for (const [index, group] of metadata.row_groups.entries()) {
      await turns.take();
      const rows = Number(group.num_rows);
      try {
        await this.#checkGroup(metadata, index);
        this.#groups.push({ begin, rows, stretch: stretchOf(group) });
        this.#rows += rows;
      } catch (error) {
        onProblem(
          this.#problem(begin + 1, `Row group ${index + 1} of ${rows} rows cannot be read: ${messageOf(error)}.`),
        );
      }
      begin += rows;
      onProgress?.(Math.round((this.bytes * (index + 1)) / metadata.row_groups.length));
    }
  }

  line(row: number): number {
    return this.#place(row).fileRow + 1;
  }

  async read(row: number): Promise<unknown> {
    const { fileRow, group } = this.#place(row);
    const within = fileRow - group.begin;
    const begin = fileRow - (within % group.stretch);
    const rows = await this.#stretch(begin, Math.min(begin + group.stretch, group.begin + group.rows));
    return rows[fileRow - begin];
  }

  #place(row: number): { fileRow: number; group: RowGroup } {
    let before = 0;
    for (const group of this.#groups) {
      if (row >= before && row < before + group.rows) return { fileRow: group.begin + row - before, group };
      before += group.rows;
    }
    throw new RangeError(`There is no row ${row} among ${before}.`);
  }

  #stretch(begin: number, end: number): Promise<Record<string, unknown>[]> {
    const held = this.#stretches.get(begin) ?? this.#unpack(begin, end);
    this.#stretches.delete(begin);
    this.#stretches.set(begin, held);
    for (const oldest of this.#stretches.keys()) {
      if (this.#stretches.size <= STRETCHES_KEPT) break;
      this.#stretches.delete(oldest);
    }
    return held;
  }

  async #unpack(rowStart: number, rowEnd: number): Promise<Record<string, unknown>[]> {
    const read = parquetReadObjects({
      file: this.#buffer,
      metadata: this.#metadata,
      rowStart,
      rowEnd,
      compressors: COMPRESSORS,
      useOffsetIndex: true,
    });
    const rows = await read.catch((error: unknown) => {
      throw new DataFileError(this.#problem(rowStart + 1, `The row cannot be unpacked: ${messageOf(error)}.`));
    });
    return rows.map((row) => plain(row) as Record<string, unknown>);
  }

  async #readMetadata(): Promise<FileMetaData> {
    const { size } = this.#source;
    if (size < 12) throw this.#unusable('The file is too short to be Parquet.');
    const tail = await this.#source.read(size - 8, size);
    if (String.fromCharCode(...tail.subarray(4)) !== 'PAR1') {
      throw this.#unusable('The file does not end as Parquet does: it is something else, or was cut off.');
    }
    const footer = new DataView(tail.buffer).getUint32(0, true);
    if (footer > FOOTER_CAP || footer > size - 12) {
      throw this.#unusable(`The footer claims ${footer} bytes of a file of ${size}.`);
    }
    try {
      const metadata = await parquetMetadataAsync(this.#buffer, { geoparquet: false });
      if (metadata.schema.length > COLUMN_CAP) throw new RangeError(`${metadata.schema.length} columns`);
      return metadata;
    } catch (error) {
      throw this.#unusable(`The footer cannot be read (${messageOf(error)}).`);
    }
  }

  /** @throws RangeError when the group claims more than is sensible, or than its pages say */
  async #checkGroup(metadata: FileMetaData, index: number): Promise<void> {
    const { num_rows, columns } = metadata.row_groups[index];
    if (num_rows < 0n || num_rows > BigInt(ROWS_CAP)) throw new RangeError(`it claims ${num_rows} rows`);
    const leaves = leafLevels(parquetSchema(metadata));
    let unpacked = 0;
    let allValues = 0;
    for (const { meta_data: column } of columns) {
      if (!column) throw new RangeError('it has a column in another file');
      // hyparquet starts reading its columns before it misses one, and nobody would hear what becomes of them.
      const path = JSON.stringify(column.path_in_schema);
      const levels = leaves.get(path);
      if (!levels) throw new RangeError('its columns are not the schema’s');
      leaves.delete(path);
      const values = Number(column.num_values);
      allValues += values;
      if (!(values >= 0 && values <= VALUES_CAP && allValues <= GROUP_VALUES_CAP)) {
        throw new RangeError(`a column claims ${values} values; write the file with smaller row groups`);
      }
      unpacked += Number(column.total_uncompressed_size);
      if (!(unpacked >= 0 && unpacked <= UNPACKED_CAP)) throw tooMuch(unpacked);
      const begin = Number(column.dictionary_page_offset || column.data_page_offset);
      const end = begin + Number(column.total_compressed_size);
      if (!(begin >= 4 && end >= begin && end <= this.#source.size)) {
        throw new RangeError('a column lies outside the file');
      }
      const bytes = await this.#source.read(begin, end);
      const pages = checkPages(bytes, { values, pageBytes: PAGE_CAP }, (page) =>
        checkRuns(runsOf(page, column.codec), levels),
      );
      if (pages > UNPACKED_CAP) throw tooMuch(pages);
    }
  }

  #problem(line: number, reason: string): Problem {
    return { file: this.file, line, field: '', kind: 'unsupported', reason };
  }

  #unusable(reason: string): DataFileError {
    return new DataFileError(this.#problem(1, `${reason} Download it again, or write it with pyarrow.`));
  }
}

function stretchOf({ num_rows, columns }: FileMetaData['row_groups'][number]): number {
  const bytes = columns.reduce(
    (sum, { meta_data: column }) =>
      sum + (column ? Number(column.total_uncompressed_size) + VALUE_BYTES * Number(column.num_values) : 0),
    0,
  );
  const rows = Math.floor(STRETCH.bytes / Math.max(1, bytes / Math.max(1, Number(num_rows))));
  return Math.min(STRETCH.most, Math.max(STRETCH.least, rows));
}

/** The columns' depths by their paths. */
function leafLevels(
  { children, path, element }: ReturnType<typeof parquetSchema>,
  above: Levels = { repetition: 0, definition: 0 },
): Map<string, Levels> {
  const { repetition_type } = element;
  const levels =
    path.length === 0
      ? above
      : {
          repetition: above.repetition + (repetition_type === 'REPEATED' ? 1 : 0),
          definition: above.definition + (repetition_type === 'REQUIRED' ? 0 : 1),
        };
  if (children.length === 0) return new Map([[JSON.stringify(path), levels]]);
  return new Map(children.flatMap((child) => [...leafLevels(child, levels)]));
}

/** parquet-format's PLAIN_DICTIONARY and RLE_DICTIONARY. */
const DICTIONARY = [2, 8];

function runsOf({ packed, unpacked, values, encoding, second }: DataPage, codec: string) {
  const bytes = unpacked - (second ? second.levelBytes[0] + second.levelBytes[1] : 0);
  const unpack = (input: Uint8Array) => {
    if (codec === 'UNCOMPRESSED' || second?.packed === false) return input;
    const decompress = Object.hasOwn(COMPRESSORS, codec) ? COMPRESSORS[codec] : undefined;
    if (!decompress || bytes < 0) throw new RangeError(`a page is packed by ${codec}, which is not read`);
    return decompress(input, bytes);
  };
  return { packed, unpack, values, dictionary: DICTIONARY.includes(encoding), levelBytes: second?.levelBytes ?? null };
}

function tooMuch(bytes: number): RangeError {
  return new RangeError(
    `it claims ${bytes} bytes unpacked, and at most ${UNPACKED_CAP} are; write the file with smaller row groups`,
  );
}

/** Values as JSON would have them: big integers as numbers where they fit, dates as text, bytes left out. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return null;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '').slice(0, 200);
}
