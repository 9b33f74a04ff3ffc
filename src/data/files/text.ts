/** Plain text and Markdown: a row a paragraph, or a row a window of whole lines. */
import type { RangeSource } from '../../formats/range_source.ts';
import { decodeText, tooLong, UnreadableError } from './decode.ts';
import { readLines } from './lines.ts';
import { type Found, READ_LIMITS, type ReadLimits, type RowFormat } from './table.ts';

export interface TextSplit {
  /** A paragraph ends at a blank line; a window holds as many whole lines as fit. */
  readonly by: 'paragraph' | 'window';
  /** Bytes of a window; a longer line is a window of its own. */
  readonly windowBytes: number;
}

export const TEXT_SPLIT: TextSplit = { by: 'paragraph', windowBytes: 4000 };

/** In Markdown a fenced block is not cut at its blank lines, and a heading stays with what follows it. */
export function textFormat(split: TextSplit, markdown: boolean, limits: ReadLimits = READ_LIMITS): RowFormat {
  return {
    find: (source) => find(source, split, markdown, limits),
    parse: (bytes, line) => ({
      text: decodeText(bytes, line === 1)
        .replaceAll('\r\n', '\n')
        .trimEnd(),
    }),
  };
}

async function* find(
  source: RangeSource,
  { by, windowBytes }: TextSplit,
  markdown: boolean,
  limits: ReadLimits,
): AsyncGenerator<Found> {
  /** The paragraph or window being read; none while `begin` is −1. */
  const open = { begin: -1, end: 0, line: 0 };
  let fenced = false;
  let heading = false;
  function* close(): Generator<Found> {
    const { begin, end, line } = open;
    if (begin < 0) return;
    open.begin = -1;
    if (end - begin <= limits.rowCap) yield { kind: 'row', begin, end, line };
    else yield problem(tooLong(end - begin, limits.rowCap, 'A paragraph'), line);
  }
  const problem = (error: UnreadableError, line: number): Found => ({
    kind: 'problem',
    problem: error.at(source.name, line),
  });
  for await (const line of readLines(source, limits)) {
    if (typeof line === 'number') {
      yield { kind: 'progress', bytes: line };
      continue;
    }
    let text: string;
    try {
      if (line.bytes === null) throw tooLong(line.end - line.begin, limits.rowCap, 'A line');
      text = decodeText(line.bytes, line.line === 1);
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error;
      yield* close();
      yield problem(error, line.line);
      continue;
    }
    const blank = text.trim() === '';
    if (markdown && /^ {0,3}(```|~~~)/.test(text)) fenced = !fenced;
    if (by === 'paragraph' && blank && !fenced && !heading) yield* close();
    if (by === 'window' && open.begin >= 0 && line.end - open.begin > windowBytes) yield* close();
    if (blank) continue;
    if (open.begin < 0) {
      open.begin = line.begin;
      open.line = line.line;
    }
    open.end = line.end;
    heading = markdown && !fenced && /^ {0,3}#{1,6}\s/.test(text);
  }
  yield* close();
}
