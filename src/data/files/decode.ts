/** Bytes → text and JSON, with the reason where they are none. */
import type { Problem, ProblemKind } from './problem.ts';

/** Levels of lists and objects; a row has no use for more, and what handles it later may recurse. */
const DEPTH_CAP = 64;

/** A row that cannot be read; becomes a {@link Problem} where file and line are known. */
export class UnreadableError extends Error {
  readonly kind: ProblemKind;
  constructor(kind: ProblemKind, message: string) {
    super(message);
    this.kind = kind;
  }

  at(file: string, line: number): Problem {
    return { file, line, field: '', kind: this.kind, reason: this.message };
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A byte order mark is dropped where `atStart`. */
export function decodeText(bytes: Uint8Array, atStart: boolean): string {
  try {
    const text = decoder.decode(bytes);
    return atStart && text.startsWith('\ufeff') ? text.slice(1) : text;
  } catch {
    throw new UnreadableError('encoding', BAD_ENCODING);
  }
}

export const BAD_ENCODING = 'Not valid UTF-8. Save the file again as UTF-8.';

/** Values come straight from `JSON.parse`, which makes a `__proto__` key an ordinary property. */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new UnreadableError('syntax', `Not valid JSON (${detail.slice(0, 200)}).`);
  }
  if (isDeeper(value, DEPTH_CAP)) {
    throw new UnreadableError('too-deep', `Lists and objects lie in each other more than ${DEPTH_CAP} deep.`);
  }
  return value;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  return Object.values(value).some((inner) => isDeeper(inner, levels - 1));
}

export const mebibytes = (bytes: number): string =>
  bytes >= 2 ** 20 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${bytes} bytes`;

export function tooLong(bytes: number, cap: number, what: string): UnreadableError {
  return new UnreadableError(
    'too-long',
    `${what} of ${mebibytes(bytes)} is longer than ${mebibytes(cap)}. Put one example on each line, or cut it up.`,
  );
}
