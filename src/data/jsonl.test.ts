import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryFile } from './fixtures/testing.ts';
import { type JsonlItem, type JsonlOptions, readJsonl } from './jsonl.ts';

async function read(content: string | Uint8Array, options?: JsonlOptions): Promise<JsonlItem[]> {
  const items: JsonlItem[] = [];
  for await (const item of readJsonl(memoryFile(content), options)) items.push(item);
  return items;
}
const bytes = (...parts: (string | number[])[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'string' ? [...new TextEncoder().encode(part)] : part)));
const value = (line: number, value: unknown) => ({ kind: 'value', line, value });

describe('readJsonl', () => {
  it('reads values with their lines, whatever the chunks', async () => {
    const text = '{"a":1}\n\n{"b":"é😀"}\r\n  \n[2]';
    const expected = [value(1, { a: 1 }), value(3, { b: 'é😀' }), value(5, [2])];
    for (const chunkBytes of [1, 2, 3, 7, 1000]) expect(await read(text, { chunkBytes })).toEqual(expected);
  });

  it('reads nothing from an empty file, and takes a last line with or without its end', async () => {
    expect(await read('')).toEqual([]);
    expect(await read('\n\r\n ')).toEqual([]);
    expect(await read('1')).toEqual(await read('1\n'));
  });

  it('accepts a byte order mark at the beginning only', async () => {
    expect(await read('\ufeff{"a":1}\n')).toEqual([value(1, { a: 1 })]);
    expect((await read('1\n\ufeff2\n')).map((item) => item.kind)).toEqual(['value', 'problem']);
  });

  it('reports bad UTF-8 with its line and goes on', async () => {
    const items = await read(bytes('1\n"', [0xc3, 0x28], '"\n3\n'));
    expect(items).toEqual([
      value(1, 1),
      { kind: 'problem', line: 2, reason: expect.stringContaining('UTF-8') },
      value(3, 3),
    ]);
    expect(await read('1\n"é("\n3\n')).toEqual([value(1, 1), value(2, 'é('), value(3, 3)]);
  });

  it('knows UTF-16 by its mark', async () => {
    const [item] = await read(bytes([0xff, 0xfe, 0x7b, 0x00]));
    expect(item).toMatchObject({ kind: 'problem', line: 1, reason: expect.stringContaining('UTF-16') });
  });

  it('reports bad JSON with its line', async () => {
    const items = await read('{"a":1}\n{"a":}\n{"a":NaN}\n');
    expect(items.map((item) => [item.kind, item.line])).toEqual([
      ['value', 1],
      ['problem', 2],
      ['problem', 3],
    ]);
  });

  it('knows a JSON array when it sees one', async () => {
    const [item] = await read('[\n  {"text": "a"}\n]\n');
    expect(item).toMatchObject({ kind: 'problem', reason: expect.stringContaining('one JSON array') });
  });

  it('caps a line without holding it, and reads the next', async () => {
    const long = `"${'x'.repeat(100)}"`;
    const items = await read(`1\n${long}\n3\n${long}`, { lineCap: 50, chunkBytes: 16 });
    const problem = (line: number) => ({ kind: 'problem', line, reason: expect.stringContaining('longer than 50') });
    expect(items).toEqual([value(1, 1), problem(2), value(3, 3), problem(4)]);
    expect(await read(`${long}\n`, { lineCap: 102 })).toEqual([value(1, 'x'.repeat(100))]);
  });

  it('streams 80 MB in chunks: no more than a chunk and a line are asked for', async () => {
    const row = new TextEncoder().encode(`{"text":"${'x'.repeat(1000)}"}\n`);
    const size = row.length * 80_000;
    let largest = 0;
    const source = {
      name: 'big.jsonl',
      size,
      read: async (begin: number, end: number) => {
        largest = Math.max(largest, end - begin);
        const chunk = new Uint8Array(end - begin);
        for (let at = 0; at < chunk.length; ) {
          const from = (begin + at) % row.length;
          const part = row.subarray(from, Math.min(row.length, from + chunk.length - at));
          chunk.set(part, at);
          at += part.length;
        }
        return chunk;
      },
    };
    let count = 0;
    for await (const item of readJsonl(source)) count += item.kind === 'value' ? 1 : 0;
    expect(count).toBe(80_000);
    expect(largest).toBe(2 ** 20);
  });

  it('survives JSON of any depth', async () => {
    const deep = '['.repeat(100_000) + ']'.repeat(100_000);
    const items = await read(`${deep}\n1\n`);
    expect(items).toHaveLength(2);
    expect(items[1]).toEqual(value(2, 1));
  });

  it('makes no prototype of a __proto__ key', async () => {
    const [item] = await read('{"__proto__":{"text":"x"},"constructor":1}\n');
    const parsed = item?.kind === 'value' ? (item.value as Record<string, unknown>) : {};
    expect(parsed.text).toBeUndefined();
    expect(Object.getPrototypeOf(parsed)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).text).toBeUndefined();
  });

  it('tells how far it is, and stops when told to', async () => {
    const seen: number[] = [];
    await read('1\n2\n3\n', { chunkBytes: 2, onProgress: (at) => seen.push(at) });
    expect(seen).toEqual([2, 4, 6]);
    await expect(read('1\n', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('ends any bytes in values or problems, one at most for a line', async () => {
    const piece = fc.oneof(
      fc.constantFrom(...['\n', '\r\n', '{"text":"a"}', '{', '"', '\ufeff', '[[', 'null'].map((text) => bytes(text))),
      fc.uint8Array({ maxLength: 6 }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(piece, { maxLength: 20 }),
        fc.integer({ min: 1, max: 9 }),
        async (parts, chunkBytes) => {
          const content = bytes(...parts.map((part) => [...part]));
          const items = await read(content, { chunkBytes, lineCap: 40 });
          const lines = items.map((item) => item.line);
          expect(lines).toEqual([...new Set(lines)].sort((a, b) => a - b));
          expect(Math.max(0, ...lines)).toBeLessThanOrEqual(content.filter((byte) => byte === 10).length + 1);
          expect(items).toEqual(await read(content, { lineCap: 40 }));
        },
      ),
      { numRuns: 200 },
    );
  });
});
