import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readFile } from '../fixtures/testing.ts';
import { DataFileError } from './problem.ts';

const text = (content: string) => new TextEncoder().encode(content);
const bytes = (...parts: (string | number)[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...text(part)])));

describe('files that are something else', () => {
  it.each([
    ['a zip by its name', 'data.zip', bytes('PK', 3, 4, 20, 0), 'zip archive. Unpack it'],
    ['a zip by another name', 'data.jsonl', bytes('PK', 3, 4, 20, 0, 'a.jsonl'), 'zip archive. Unpack it'],
    ['a spreadsheet', 'data.csv', bytes('PK', 3, 4, 20, 0, '[Content_Types].xml'), 'Save its sheet as CSV'],
    ['Zstandard', 'data.jsonl', bytes(0x28, 0xb5, 0x2f, 0xfd, 'x'), 'Zstandard'],
    ['xz', 'data.jsonl', bytes(0xfd, '7zXZ', 0), 'xz'],
    ['bzip2', 'data.jsonl', bytes('BZh9x'), 'bzip2'],
    ['a PDF', 'data.txt', bytes('%PDF-1.4'), 'PDF'],
    ['a pointer', 'data.parquet', bytes('version https://git-lfs.github.com/spec/v1\n'), 'git lfs pull'],
    ['Arrow', 'data.parquet', bytes('ARROW1', 0, 0), 'Save the table as Parquet'],
    ['a web page', 'data.jsonl', bytes('\n<!DOCTYPE html><html>'), 'a web page'],
    ['a packed web page', 'data.csv.gz', new Uint8Array(gzipSync('<html lang="en">')), 'a web page'],
  ])('are told: %s', async (_, name, content, reason) => {
    const error = await readFile(content, name).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataFileError);
    expect((error as DataFileError).message).toContain(reason);
  });

  it('and what only looks like it is read', async () => {
    expect((await readFile(text('<html> is a tag.'), 'data.txt')).rows).toHaveLength(1);
    expect((await readFile(text('{"text":"<html>"}'), 'data.jsonl')).rows).toHaveLength(1);
    expect((await readFile(text('text\nPK is a town'), 'data.csv')).rows).toHaveLength(1);
  });
});

describe('UTF-16', () => {
  const utf16 = (content: string, big = false) => {
    const units = Uint16Array.from(`\ufeff${content}`, (_, i) => `\ufeff${content}`.charCodeAt(i));
    const written = new Uint8Array(units.length * 2);
    const view = new DataView(written.buffer);
    for (const [i, unit] of units.entries()) view.setUint16(2 * i, unit, !big);
    return written;
  };

  it.each([false, true])('is read as what it says, big-endian %s', async (big) => {
    const csv = await readFile(utf16('prompt,completion\r\n"é, 😀",x\r\n', big), 'data.csv');
    expect(csv).toMatchObject({ problems: [], rows: [[2, { prompt: 'é, 😀', completion: 'x' }]] });
    const jsonl = await readFile(utf16('{"text":"日本"}\n{"text":"b"}\n', big), 'data.jsonl');
    expect(jsonl).toMatchObject({
      problems: [],
      rows: [
        [1, { text: '日本' }],
        [2, { text: 'b' }],
      ],
    });
    const packed = await readFile(new Uint8Array(gzipSync(utf16('one\n\ntwo', big))), 'data.txt.gz');
    expect(packed.rows).toHaveLength(2);
  });

  it('is refused where it is none', async () => {
    const odd = utf16('{"text":"a"}\n');
    await expect(readFile(odd.slice(0, -1), 'data.jsonl')).rejects.toThrow('begins as UTF-16 does, but is none');
  });
});
