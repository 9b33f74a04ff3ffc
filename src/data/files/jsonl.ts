/** JSON Lines: a row a line. Blank lines are passed over, a byte order mark and CRLF line ends are accepted. */
import type { RangeSource } from '../../formats/range_source.ts';
import { decodeText, parseJson, tooLong, UnreadableError } from './decode.ts';
import { readLines } from './lines.ts';
import { type Found, READ_LIMITS, type ReadLimits, type RowFormat } from './table.ts';

export function jsonlFormat(limits: ReadLimits = READ_LIMITS): RowFormat {
  return { find: (source) => find(source, limits), parse: (bytes, line) => parseLine(bytes, line) };
}

async function* find(source: RangeSource, limits: ReadLimits): AsyncGenerator<Found> {
  for await (const line of readLines(source, limits)) {
    if (typeof line === 'number') {
      yield { kind: 'progress', bytes: line };
      continue;
    }
    try {
      if (line.bytes === null) throw tooLong(line.end - line.begin, limits.rowCap, 'A line');
      if (parseLine(line.bytes, line.line) === undefined) continue;
      yield { kind: 'row', begin: line.begin, end: line.end, line: line.line };
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      yield { kind: 'problem', problem: error.at(source.name, line.line) };
    }
  }
}

/** Undefined for a blank line. */
function parseLine(bytes: Uint8Array, line: number): unknown {
  const text = decodeText(bytes, line === 1);
  return text.trim() === '' ? undefined : parseJson(text);
}
