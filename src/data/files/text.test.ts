import { describe, expect, it } from 'vitest';
import { bytesOf, readFile } from '../fixtures/testing.ts';

describe('text', () => {
  it('makes a row of each paragraph, whatever the chunks', async () => {
    const text = '\ufeffOne\ntwo\n\n \nthree é😀\r\nfour\r\n\r\nfive';
    for (const chunkBytes of [1, 3, 1000]) {
      expect(await readFile(text, 'book.txt', { chunkBytes })).toEqual({
        rows: [
          [1, { text: 'One\ntwo' }],
          [5, { text: 'three é😀\nfour' }],
          [8, { text: 'five' }],
        ],
        problems: [],
      });
    }
  });

  it('makes windows of whole lines', async () => {
    const text = Array.from({ length: 10 }, (_, i) => `line ${i}`).join('\n');
    const { rows } = await readFile(text, 'book.txt', {}, { by: 'window', windowBytes: 15 });
    expect(rows.map(([, value]) => value)).toEqual([0, 2, 4, 6, 8].map((i) => ({ text: `line ${i}\nline ${i + 1}` })));
  });

  it('keeps a heading with what follows, and a fenced block whole', async () => {
    const text = '# Title\n\nText.\n\n```\na\n\nb\n```\n\nEnd.\n';
    expect((await readFile(text, 'notes.md')).rows.map(([, value]) => value)).toEqual([
      { text: '# Title\n\nText.' },
      { text: '```\na\n\nb\n```' },
      { text: 'End.' },
    ]);
    expect((await readFile(text, 'notes.txt')).rows).toHaveLength(5);
  });

  it('reports bad UTF-8 and lines that are too long', async () => {
    const { rows, problems } = await readFile(bytesOf('a\n\n', [0xff], '\n\nb\n\n', 'x'.repeat(99)), 'a.txt', {
      rowCap: 50,
    });
    expect(rows.map(([line]) => line)).toEqual([1, 5]);
    expect(problems.map(({ line, kind }) => [line, kind])).toEqual([
      [3, 'encoding'],
      [7, 'too-long'],
    ]);
  });
});
