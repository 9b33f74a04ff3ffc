/**
 * A strict JSON reader for files that come from strangers. `JSON.parse` keeps the last of two equal keys in silence and
 * rounds large integers; here duplicate keys are refused, integers keep every digit, and objects become Maps, so that
 * a key such as `__proto__` is only a key. Grammar: RFC 8259; unpaired surrogates are refused, as serde_json does.
 */

/** Integer literals (no fraction, no exponent, at most 20 digits) are bigint, every other number is a float64. */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;
export type JsonObject = Map<string, JsonValue>;

export class JsonSyntaxError extends Error {
  override name = 'JsonSyntaxError';
}

/** serde_json's recursion limit: deep enough for any real file, shallow enough for the stack. */
const MAX_DEPTH = 128;
/** u64 needs 20 digits. A longer literal is no count of anything, and BigInt of a million digits is slow. */
const MAX_INTEGER_DIGITS = 20;

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
/** Characters that may stand in a string as they are; the rest need a look. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids raw control characters in strings
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const HEX4 = /[0-9a-fA-F]{4}/y;
const ESCAPES = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
]);

/** False for a text with an unpaired surrogate, which has no UTF-8 form. */
export function isUnicode(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

/** Parses the whole text as one JSON value. Throws {@link JsonSyntaxError} with the character position. */
export function parseStrictJson(text: string): JsonValue {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.end();
  return value;
}

class Parser {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) this.fail(`values are nested more than ${MAX_DEPTH} deep`);
    this.skipSpace();
    const first = this.text[this.at];
    switch (first) {
      case '{':
        return this.object(depth);
      case '[':
        return this.array(depth);
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      default:
        return this.number();
    }
  }

  end(): void {
    this.skipSpace();
    if (this.at < this.text.length) this.fail('something follows the value');
  }

  private object(depth: number): JsonObject {
    const members: JsonObject = new Map();
    this.at += 1;
    if (this.closes('}')) return members;
    for (;;) {
      this.skipSpace();
      if (this.text[this.at] !== '"') this.fail('expected a key in double quotes');
      const key = this.string();
      if (members.has(key)) this.fail(`the key ${JSON.stringify(key.slice(0, 200))} stands twice in one object`);
      this.skipSpace();
      if (this.text[this.at] !== ':') this.fail('expected ":"');
      this.at += 1;
      members.set(key, this.value(depth + 1));
      if (this.closes('}')) return members;
      this.comma();
    }
  }

  private array(depth: number): JsonValue[] {
    const items: JsonValue[] = [];
    this.at += 1;
    if (this.closes(']')) return items;
    for (;;) {
      items.push(this.value(depth + 1));
      if (this.closes(']')) return items;
      this.comma();
    }
  }

  private string(): string {
    this.at += 1;
    let result = this.plain();
    while (this.text[this.at] !== '"') {
      if (this.text[this.at] !== '\\') this.fail('a string is not closed, or holds a raw control character');
      this.at += 1;
      result += this.escape() + this.plain();
    }
    this.at += 1;
    // Only \u escapes can bring one in: the text itself was decoded from UTF-8.
    if (!isUnicode(result)) this.fail('a string holds half of a surrogate pair');
    return result;
  }

  private escape(): string {
    const letter = this.text[this.at] ?? '';
    this.at += 1;
    if (letter === 'u') {
      const code = this.match(HEX4);
      if (code === null) this.fail('\\u needs four hexadecimal digits');
      return String.fromCharCode(Number.parseInt(code, 16));
    }
    const character = ESCAPES.get(letter);
    if (character === undefined) this.fail('unknown escape in a string');
    return character;
  }

  private plain(): string {
    return this.match(PLAIN) ?? '';
  }

  private number(): number | bigint {
    const start = this.at;
    const literal = this.match(NUMBER);
    if (literal === null) this.fail(start < this.text.length ? 'expected a value' : 'the text ends too early');
    const isInteger = /^-?[0-9]+$/.test(literal) && literal.length <= MAX_INTEGER_DIGITS;
    // -0 is a float in JSON readers; as an integer it would silently become 0.
    return isInteger && literal !== '-0' ? BigInt(literal) : Number(literal);
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) this.fail('expected a value');
    this.at += word.length;
    return value;
  }

  private closes(bracket: string): boolean {
    this.skipSpace();
    if (this.text[this.at] !== bracket) return false;
    this.at += 1;
    return true;
  }

  private comma(): void {
    if (this.text[this.at] !== ',') this.fail('expected "," or a closing bracket');
    this.at += 1;
  }

  private skipSpace(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.at += 1;
    }
  }

  private match(pattern: RegExp): string | null {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found === null) return null;
    this.at = pattern.lastIndex;
    return found[0];
  }

  private fail(problem: string): never {
    throw new JsonSyntaxError(`${problem} (at character ${this.at})`);
  }
}
