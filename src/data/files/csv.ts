/**
 * CSV and TSV with papaparse: the first row names the columns; quoted cells may hold line ends. The file is parsed in
 * blocks of whole rows, and each row's bytes are noted, so that a row can be parsed again by itself.
 */
import Papa from 'papaparse';
import type { RangeSource } from '../../formats/range_source.ts';
import { BAD_ENCODING, decodeText, mebibytes, UnreadableError } from './decode.ts';
import { DataFileError, type Problem, type ProblemKind } from './problem.ts';
import { type Found, READ_LIMITS, type ReadLimits, type RowFormat } from './table.ts';

const COLUMN_CAP = 4096;
/** A quote that is never closed makes a row of the whole rest: it is given up earlier than a long line would be. */
const ROW_CAP = 16 * 2 ** 20;
/** Stands for a byte that is no UTF-8, so that offsets stay; no table has it. */
const SUBSTITUTE = 0x1a;
const NEWLINE = 0x0a;

interface ParsedRow {
  readonly cells: readonly string[];
  /** Where it ends, in characters of the block. */
  readonly cursor: number;
  /** Papa's code, for example MissingQuotes. */
  readonly error: string | undefined;
}

/** `delimiter` is guessed from the first rows when absent. */
export function csvFormat(delimiter?: string, limits: ReadLimits = READ_LIMITS): RowFormat {
  let columns: readonly string[] = [];
  let found = delimiter ?? ',';
  return {
    async *find(source) {
      if (delimiter === undefined) found = await guessDelimiter(source);
      yield* find(source, found, limits, (header) => {
        columns = header;
      });
    },
    parse(bytes) {
      const [row] = parseBlock(decodeText(bytes, false), found, false);
      return Object.fromEntries(columns.map((name, i) => [name, row.cells[i] ?? '']));
    },
  };
}

async function* find(
  source: RangeSource,
  delimiter: string,
  { chunkBytes, rowCap }: ReadLimits,
  onHeader: (columns: readonly string[]) => void,
): AsyncGenerator<Found> {
  const cap = Math.min(rowCap, ROW_CAP);
  const problem = (line: number, kind: ProblemKind, reason: string): Problem => ({
    file: source.name,
    line,
    field: '',
    kind,
    reason,
  });
  let columns = 0;
  let line = 1;
  /** Bytes [begin, at) were read and hold no whole row yet. */
  let begin = 0;
  let held = new Uint8Array(0);
  let wanted = chunkBytes;
  for (let at = 0; at < source.size; ) {
    const end = Math.min(at + wanted, source.size);
    held = concat(held, await source.read(at, end));
    at = end;
    const last = at === source.size;
    const whole = last ? held.length : held.lastIndexOf(NEWLINE) + 1;
    const block = decodeBlock(held.subarray(0, whole));
    // A byte order mark has a length that the text has no more.
    let offset = block.mark;
    let from = 0;
    for (const { cells, cursor, error } of parseBlock(block.text, delimiter, !last)) {
      const { bytes, lines } = extent(block.text, from, cursor);
      const row = { begin: begin + offset, end: begin + offset + bytes, line };
      from = cursor;
      offset += bytes;
      line += lines;
      if (error === 'MissingQuotes') {
        yield { kind: 'problem', problem: problem(row.line, 'unclosed-quote', UNCLOSED) };
        return;
      }
      if (cells.length === 1 && cells[0].trim() === '') continue;
      if (columns === 0) {
        const header = columnNames(cells);
        if (cells.length > COLUMN_CAP) throw new DataFileError(problem(row.line, 'ragged-row', tooMany(cells.length)));
        columns = header.length;
        onHeader(header);
        continue;
      }
      const bad = refusal(cells, columns, error);
      if (bad) yield { kind: 'problem', problem: problem(row.line, bad.kind, bad.message) };
      else yield { kind: 'row', ...row };
    }
    held = held.slice(offset);
    begin += offset;
    // Little was whole: the next look takes more at once, so that a long row is not parsed again and again.
    wanted = held.length > chunkBytes / 2 ? wanted * 2 : chunkBytes;
    if (held.length > cap && !last) {
      yield { kind: 'problem', problem: problem(line, 'unclosed-quote', endless(cap)) };
      return;
    }
    yield { kind: 'progress', bytes: at };
  }
}

const UNCLOSED =
  'A quoted cell begins here or in a later column and is never closed; what follows was not read. Close the quote, or double a quote that is part of the text.';

