import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonSyntaxError, type JsonValue, parseStrictJson } from './strict_json.ts';

/** To what JSON.parse would give, for values without duplicate keys. */
function plain(value: JsonValue): unknown {
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  }
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === 'bigint' ? Number(value) : value;
}

describe('parseStrictJson', () => {
  test('agrees with JSON.parse on everything JSON.stringify writes', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), fc.boolean(), (text, indent) => {
        const value: unknown = JSON.parse(text);
        const written = JSON.stringify(value, null, indent ? 2 : undefined);
        expect(plain(parseStrictJson(written))).toEqual(JSON.parse(written));
      }),
      { numRuns: 300 },
    );
  });

  test('accepts nothing that JSON.parse refuses, and fails only with JsonSyntaxError', () => {
    const jsonish = fc.array(fc.constantFrom(...'{}[]",:\\u0019eE+-.dtruefalsn \n\u0001\ufeff'.split('')), {
      maxLength: 24,
    });
    fc.assert(
      fc.property(jsonish, (characters) => {
        const text = characters.join('');
        try {
          parseStrictJson(text);
        } catch (error) {
          expect(error).toBeInstanceOf(JsonSyntaxError);
          return;
        }
        JSON.parse(text);
      }),
      { numRuns: 2_000 },
    );
  });

  test('keeps every digit of integers and tells them from other numbers', () => {
    expect(parseStrictJson('[9223372036854775808, 18446744073709551615, 0, -7]')).toEqual([
      9223372036854775808n,
      18446744073709551615n,
      0n,
      -7n,
    ]);
    expect(parseStrictJson('[1.0, 1e3, -0]')).toEqual([1, 1000, -0]);
    expect(parseStrictJson(`1${'0'.repeat(400)}`)).toBe(Number.POSITIVE_INFINITY);
  });

  test('keys that mean something to JavaScript are only keys', () => {
    const value = parseStrictJson('{"__proto__": {"a": 1}, "constructor": 2}');
    expect(value).toEqual(
      new Map<string, unknown>([
        ['__proto__', new Map([['a', 1n]])],
        ['constructor', 2n],
      ]),
    );
  });

  test('reads escapes', () => {
    expect(parseStrictJson(String.raw`"\"\\\/\b\f\n\r\té😀"`)).toBe('"\\/\b\f\n\r\té😀');
  });

  test.each([
    ['duplicate key', '{"a": 1, "b": 2, "a": 3}', /"a" stands twice/],
    ['duplicate key, one escaped', String.raw`{"a": 1, "\u0061": 3}`, /"a" stands twice/],
    ['duplicate __proto__', '{"__proto__": 1, "__proto__": 2}', /twice/],
    ['nested duplicate', '{"a": {"b": 1, "b": 1}}', /"b" stands twice/],
    ['trailing comma', '[1,]', /expected a value/],
    ['trailing text', '{} x', /something follows/],
    ['empty', '', /ends too early/],
    ['leading zero', '01', /something follows/],
    ['NaN', 'NaN', /expected a value/],
    ['single quotes', "{'a': 1}", /double quotes/],
    ['raw newline in a string', '"a\nb"', /control character/],
    ['open string', '"abc', /not closed/],
    ['unknown escape', String.raw`"\x41"`, /unknown escape/],
    ['short \\u', String.raw`"\u12"`, /four hexadecimal/],
    ['half a surrogate pair', String.raw`"\ud83d"`, /surrogate/],
    ['missing colon', '{"a" 1}', /expected ":"/],
    ['missing comma', '[1 2]', /expected ","/],
  ])('refuses: %s', (_, text, message) => {
    expect(() => parseStrictJson(text)).toThrow(JsonSyntaxError);
    expect(() => parseStrictJson(text)).toThrow(message);
  });

  test('refuses 10^5 levels, accepts 100', () => {
    expect(() => parseStrictJson('['.repeat(100_000))).toThrow(/nested/);
    expect(() => parseStrictJson('{"a":'.repeat(100_000))).toThrow(/nested/);
    expect(parseStrictJson('['.repeat(100) + ']'.repeat(100))).toBeInstanceOf(Array);
  });
});
