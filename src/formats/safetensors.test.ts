import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NotAModelFileError, readSafetensorsHeader, SafetensorsError } from './safetensors.ts';
import { memorySource, rawSafetensors } from './testing.ts';

const read = (bytes: Uint8Array) => readSafetensorsHeader(memorySource('m.safetensors', bytes));
const text = (content: string) => new TextEncoder().encode(content);
const entry = (dtype: string, shape: unknown, data_offsets: unknown) => ({ dtype, shape, data_offsets });

async function refusal(bytes: Uint8Array): Promise<SafetensorsError> {
  const error: unknown = await read(bytes).then(
    () => 'accepted',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SafetensorsError);
  return error as SafetensorsError;
}

describe('readSafetensorsHeader accepts', () => {
  test('tensors in any order of the header, with absolute offsets', async () => {
    const header = {
      __metadata__: { format: 'pt' },
      b: entry('F16', [2, 3], [4, 16]),
      a: entry('F32', [1], [0, 4]),
    };
    const bytes = rawSafetensors(header, 16);
    const file = await read(bytes);
    const dataBegin = bytes.length - 16;
    expect([...file.metadata]).toEqual([['format', 'pt']]);
    expect([...file.tensors.values()]).toEqual([
      { name: 'a', dtype: 'F32', shape: [1], begin: dataBegin, end: dataBegin + 4 },
      { name: 'b', dtype: 'F16', shape: [2, 3], begin: dataBegin + 4, end: dataBegin + 16 },
    ]);
  });

  test('no tensors, zero-size tensors, scalars, padding after the header', async () => {
    expect((await read(rawSafetensors('{}      ', 0))).tensors.size).toBe(0);
    const header = {
      empty: entry('F32', [0, 5], [4, 4]),
      scalar: entry('F32', [], [0, 4]),
      none: entry('U8', [0], [0, 0]),
    };
    const { tensors } = await read(rawSafetensors(`${JSON.stringify(header)} \n `, 4));
    expect(tensors.get('scalar')?.shape).toEqual([]);
    expect(tensors.get('empty')?.shape).toEqual([0, 5]);
    expect(tensors.size).toBe(3);
  });

  test.each([
    ['BOOL', 8],
    ['F4', 4],
    ['F6_E2M3', 6],
    ['F6_E3M2', 6],
    ['U8', 8],
    ['I8', 8],
    ['F8_E5M2', 8],
    ['F8_E4M3', 8],
    ['F8_E8M0', 8],
    ['F8_E4M3FNUZ', 8],
    ['F8_E5M2FNUZ', 8],
    ['I16', 16],
    ['U16', 16],
    ['F16', 16],
    ['BF16', 16],
    ['I32', 32],
    ['U32', 32],
    ['F32', 32],
    ['C64', 64],
    ['F64', 64],
    ['I64', 64],
    ['U64', 64],
  ])('%s of %d bits', async (dtype, bits) => {
    const header = { t: entry(dtype, [4, 2], [0, bits]) };
    expect((await read(rawSafetensors(header, bits))).tensors.get('t')?.dtype).toBe(dtype);
    expect((await refusal(rawSafetensors({ t: entry(dtype, [4, 2], [0, bits + 1]) }, bits + 1))).message).toMatch(
      /takes \d+ bytes/,
    );
  });

  test('names that mean something to JavaScript', async () => {
    const header =
      '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},' +
      '"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}';
    const { tensors } = await read(rawSafetensors(header, 2));
    expect([...tensors.keys()]).toEqual(['__proto__', 'constructor']);
    expect(Object.hasOwn(Object.prototype, 'dtype')).toBe(false);
  });

  test('reads only the header', async () => {
    const source = memorySource('m', rawSafetensors({ t: entry('U8', [100_000], [0, 100_000]) }, 100_000));
    const file = await readSafetensorsHeader(source);
    const dataBegin = file.tensors.get('t')?.begin ?? 0;
    expect(source.reads.every(([, end]) => end <= Math.max(dataBegin, 64))).toBe(true);
  });
});

