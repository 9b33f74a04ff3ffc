/**
 * Finds the elements of the lists in a JSON text of any size: brackets are counted, strings passed over, and only one
 * element is held and parsed at a time. Rows are the elements of a list at the top, or of an object's lists.
 */
import { decodeText, parseJson, tooLong, UnreadableError } from './decode.ts';

export interface JsonElement {
  /** The field whose list this is an element of; null for a list at the top. */
  readonly column: string | null;
  /** Bytes [begin, end) of the file. */
  readonly begin: number;
  readonly end: number;
  readonly line: number;
  /** Parsed; undefined where `error` says why it cannot be. */
  readonly value: unknown;
  readonly error: UnreadableError | undefined;
}

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const isSpace = (byte: number) => byte === 0x20 || byte === NEWLINE || byte === 0x0d || byte === 0x09;

export class JsonScanner {
  /** What the text is, once its first character was seen. */
  top: 'list' | 'object' | 'other' | undefined;
  /** Whether the text came to its end. */
  closed = false;
  /** The line at which something follows that end. */
  trailing: number | undefined;
  line = 1;

  readonly #cap: number;
  #offset = 0;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** The last string at depth 1, which a colon makes a key. */
  #key = '';
  #keyBegin = -1;
  /** The field whose list is being read; its elements lie at depth 2. */
  #column: string | null = null;
  #afterColon = false;
  /** Of the element being read. */
  #begin = -1;
  #beginLine = 0;
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  /** `cap`: bytes of the longest element that is parsed. */
  constructor(cap: number) {
    this.#cap = cap;
  }

  /** The elements that end in this chunk, the next of the file. */
  *push(chunk: Uint8Array): Generator<JsonElement> {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === NEWLINE) this.line++;
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) {
          this.#inString = false;
          if (this.#keyBegin >= 0) {
            this.#hold(chunk.subarray(from, at + 1));
            this.#key = this.#takeKey();
          }
        }
        continue;
      }
      if (isSpace(byte)) continue;
      if (this.closed) {
        this.trailing ??= this.line;
        return;
      }
      if (this.top === undefined) {
        if (this.#offset + at < 3 && (byte === 0xef || byte === 0xbb || byte === 0xbf)) continue;
        this.top = byte === OPEN_LIST ? 'list' : byte === OPEN_OBJECT ? 'object' : 'other';
        if (this.top === 'other') return;
        this.#depth = 1;
        continue;
      }
      const inList = this.#depth === this.#listDepth;
      if (byte === COMMA || byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
        if (inList && this.#begin >= 0) {
          this.#hold(chunk.subarray(from, at));
          yield this.#element(this.#offset + at);
        }
        if (byte === COMMA) {
          this.#afterColon &&= this.#depth !== 1;
          continue;
        }
        this.#depth--;
        if (this.#depth === 1) this.#column = null;
        if (this.#depth === 0) this.closed = true;
        continue;
      }
      if (this.#depth === 1 && this.top === 'object') {
        if (byte === COLON) {
          this.#afterColon = true;
          continue;
        }
        if (byte === QUOTE && !this.#afterColon) {
          this.#keyBegin = this.#offset + at;
          from = at;
        }
        if (byte === OPEN_LIST && this.#afterColon) this.#column = this.#key;
      } else if (inList && this.#begin < 0) {
        this.#begin = this.#offset + at;
        this.#beginLine = this.line;
        from = at;
      }
      if (byte === QUOTE) this.#inString = true;
      else if (byte === OPEN_LIST || byte === OPEN_OBJECT) this.#depth++;
    }
    // A copy, so that a short rest does not keep the whole chunk alive.
    if (this.#begin >= 0 || this.#keyBegin >= 0) this.#hold(chunk.slice(from));
    this.#offset += chunk.length;
  }

  /** At which depth the elements of the list being read lie; −1 outside of one. */
  get #listDepth(): number {
    if (this.top === 'list') return 1;
    return this.#column === null ? -1 : 2;
  }

  #hold(part: Uint8Array): void {
    this.#heldBytes += part.length;
    if (this.#heldBytes <= this.#cap) this.#held.push(part);
    else this.#held = [];
  }

  #takeHeld(): Uint8Array {
    if (this.#heldBytes > this.#cap) throw tooLong(this.#heldBytes, this.#cap, 'An element');
    const whole = new Uint8Array(this.#heldBytes);
    let at = 0;
    for (const part of this.#held) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  #reset(): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.#begin = -1;
    this.#keyBegin = -1;
  }

  #takeKey(): string {
    try {
      return String(parseJson(decodeText(this.#takeHeld(), false)));
    } catch {
      return '';
    } finally {
      this.#reset();
    }
  }

  #element(end: number): JsonElement {
    let value: unknown;
    let error: UnreadableError | undefined;
    try {
      value = parseJson(decodeText(this.#takeHeld(), false));
    } catch (thrown) {
      if (!(thrown instanceof UnreadableError)) throw thrown;
      error = thrown;
    }
    const element = { column: this.#column, begin: this.#begin, end, line: this.#beginLine, value, error };
    this.#reset();
    return element;
  }
}
