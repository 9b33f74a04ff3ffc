/**
 * JSON Lines, streamed: a file of any size is read in chunks and only one line is ever held, so a 2 GB file costs no
 * more memory than its longest line. What cannot be read is reported with its line number, never skipped in silence.
 */
import type { RangeSource } from '../formats/range_source.ts';

/** A line of the file: `line` counts from 1 and includes blank lines, as an editor shows it. */
export type JsonlItem =
  | { readonly kind: 'value'; readonly line: number; readonly value: unknown }
  | { readonly kind: 'problem'; readonly line: number; readonly reason: string };

export interface JsonlOptions {
  /** Bytes read at a time (1 MiB). */
  readonly chunkBytes?: number;
  /** Bytes of the longest line that is read at all (64 MiB); a longer one is a problem and is not held in memory. */
  readonly lineCap?: number;
  readonly signal?: AbortSignal;
  /** Called after each chunk with the bytes read so far. */
  readonly onProgress?: (bytesRead: number) => void;
}

const NEWLINE = 0x0a;
const MIB = 2 ** 20;

/**
 * Reads a JSON Lines file. Blank lines are passed over, a byte order mark and CRLF line ends are accepted. Values come
 * straight from `JSON.parse`, which makes a `__proto__` key an ordinary property; read fields with `Object.hasOwn`.
 */
export async function* readJsonl(source: RangeSource, options: JsonlOptions = {}): AsyncGenerator<JsonlItem> {
  const chunkBytes = options.chunkBytes ?? MIB;
  const lineCap = options.lineCap ?? 64 * MIB;
  let line = 1;
  let held: Uint8Array[] = [];
  let heldBytes = 0;

  // A line over the cap is counted on but no longer kept.
  const hold = (part: Uint8Array) => {
    heldBytes += part.length;
    if (heldBytes <= lineCap) held.push(part);
    else held = [];
  };
  const finish = (): JsonlItem | undefined => {
    const item =
      heldBytes > lineCap
        ? problem(line, `the line is longer than ${lineCap} bytes; put one example on each line`)
        : parseLine(join(held, heldBytes), line);
    line++;
    held = [];
    heldBytes = 0;
    return item;
  };

  for (let begin = 0; begin < source.size; begin += chunkBytes) {
    options.signal?.throwIfAborted();
    const end = Math.min(begin + chunkBytes, source.size);
    const chunk = await source.read(begin, end);
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      hold(chunk.subarray(from, at));
      from = at + 1;
      const item = finish();
      if (item) yield item;
    }
    // A copy, so that a short rest does not keep the whole chunk alive.
    if (from < chunk.length) hold(chunk.slice(from));
    options.onProgress?.(end);
  }
  if (heldBytes > 0) {
    const item = finish();
    if (item) yield item;
  }
}

function join(parts: readonly Uint8Array[], bytes: number): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function problem(line: number, reason: string): JsonlItem {
  return { kind: 'problem', line, reason };
}

function parseLine(bytes: Uint8Array, line: number): JsonlItem | undefined {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: line > 1 }).decode(bytes);
  } catch {
    return problem(line, badEncoding(bytes));
  }
  if (text.trim() === '') return undefined;
  try {
    return { kind: 'value', line, value: JSON.parse(text) };
  } catch (error) {
    return problem(line, badJson(text, line, error));
  }
}

function badEncoding(bytes: Uint8Array): string {
  const utf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
  return utf16
    ? 'the file is UTF-16, not UTF-8; save it again as UTF-8'
    : 'the line is not valid UTF-8; save the file again as UTF-8';
}

function badJson(text: string, line: number, error: unknown): string {
  const detail = error instanceof Error ? error.message : String(error);
  const hint =
    line === 1 && /^\s*\[\s*(\{|$)/.test(text)
      ? ' This looks like one JSON array; JSON Lines has one object on each line and no brackets around them.'
      : '';
  return `not valid JSON (${detail.slice(0, 200)}).${hint}`;
}
