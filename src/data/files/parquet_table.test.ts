import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFile } from '../fixtures/testing.ts';
import { checkPages } from './parquet_pages.ts';
import { checkRuns, type RunPage } from './parquet_runs.ts';
import { DataFileError } from './problem.ts';

/** Made by scripts/reference/make_parquet.py with pyarrow. */
const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/parquet/${name}.parquet`, import.meta.url)));
const read = (content: Uint8Array) => readFile(content, 'data.parquet');

describe('Parquet', () => {
  it.each(['none', 'snappy', 'gzip', 'brotli', 'zstd', 'lz4'])('reads rows of several groups, %s', async (codec) => {
    const { rows, problems } = await read(fixture(codec));
    expect(problems).toEqual([]);
    expect(rows).toHaveLength(600);
    for (const i of [0, 1, 249, 250, 511, 599]) {
      const day = String(1 + (i % 28)).padStart(2, '0');
      expect(rows[i]).toEqual([
        i + 1,
        {
          text: `Row ${i}: ${i % 7 === 0 ? 'é😀' : 'plain'}`,
          n: i * 2 ** 40,
          when: `2024-01-${day}T00:00:00.000Z`,
          none: i % 3 ? null : 'x',
        },
      ]);
    }
  });

  it('reads lists of objects', async () => {
    const { rows } = await read(fixture('messages'));
    expect(rows[19][1]).toEqual({
      messages: [
        { role: 'user', content: 'Question 19' },
        { role: 'assistant', content: 'Answer 19' },
      ],
    });
  });

  it('does not unpack a bomb', async () => {
    const bomb = fixture('bomb');
    expect(bomb.length).toBeLessThan(100_000);
    const before = performance.now();
    const { rows, problems } = await read(bomb);
    expect(performance.now() - before).toBeLessThan(1000);
    expect(rows).toEqual([]);
    expect(problems).toMatchObject([{ line: 1, reason: expect.stringMatching(/claims 300000\d+ bytes/) }]);
  });

  it('refuses what is no Parquet, and a footer that lies', async () => {
    const good = fixture('none');
    await expect(read(new TextEncoder().encode('a,b\n1,2\n3,4\n5,6'))).rejects.toThrow(DataFileError);
    await expect(read(good.slice(0, good.length - 100))).rejects.toThrow('cut off');
    const long = good.slice();
    new DataView(long.buffer).setUint32(long.length - 8, 2 ** 31, true);
    await expect(read(long)).rejects.toThrow('footer claims');
    await expect(read(good)).resolves.toBeDefined();
  });

  it('ends damaged files in rows, problems or one error', async () => {
    const good = fixture('messages');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat({ max: good.length - 9 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
        async (changes) => {
          const damaged = good.slice();
          for (const [at, byte] of changes) damaged[at] = byte;
          await read(damaged).catch((error: unknown) => expect(error).toBeInstanceOf(Error));
        },
      ),
      { numRuns: 150 },
    );
  }, 30_000);
});

describe('damage that took the process or a promise along', () => {
  const damaged = (...changes: readonly (readonly [number, number])[]) => {
    const bytes = fixture('messages').slice();
    for (const [at, byte] of changes) bytes[at] = byte;
    return bytes;
  };

  it.each([
    ['a run of a billion levels', damaged([87, 64], [293, 86]), /a run claims 312822421 of a page’s 40 values/],
    ['a column that the schema lacks', damaged([670, 135]), /not the schema’s/],
    ['two columns of one name', damaged([416, 44], [851, 15], [231, 118], [1148, 200]), /cannot be (read|unpacked)/],
  ])('%s is a problem of its rows', async (_, bytes, reason) => {
    const { rows, problems } = await read(bytes).catch((error: DataFileError) => ({
      rows: [],
      problems: [error.problem],
    }));
    expect(rows.length).toBeLessThan(20);
    expect(problems[0].reason).toMatch(reason);
    // The control.
    expect((await read(fixture('messages'))).rows).toHaveLength(20);
  });
});

describe('checkRuns', () => {
  const page = (packed: number[], values: number, dictionary = false): RunPage => ({
    packed: Uint8Array.from(packed),
    unpack: (bytes) => bytes,
    values,
    dictionary,
    levelBytes: null,
  });
  const levels = { repetition: 0, definition: 1 };

  it('accepts runs that are as long as they say, and none longer', () => {
    // Ten ones: a run of them; eight of them and two; packed into two groups of eight.
    for (const runs of [
      [20, 1],
      [16, 1, 4, 1],
      [5, 0xff, 0x03],
    ]) {
      const written = [runs.length, 0, 0, 0, ...runs];
      expect(() => checkRuns(page(written, 10), levels)).not.toThrow();
      expect(() => checkRuns(page([...written, 2, ...runs], 10, true), levels)).not.toThrow();
    }
    expect(() => checkRuns(page([2, 0, 0, 0, 22, 1], 10), levels)).toThrow('a run claims 11 of a page’s 10 values');
    expect(() => checkRuns(page([2, 0, 0, 0, 20, 1, 2, 22, 1], 10, true), levels)).toThrow('claims 11');
    expect(() => checkRuns(page([6, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x04, 1], 10), levels)).toThrow(
      'claims 536870912',
    );
    expect(() => checkRuns(page([3, 0, 0, 0, 0x81, 0x10, 1], 10), levels)).toThrow('claims');
    expect(() => checkRuns(page([1, 0, 0, 0, 0x80], 10), levels)).toThrow('cut off');
    expect(() => checkRuns(page([1, 0], 10), levels)).toThrow('cut off');
  });
});

describe('checkPages', () => {
  /** A data page's header: type 0, sizes, and a data_page_header of this many values; Thrift's compact protocol. */
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
  const page = (unpacked: number, packed: number, values: number) =>
    Uint8Array.from(
      [
        0x15,
        0,
        0x15,
        ...varint(unpacked * 2),
        0x15,
        ...varint(packed * 2),
        0x2c,
        0x15,
        ...varint(values * 2),
        0,
        0,
      ].concat(new Array(packed).fill(7)),
    );
  const limits = { values: 10, pageBytes: 1000 };

  it('adds up what pages become', () => {
    expect(checkPages(Uint8Array.from([...page(300, 20, 4), ...page(200, 10, 6)]), limits)).toBe(500);
  });

  it.each([
    ['more bytes than a page may have', page(1001, 20, 4)],
    ['more values than the column', page(300, 20, 11)],
    ['a page past its column', page(300, 20, 4).slice(0, 20)],
    ['a negative size', Uint8Array.from([0x15, 0, 0x15, 3, 0x15, 4, 0, 0, 0, 0])],
  ])('refuses %s', (_, column) => {
    expect(() => checkPages(column, limits)).toThrow(RangeError);
  });
});