describe('readSafetensorsHeader refuses', () => {
  const good = entry('F32', [2], [0, 8]);
  const dtypeKeyTwice = '{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
  const nameTwice =
    '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}';

  test.each<[string, Uint8Array, RegExp]>([
    ['a header past the end', rawSafetensors({ a: good }, 8, 10_000n), /past the end/],
    ['bytes missing at the end', rawSafetensors({ a: good }, 7), /1 bytes are missing/],
    ['bytes after the last tensor', rawSafetensors({ a: good }, 9), /1 bytes follow the last/],
    ['bytes after no tensor', rawSafetensors({}, 1), /1 bytes follow/],
    ['a hole', rawSafetensors({ a: good, b: entry('F32', [1], [12, 16]) }, 16), /"b".*hole/],
    ['a hole at the start', rawSafetensors({ a: entry('F32', [2], [8, 16]) }, 16), /hole/],
    ['an overlap', rawSafetensors({ a: good, b: entry('F32', [2], [4, 12]) }, 12), /overlaps/],
    [
      'ten tensors on one range',
      rawSafetensors(Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`t${i}`, good])), 8),
      /overlaps/,
    ],
    ['an end before the begin', rawSafetensors({ a: entry('F32', [0], [8, 0]) }, 8), /ends \(0\) before it begins/],
    [
      'shape [2, 2^63]',
      rawSafetensors('{"a":{"dtype":"U8","shape":[2,9223372036854775808],"data_offsets":[0,0]}}', 0),
      /overflow/,
    ],
    [
      'dimensions whose product wraps to 0',
      rawSafetensors({ a: entry('F32', Array(4).fill(65536), [0, 0]) }, 0),
      /overflow/,
    ],
    ['overflow beside a zero', rawSafetensors({ a: entry('F32', [2 ** 31, 2 ** 31, 0], [0, 0]) }, 0), /overflow/],
    ['dimension 2^32', rawSafetensors({ a: entry('F32', [0, 2 ** 32], [0, 0]) }, 0), /overflow/],
    [
      'offsets past 2^53',
      rawSafetensors('{"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551614,18446744073709551615]}}', 1),
      /overflow/,
    ],
    [
      'a shape that does not match its data',
      rawSafetensors({ a: entry('F32', [3], [0, 8]) }, 8),
      /takes 12 bytes.*has 8/,
    ],
    ['F4 with half a byte', rawSafetensors({ a: entry('F4', [3], [0, 1]) }, 1), /whole bytes/],
    ['F6 with part of a byte', rawSafetensors({ a: entry('F6_E2M3', [5], [0, 4]) }, 4), /whole bytes/],
    ['an unknown dtype', rawSafetensors({ a: entry('I4', [2], [0, 1]) }, 1), /unknown dtype "I4"/],
    ['a dtype of Object', rawSafetensors({ a: entry('toString', [2], [0, 1]) }, 1), /unknown dtype/],
    ['no dtype', rawSafetensors({ a: { shape: [1], data_offsets: [0, 1] } }, 1), /unknown dtype/],
    ['a negative dimension', rawSafetensors({ a: entry('U8', [-1], [0, 1]) }, 1), /shape is not a list/],
    ['a fractional dimension', rawSafetensors({ a: entry('U8', [1.5], [0, 1]) }, 1), /shape is not a list/],
    ['a dimension as text', rawSafetensors({ a: entry('U8', ['1'], [0, 1]) }, 1), /shape is not a list/],
    ['three offsets', rawSafetensors({ a: entry('U8', [1], [0, 1, 1]) }, 1), /data_offsets is not a pair/],
    ['no offsets', rawSafetensors({ a: { dtype: 'U8', shape: [1] } }, 1), /data_offsets is not a pair/],
    ['an entry that is a list', rawSafetensors({ a: [] }, 0), /entry is not an object/],
    ['a tensor name twice', rawSafetensors(nameTwice, 2), /"a" stands twice/],
    ['a key of an entry twice', rawSafetensors(dtypeKeyTwice, 1), /"dtype" stands twice/],
    ['metadata twice', rawSafetensors('{"__metadata__":{},"__metadata__":{}}', 0), /twice/],
    ['metadata that is a number', rawSafetensors({ __metadata__: { n: 1 } }, 0), /not a string, for the key "n"/],
    ['metadata that is nested', rawSafetensors({ __metadata__: { n: { a: 'b' } } }, 0), /not a string/],
    ['metadata that is a list', rawSafetensors({ __metadata__: ['a'] }, 0), /__metadata__ is not an object/],
    ['a header that is a list', rawSafetensors('[]', 0), /does not begin with "{"/],
    ['a space before the header', rawSafetensors(' {}', 0), /does not begin with "{"/],
    ['a byte order mark', rawSafetensors('\ufeff{}', 0), /does not begin with "{"/],
    ['an empty header', rawSafetensors('', 0), /does not begin with "{"/],
    ['a header cut short', rawSafetensors('{"a":', 0), /bad header/],
    ['10^5 levels', rawSafetensors(`{"a":${'['.repeat(100_000)}`, 0), /nested/],
  ])('%s', async (_, bytes, message) => {
    const error = await refusal(bytes);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^m\.safetensors: .*\. .*download it again\.$/s);
  });

  test('a header that is not UTF-8', async () => {
    const bytes = rawSafetensors('{"??":1}', 0);
    bytes[10] = 0xff;
    expect((await refusal(bytes)).message).toMatch(/not UTF-8/);
  });

  test.each<[bigint, RegExp]>([
    [2n ** 64n - 1n, /18446744073709551615 bytes; the format allows 100000000/],
    [2n ** 63n, /the format allows/],
    [100_000_001n, /the format allows/],
    [100_000_000n, /at most 25000000/],
    [25_000_001n, /at most 25000000/],
    [25_000_000n, /past the end/],
  ])('a header of %s bytes, before reading it', async (length, message) => {
    const source = { ...memorySource('m', rawSafetensors('{}', 0, length)), size: Number(length) };
    const reads: number[] = [];
    const watched = {
      ...source,
      read: async (begin: number, end: number) => {
        reads.push(end - begin);
        return new Uint8Array(rawSafetensors('{}', 64, length).subarray(begin, end));
      },
    };
    await expect(readSafetensorsHeader(watched)).rejects.toThrow(message);
    expect(Math.max(...reads)).toBeLessThanOrEqual(64);
  });

  test.each([0, 1, 7])('a file of %d bytes', async (size) => {
    const error = await refusal(new Uint8Array(size));
    expect(error).toBeInstanceOf(NotAModelFileError);
    expect(error.message).toMatch(/not a model file/);
  });

  test.each([
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n',
      /Git LFS pointer.*git lfs pull/,
    ],
    ['HTML', '<!DOCTYPE html><html><body>Sign in</body></html>', /web page.*address/],
    ['HTML after spaces', ' \n <html lang="en"><head></head></html>', /web page/],
    ['an error message', '{"error":"Invalid credentials"}', /text file/],
    ['GGUF', 'GGUF\u0003\u0000\u0000\u0000\u0001\u0000\u0000', /GGUF/],
    ['a pickle in a zip', 'PK\u0003\u0004\u0000\u0000\b\b\u0000\u0000', /zip/],
  ])('%s: not a model file', async (_, content, message) => {
    const error = await refusal(text(content));
    expect(error).toBeInstanceOf(NotAModelFileError);
    expect(error.name).toBe('NotAModelFileError');
    expect(error.message).toMatch(/not a model file/);
    expect(error.message).toMatch(message);
  });

  test('and lets a failure to read through as it is', async () => {
    const broken = { ...memorySource('m', rawSafetensors({}, 0)), read: () => Promise.reject(new Error('offline')) };
    await expect(readSafetensorsHeader(broken)).rejects.toThrow('offline');
  });
});

