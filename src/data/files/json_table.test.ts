import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf, readFile } from '../fixtures/testing.ts';
import { DataFileError } from './problem.ts';

const read = (content: string | Uint8Array, limits?: { chunkBytes?: number; rowCap?: number }) =>
  readFile(content, 'data.json', limits);

describe('JSON', () => {
  it('reads a list of rows with their lines, whatever the chunks', async () => {
    const text = '\ufeff[\n {"a": "x]},\\"\\\\", "b": [1, {"c": "é😀"}]},\r\n\n {"a": "y"} , {"a": 1}\n]\n';
    for (const chunkBytes of [1, 2, 3, 7, 1000]) {
      expect(await read(text, { chunkBytes })).toEqual({
        rows: [
          [2, { a: 'x]},"\\', b: [1, { c: 'é😀' }] }],
          [4, { a: 'y' }],
          [4, { a: 1 }],
        ],
        problems: [],
      });
    }
  });

  it('reads an object of lists, a list a column', async () => {
    const text = '{"name": "set", "text": ["a", "b"], "n": [1, {"deep": [2]}], "info": {"x": [3, 4, 5]}}';
    for (const chunkBytes of [1, 5, 1000]) {
      expect(await read(text, { chunkBytes })).toEqual({
        rows: [
          [1, { text: 'a', n: 1 }],
          [1, { text: 'b', n: { deep: [2] } }],
        ],
        problems: [],
      });
    }
  });

  it('finds the rows in an object with one list of them', async () => {
    expect((await read('{"version": 2,\n"data": [{"a": 1},\n{"a": 2}]}')).rows).toEqual([
      [2, { a: 1 }],
      [3, { a: 2 }],
    ]);
  });

  it('takes an object without lists as one row, and many objects as JSON Lines', async () => {
    expect((await read('{"text":\n"a"}')).rows).toEqual([[1, { text: 'a' }]]);
    expect((await read('{"text": "a"}\n{"text": "b"}\n')).rows).toHaveLength(2);
    expect((await readFile('[\n{"text": "a"},\n{"text": "b"}]', 'data.jsonl')).rows).toHaveLength(2);
  });

  it('names a bad element by its line, and keeps the others', async () => {
    const { rows, problems } = await read('[{"a": 1},\n{"a": nope},\n{"a": 3}]');
    expect(rows.map(([line]) => line)).toEqual([1, 3]);
    expect(problems).toMatchObject([{ line: 2, kind: 'syntax' }]);
  });

  it('says that a file was cut off, and keeps what is whole', async () => {
    const { rows, problems } = await read('[{"a": 1},\n{"a": "tw');
    expect(rows).toEqual([[1, { a: 1 }]]);
    expect(problems).toMatchObject([{ line: 2, kind: 'syntax', reason: expect.stringContaining('cut off') }]);
    expect((await read('[{"a": 1}]\n[{"a": 2}]')).problems).toMatchObject([{ line: 2 }]);
    expect((await read('[{"a": 1},\n{"a": "tw"}]')).problems).toEqual([]);
  });

  it('passes over an element that is too long, and one that is too deep', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    const { rows, problems } = await read(`[1, "${'x'.repeat(300_000)}",\n${deep}, 4]`, { rowCap: 250_000 });
    expect(rows.map(([, value]) => value)).toEqual([1, 4]);
    expect(problems.map(({ line, kind }) => [line, kind])).toEqual([
      [1, 'too-long'],
      [2, 'too-deep'],
    ]);
  });

  it('refuses lists of different lengths, and what holds no rows', async () => {
    await expect(read('{"a": [1, 2], "b": [1]}')).rejects.toThrow(DataFileError);
    await expect(read('{"a": [1, 2], "b": [1]}')).rejects.toThrow('a has 2 elements, b has 1');
    await expect(read('"hello"')).rejects.toThrow('one value');
    await expect(read('{"a": [1, 2], "b": [1, 3]}')).resolves.toBeDefined();
  });

  it('ends any bytes in rows, problems or one error, whatever the chunks', async () => {
    const piece = fc.oneof(
      fc.constantFrom(
        ...['[', ']', '{', '}', ',', '"a":', '"', '\\', '\n', '1', '{"a":1}', 'é'].map((t) => bytesOf(t)),
      ),
      fc.uint8Array({ maxLength: 3 }),
      fc.json().map((text) => bytesOf(text)),
    );
    const settle = (content: Uint8Array, chunkBytes: number) =>
      read(content, { chunkBytes, rowCap: 40 }).catch((error: unknown) => {
        expect(error).toBeInstanceOf(DataFileError);
        return String(error);
      });
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 12 }),
        fc.integer({ min: 1, max: 9 }),
        async (parts, chunkBytes) => {
          const content = bytesOf('[', ...parts.map((part) => [...part]));
          expect(await settle(content, chunkBytes)).toEqual(await settle(content, 1000));
        },
      ),
      { numRuns: 300 },
    );
  });
});
