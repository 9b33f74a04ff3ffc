import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { memoryFile, readFile } from '../fixtures/testing.ts';
import { memoryScratch, unpackGzip } from './gzip.ts';
import { DataFileError } from './problem.ts';

const rows = Array.from({ length: 2000 }, (_, i) => JSON.stringify({ text: `row ${i}` })).join('\n');

it('reads a compressed file as the file in it, by name or by content', async () => {
  const plain = await readFile(rows, 'data.jsonl');
  expect((await readFile(gzipSync(rows), 'data.jsonl.gz')).rows).toEqual(plain.rows);
  expect((await readFile(gzipSync('a,b\n1,2\n'), 'data.csv')).rows).toEqual([[2, { a: '1', b: '2' }]]);
});

it('refuses a damaged or cut-off file', async () => {
  const packed = gzipSync(rows);
  await expect(readFile(packed.subarray(0, packed.length - 20), 'data.jsonl.gz')).rejects.toThrow(DataFileError);
  const damaged = Uint8Array.from(packed, (byte, i) => (i === 200 ? byte ^ 0xff : byte));
  await expect(readFile(damaged, 'data.jsonl.gz')).rejects.toThrow(DataFileError);
});

it('stops a bomb at its cap, not at the end of the memory', async () => {
  const bomb = memoryFile(gzipSync(new Uint8Array(20_000_000)), 'bomb.jsonl.gz');
  await expect(unpackGzip(bomb, memoryScratch(), { cap: 1_000_000 })).rejects.toThrow('more than 1000000 bytes');
  await expect(unpackGzip(bomb, memoryScratch(), { cap: 20_000_000 })).resolves.toMatchObject({ size: 20_000_000 });
});

it('stops when told to', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(unpackGzip(memoryFile(gzipSync(rows)), memoryScratch(), { signal })).rejects.toThrow('enough');
});
