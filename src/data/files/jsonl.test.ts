import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf, readFile, readRows } from '../fixtures/testing.ts';

const read = (content: string | Uint8Array, limits?: { chunkBytes?: number; rowCap?: number }) =>
  readFile(content, 'data.jsonl', limits);

describe('JSON Lines', () => {
  it('reads values with their lines, whatever the chunks', async () => {
    const text = '{"a":1}\n\n{"b":"é😀"}\r\n  \n{"c":2}';
    for (const chunkBytes of [1, 2, 3, 7, 1000]) {
      expect(await read(text, { chunkBytes })).toEqual({
        rows: [
          [1, { a: 1 }],
          [3, { b: 'é😀' }],
          [5, { c: 2 }],
        ],
        problems: [],
      });
    }
  });

  it('reads nothing from an empty file, and takes a last line with or without its end', async () => {
    expect((await read('')).rows).toEqual([]);
    expect((await read('\n\r\n ')).rows).toEqual([]);
    expect(await read('1')).toEqual(await read('1\n'));
  });

  it('accepts a byte order mark at the beginning only', async () => {
    expect((await read('\ufeff{"a":1}\n')).rows).toEqual([[1, { a: 1 }]]);
    expect((await read('1\n\ufeff2\n')).problems).toMatchObject([{ line: 2, kind: 'syntax' }]);
  });

  it('reports bad UTF-8 with its line and goes on', async () => {
    const { rows, problems } = await read(bytesOf('1\n"', [0xc3, 0x28], '"\n3\n'));
    expect(rows).toEqual([
      [1, 1],
      [3, 3],
    ]);
    expect(problems).toMatchObject([{ file: 'data.jsonl', line: 2, kind: 'encoding' }]);
    expect((await read('1\n"é("\n3\n')).problems).toEqual([]);
  });

  it('reports bad JSON with its line', async () => {
    const { rows, problems } = await read('{"a":1}\n{"a":}\n{"a":NaN}\n');
    expect(rows).toHaveLength(1);
    expect(problems.map(({ line, kind }) => [line, kind])).toEqual([
      [2, 'syntax'],
      [3, 'syntax'],
    ]);
  });

  it('caps a line without holding it, and reads the next', async () => {
    const long = `"${'x'.repeat(100)}"`;
    const { rows, problems } = await read(`1\n${long}\n3\n${long}`, { rowCap: 50, chunkBytes: 16 });
    expect(rows).toEqual([
      [1, 1],
      [3, 3],
    ]);
    expect(problems.map(({ line, kind }) => [line, kind])).toEqual([
      [2, 'too-long'],
      [4, 'too-long'],
    ]);
    expect((await read(`${long}\n`, { rowCap: 102 })).problems).toEqual([]);
  });

  it('passes over a line of 600 MB among 2 GB: no more than a chunk is asked for, and the line is named', async () => {
    const row = new TextEncoder().encode(`{"text":"${'x'.repeat(2 ** 20 - 12)}"}\n`);
    const [before, long, after] = [900, 600, 500];
    const size = (before + long + after) * row.length;
    let largest = 0;
    const source = {
      name: 'big.jsonl',
      size,
      async read(begin: number, end: number) {
        largest = Math.max(largest, end - begin);
        const chunk = new Uint8Array(end - begin);
        for (let at = 0; at < chunk.length; at += row.length) chunk.set(row.subarray(0, chunk.length - at), at);
        const block = begin / row.length;
        // Without line ends in between.
        if (block >= before && block < before + long - 1) chunk.fill(0x78, row.length - 1);
        return chunk;
      },
    };
    const { rows, problems } = await readRows([source], { limits: { chunkBytes: row.length, rowCap: 64 * 2 ** 20 } });
    expect(rows.length).toBe(before + after);
    expect(problems.kept).toMatchObject([
      { line: before + 1, kind: 'too-long', reason: expect.stringContaining('600 MiB') },
    ]);
    expect(largest).toBe(row.length);
  }, 60_000);

  it('refuses JSON of any depth without falling over it', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    const { rows, problems } = await read(`1\n${deep}\n{"a":${'['.repeat(60)}${']'.repeat(60)}}\n`);
    expect(problems).toMatchObject([{ line: 2, kind: 'too-deep' }]);
    expect(rows.map(([line]) => line)).toEqual([1, 3]);
  });

  it('makes no prototype of a __proto__ key', async () => {
    const { rows } = await read('{"__proto__":{"text":"x"},"constructor":1}\n');
    const parsed = rows[0][1] as Record<string, unknown>;
    expect(parsed.text).toBeUndefined();
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).text).toBeUndefined();
  });

  it('ends any bytes in values or problems, one at most for a line', async () => {
    const piece = fc.oneof(
      fc.constantFrom(...['\n', '\r\n', '{"text":"a"}', '{', '"', '\ufeff', '[[', 'null'].map((text) => bytesOf(text))),
      fc.uint8Array({ maxLength: 6 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 20 }),
        fc.integer({ min: 1, max: 9 }),
        async (parts, chunkBytes) => {
          const content = bytesOf('{"a":1}\n', ...parts.map((part) => [...part]));
          const found = await read(content, { chunkBytes, rowCap: 40 });
          const lines = [...found.rows.map(([line]) => line), ...found.problems.map(({ line }) => line)];
          expect(new Set(lines).size).toBe(lines.length);
          expect(Math.max(0, ...lines)).toBeLessThanOrEqual(content.filter((byte) => byte === 10).length + 1);
          expect(found).toEqual(await read(content, { rowCap: 40 }));
        },
      ),
      { numRuns: 200 },
    );
  });
});