describe('readSafetensorsHeader on hostile bytes', () => {
  const onlySafetensorsError = async (bytes: Uint8Array) => {
    try {
      await read(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(SafetensorsError);
    }
  };

  test('arbitrary bytes', async () => {
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), onlySafetensorsError), { numRuns: 300 });
  });

  test('arbitrary JSON as the header', async () => {
    const header = fc.oneof(
      fc.json(),
      fc
        .dictionary(
          fc.string(),
          fc.record(
            {
              dtype: fc.constantFrom('F32', 'F4', 'X'),
              shape: fc.array(fc.nat(4)),
              data_offsets: fc.array(fc.nat(20), { maxLength: 3 }),
            },
            { requiredKeys: [] },
          ),
        )
        .map((value) => JSON.stringify(value)),
    );
    await fc.assert(
      fc.asyncProperty(header, fc.nat(32), (json, data) => onlySafetensorsError(rawSafetensors(json, data))),
      { numRuns: 300 },
    );
  });

  test('one changed byte of a good file: refused, or still covering the file exactly', async () => {
    const bytes = rawSafetensors(
      { __metadata__: { format: 'pt' }, a: good2([2, 3], 0, 24), b: good2([4], 24, 40) },
      40,
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(255), async (at, value) => {
        const changed = bytes.slice();
        changed[at] = value;
        try {
          const { tensors } = await read(changed);
          const last = [...tensors.values()].at(-1);
          expect(last?.end ?? changed.length).toBe(changed.length);
        } catch (error) {
          expect(error).toBeInstanceOf(SafetensorsError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

function good2(shape: number[], begin: number, end: number) {
  return entry('F32', shape, [begin, end]);
}