const endless = (cap: number) =>
  `The row goes on for more than ${mebibytes(cap)}: a quoted cell that begins here is not closed. What follows was not read.`;

const tooMany = (columns: number) =>
  `The first row has ${columns} columns; at most ${COLUMN_CAP} are read. Is the separator right, and does the first row name the columns?`;

function refusal(cells: readonly string[], columns: number, error: string | undefined): UnreadableError | undefined {
  if (cells.some((cell) => cell.includes(String.fromCharCode(SUBSTITUTE)))) {
    return new UnreadableError('encoding', BAD_ENCODING);
  }
  if (error !== undefined) {
    const what = 'Text follows the quote that closes a cell. Double each quote that is part of the text.';
    return new UnreadableError('syntax', what);
  }
  if (cells.length === columns) return undefined;
  const what = `The row has ${cells.length} cells, but the first row names ${columns} columns. Quote cells that hold the separator.`;
  return new UnreadableError('ragged-row', what);
}

/** Names without surrounding space, each once. */
function columnNames(cells: readonly string[]): string[] {
  const names: string[] = [];
  const taken = new Set<string>();
  for (const [i, cell] of cells.slice(0, COLUMN_CAP).entries()) {
    const base = cell.trim() || `column ${i + 1}`;
    let name = base;
    for (let copy = 2; taken.has(name); copy++) name = `${base} ${copy}`;
    taken.add(name);
    names.push(name);
  }
  return names;
}

/** The one by which most rows have as many cells as the first. */
async function guessDelimiter(source: RangeSource): Promise<string> {
  const bytes = await source.read(0, Math.min(source.size, 2 ** 16));
  const { text } = decodeBlock(bytes);
  const judged = [',', '\t', ';', '|'].map((delimiter) => {
    const [header, ...rows] = parseBlock(text, delimiter, false).map(({ cells }) => cells.length);
    return { delimiter, columns: header ?? 0, fitting: rows.filter((cells) => cells === header).length };
  });
  const likely = judged
    .filter(({ columns }) => columns > 1)
    .sort((a, b) => b.fitting - a.fitting || b.columns - a.columns);
  return likely[0]?.delimiter ?? ',';
}

/** Rows of a text; with `open` the last one may go on and is left out. */
function parseBlock(text: string, delimiter: string, open: boolean): ParsedRow[] {
  const rows: ParsedRow[] = [];
  const parser = new Papa.Parser({
    delimiter,
    newline: '\n',
    step: ({ data, errors, meta }) => {
      const [cells] = data as unknown as string[][];
      const error = errors.find(({ type }) => type === 'Quotes')?.code;
      rows.push({ cells: withoutReturn(cells), cursor: meta.cursor, error });
    },
  });
  parser.parse(text, 0, open);
  return rows;
}

/** CRLF line ends leave their first character to the last cell. */
function withoutReturn(cells: string[]): string[] {
  const last = cells.length - 1;
  if (last >= 0 && cells[last].endsWith('\r')) cells[last] = cells[last].slice(0, -1);
  return cells;
}

/** The block as text: bytes that are no UTF-8 are replaced line by line, one character each. */
function decodeBlock(bytes: Uint8Array): { text: string; mark: number } {
  const mark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
  const rest = bytes.subarray(mark);
  try {
    return { text: decodeText(rest, false), mark };
  } catch {
    const lines: string[] = [];
    for (let from = 0; from < rest.length; ) {
      const newline = rest.indexOf(NEWLINE, from);
      const end = newline === -1 ? rest.length : newline + 1;
      const line = rest.slice(from, end);
      try {
        lines.push(decodeText(line, false));
      } catch {
        lines.push(String.fromCharCode(...[...line].map((byte) => (byte >= 0x80 ? SUBSTITUTE : byte))));
      }
      from = end;
    }
    return { text: lines.join(''), mark };
  }
}

/** Bytes in UTF-8, and line ends, of characters [from, to). */
function extent(text: string, from: number, to: number): { bytes: number; lines: number } {
  let bytes = 0;
  let lines = 0;
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if (code === NEWLINE) lines++;
    // Each half of a surrogate pair is two of the character's four bytes.
    bytes += code < 0x80 ? 1 : code < 0x800 || (code >= 0xd800 && code < 0xe000) ? 2 : 3;
  }
  return { bytes, lines };
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
