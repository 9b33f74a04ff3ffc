/** Lines of a file of any size: read in chunks, only one line held at a time. */
import type { RangeSource } from '../../formats/range_source.ts';
import type { ReadLimits } from './table.ts';

export interface Line {
  /** From 1, blank lines included, as an editor counts. */
  readonly line: number;
  /** Byte range in the file, without the line feed. */
  readonly begin: number;
  readonly end: number;
  /** Null for a line longer than the cap, which was passed over without being held. */
  readonly bytes: Uint8Array | null;
}

const NEWLINE = 0x0a;

/** After each chunk a number: the bytes read so far. */
export async function* readLines(
  source: RangeSource,
  { chunkBytes, rowCap }: ReadLimits,
): AsyncGenerator<Line | number> {
  let line = 1;
  let begin = 0;
  let held: Uint8Array[] = [];
  let heldBytes = 0;

  const hold = (part: Uint8Array) => {
    heldBytes += part.length;
    if (heldBytes <= rowCap) held.push(part);
    else held = [];
  };
  const finish = (end: number): Line => {
    const finished = { line, begin, end, bytes: heldBytes > rowCap ? null : join(held, heldBytes) };
    line++;
    begin = end + 1;
    held = [];
    heldBytes = 0;
    return finished;
  };

  for (let at = 0; at < source.size; at += chunkBytes) {
    const end = Math.min(at + chunkBytes, source.size);
    const chunk = await source.read(at, end);
    let from = 0;
    for (let newline = chunk.indexOf(NEWLINE); newline !== -1; newline = chunk.indexOf(NEWLINE, from)) {
      hold(chunk.subarray(from, newline));
      from = newline + 1;
      yield finish(at + newline);
    }
    // A copy, so that a short rest does not keep the whole chunk alive.
    if (from < chunk.length) hold(chunk.slice(from));
    yield end;
  }
  if (heldBytes > 0) yield finish(source.size);
}

function join(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  if (parts.length === 1) return parts[0];
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
