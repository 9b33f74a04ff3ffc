import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOf, readFile } from '../fixtures/testing.ts';
import { DataFileError } from './problem.ts';

const read = (content: string | Uint8Array, limits?: { chunkBytes?: number; rowCap?: number }, name = 'data.csv') =>
  readFile(content, name, limits);

describe('CSV', () => {
  it('reads quoted cells, line ends in them and CRLF, whatever the chunks', async () => {
    const text = '\ufefftitle,text\r\nA,"He said ""no"", twice.\r\nThen left."\r\n\r\n"é😀", plain \r\nlast,"x"';
    for (const chunkBytes of [1, 2, 3, 7, 40, 1000]) {
      expect(await read(text, { chunkBytes })).toEqual({
        rows: [
          [2, { title: 'A', text: 'He said "no", twice.\r\nThen left.' }],
          [5, { title: 'é😀', text: ' plain ' }],
          [6, { title: 'last', text: 'x' }],
        ],
        problems: [],
      });
    }
  });

  it('finds the separator, and takes tabs in .tsv', async () => {
    expect((await read('a;b\n1;2,5\n3;4,5\n')).rows).toEqual([
      [2, { a: '1', b: '2,5' }],
      [3, { a: '3', b: '4,5' }],
    ]);
    expect((await read('a\tb\n1\t2\n', {}, 'data.tsv')).rows).toEqual([[2, { a: '1', b: '2' }]]);
  });

  it('names columns once, and makes no prototype of one', async () => {
    const { rows } = await read('a,a,,__proto__\n1,2,3,4\n');
    expect(Object.entries(rows[0][1] as object)).toEqual([
      ['a', '1'],
      ['a 2', '2'],
      ['column 3', '3'],
      ['__proto__', '4'],
    ]);
  });

  it('leaves ragged rows out by line, and keeps the others', async () => {
    const { rows, problems } = await read('a,b\n1,2\n3\n4,5,6\n7,8\n');
    expect(rows.map(([line]) => line)).toEqual([2, 5]);
    expect(problems.map(({ line, kind }) => [line, kind])).toEqual([
      [3, 'ragged-row'],
      [4, 'ragged-row'],
    ]);
  });

  it('says where a quote is not closed, and keeps what comes before', async () => {
    const { rows, problems } = await read('a,b\n1,2\n3,"four\n5,6\n7,8\n');
    expect(rows).toEqual([[2, { a: '1', b: '2' }]]);
    expect(problems).toMatchObject([{ line: 3, kind: 'unclosed-quote' }]);
    const endless = `a,b\n1,2\n3,"${'4,5\n'.repeat(1000)}`;
    expect((await read(endless, { rowCap: 500, chunkBytes: 64 })).problems).toMatchObject([
      { line: 3, kind: 'unclosed-quote' },
    ]);
    expect((await read(`${endless}"\n`)).problems).toEqual([]);
  });

  it('does not guess what a quote within a quoted cell means', async () => {
    const { rows, problems } = await read('a,b\n"x"y,2\n3,4\n');
    expect(problems).toMatchObject([{ line: 2, kind: 'syntax' }]);
    expect(rows.length).toBeLessThanOrEqual(1);
  });

  it('reports bad UTF-8 by line and goes on', async () => {
    const { rows, problems } = await read(bytesOf('a,b\n1,caf', [0xe9], '\n2,café\n'));
    expect(rows).toEqual([[3, { a: '2', b: 'café' }]]);
    expect(problems).toMatchObject([{ line: 2, kind: 'encoding' }]);
  });

  it('refuses a hundred thousand columns', async () => {
    const wide = (columns: number) => `${Array.from({ length: columns }, (_, i) => `c${i}`).join(',')}\n`;
    await expect(read(wide(100_000))).rejects.toThrow(DataFileError);
    await expect(read(wide(100_000))).rejects.toThrow('100000 columns');
    await expect(read(wide(1000))).resolves.toBeDefined();
  });

  it('ends any bytes in rows, problems or one error; a row reads again as it was', async () => {
    const piece = fc.oneof(
      fc.constantFrom(...['\n', '\r\n', ',', '"', '""', 'a', 'é', '😀', '"x"', ';'].map((text) => bytesOf(text))),
      fc.uint8Array({ maxLength: 3 }),
    );
    const settle = (content: Uint8Array, chunkBytes: number) =>
      read(content, { chunkBytes, rowCap: 60 }).catch((error: unknown) => {
        expect(error).toBeInstanceOf(DataFileError);
        return String(error);
      });
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 16 }),
        fc.integer({ min: 1, max: 9 }),
        async (parts, chunkBytes) => {
          const content = bytesOf('a,b\n', ...parts.map((part) => [...part]));
          expect(await settle(content, chunkBytes)).toEqual(await settle(content, 1000));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('reads what it is given, cell by cell', async () => {
    const cell = fc.string({ unit: fc.constantFrom('a', 'é', '😀', ',', '"', '\n', ' ', ';') });
    const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(cell, cell), { minLength: 1, maxLength: 8 }), async (table) => {
        const text = `x,y\n${table.map((row) => `${row.map(quote).join(',')}\n`).join('')}`;
        const { rows, problems } = await read(text, { chunkBytes: 16 });
        expect(problems).toEqual([]);
        expect(rows.map(([, value]) => Object.values(value as object))).toEqual(table);
      }),
    );
  });
});
