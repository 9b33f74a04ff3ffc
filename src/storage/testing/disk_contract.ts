/** What every page disk and the page store over it must do, on whatever platform: one suite, run against each. */
import { describe, expect, it } from 'vitest';
import { type GenerationStore, PageDamagedError, type PageVersion } from '../../engine/page_store.ts';
import { NewerStorageError } from '../errors.ts';
import { listGenerations, openGenerationStore } from '../generation_store.ts';
import type { PageDisk } from '../page_disk.ts';
import { SECTOR_BYTES } from '../page_space.ts';

interface State {
  readonly label: string;
}

/** A run's disk that can be opened again after it was closed. */
export interface DiskUnderTest {
  open(): Promise<PageDisk>;
  remove(): Promise<void>;
}

export function bytesOf(seed: number, byteLength: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: byteLength }, (_, i) => (seed * 31 + i * 7 + (i >> 8)) & 255);
}

/** Compares bytes: a matcher that goes through them one by one takes seconds for a page. */
export function expectBytes(actual: Uint8Array, expected: Uint8Array): void {
  expect(actual.byteLength).toBe(expected.byteLength);
  expect(actual.findIndex((byte, i) => byte !== expected[i])).toBe(-1);
}

const SIZES = [1, 63, SECTOR_BYTES, SECTOR_BYTES + 1, 65536];

async function writeAll(store: GenerationStore<State>, seed: number, pages = SIZES): Promise<PageVersion[]> {
  const versions: PageVersion[] = [];
  for (const [i, size] of pages.entries()) versions.push(await store.write(`page/${i}`, bytesOf(seed + i, size)));
  return versions;
}

export function diskContract(name: string, create: () => Promise<DiskUnderTest>): void {
  const withDisk = (use: (disk: DiskUnderTest) => Promise<void>) => async () => {
    const disk = await create();
    try {
      await use(disk);
    } finally {
      await disk.remove();
    }
  };
  const opened = async (disk: DiskUnderTest) => openGenerationStore<State>(await disk.open());

  describe(name, () => {
    it(
      'reads what was written, also beyond its end and after an opening',
      withDisk(async (under) => {
        const disk = await under.open();
        await disk.write(10, bytesOf(1, 100));
        await disk.write(50, bytesOf(2, 3));
        await disk.putRecords([
          ['a/1', 'one'],
          ['a/2', 'two ü'],
        ]);
        await disk.flush();
        await disk.close();
        const again = await under.open();
        const expected = bytesOf(1, 100);
        expected.set(bytesOf(2, 3), 40);
        expectBytes(await again.read(10, 100), expected);
        expect((await again.read(60, 1000)).byteLength).toBe(50);
        expect((await again.read(5000, 10)).byteLength).toBe(0);
        await again.deleteRecords(['a/1', 'not there']);
        expect(await again.records()).toEqual(new Map([['a/2', 'two ü']]));
        await again.truncate(20);
        expect((await again.read(0, 100)).byteLength).toBe(20);
        await again.close();
      }),
    );

    it(
      'brings a committed generation back, and nothing of what was not committed',
      withDisk(async (under) => {
        const first = await opened(under);
        const pages = await writeAll(first, 1);
        await first.commit({ step: 5, pages, state: { label: 'five' } });
        await first.free(pages);
        await writeAll(first, 50);
        await first.close();
        const second = await opened(under);
        const [newest, ...others] = await second.generations();
        expect(others).toEqual([]);
        expect(newest).toMatchObject({ step: 5, state: { label: 'five' } });
        for (const [i, page] of newest.pages.entries()) {
          expectBytes(await second.read(page, true), bytesOf(1 + i, SIZES[i]));
        }
        await second.close();
      }),
    );

    it(
      'keeps two generations; older pages make room once nobody holds them',
      withDisk(async (under) => {
        const disk = await under.open();
        const store = await openGenerationStore<State>(disk);
        const all: PageVersion[][] = [];
        for (let step = 1; step <= 8; step++) {
          const pages = await writeAll(store, step * 10);
          await store.commit({ step, pages, state: { label: `${step}` } });
          await store.free(pages);
          all.push(pages);
        }
        expect((await store.generations()).map(({ step }) => step)).toEqual([8, 7]);
        await expect(store.read(all[5][0])).rejects.toThrow(PageDamagedError);
        expectBytes(await store.read(all[6][4], true), bytesOf(74, SIZES[4]));
        expect((await disk.records()).size).toBe(4);
        // Room of three generations at most: two that are kept, and the one that is written.
        const one = SIZES.reduce((sum, size) => sum + Math.ceil(size / SECTOR_BYTES) * SECTOR_BYTES, 0);
        expect((await disk.read(0, 10 * one)).byteLength).toBeLessThanOrEqual(3 * one);
        await store.close();
      }),
    );

    it(
      'leaves a page that a snapshot holds as it was, whatever its writer does',
      withDisk(async (under) => {
        const store = await opened(under);
        const before = await store.write('moment', bytesOf(1, 5000));
        store.retain([before]);
        const after = await store.write('moment', bytesOf(2, 5000));
        await store.free([before]);
        await writeAll(store, 99);
        await store.commit({ step: 1, pages: [before], state: { label: 'snapshot' } });
        await store.free([before]);
        expectBytes(await store.read(before, true), bytesOf(1, 5000));
        expectBytes(await store.read(after, true), bytesOf(2, 5000));
        await store.free([after]);
        await expect(store.read(after)).rejects.toThrow(PageDamagedError);
        await expect(store.free([after])).rejects.toThrow();
        await store.close();
      }),
    );

    it(
      'sees one byte that changed on the disk, in a page and in a record',
      withDisk(async (under) => {
        const store = await opened(under);
        for (const step of [1, 2]) {
          await store.commit({ step, pages: await writeAll(store, step * 10), state: { label: `${step}` } });
        }
        await store.close();
        const disk = await under.open();
        const [newest] = await listGenerations<State>(disk);
        const page = newest.pages[4] as PageVersion & { at: number };
        const [byte] = await disk.read(page.at + 777, 1);
        await disk.write(page.at + 777, Uint8Array.of(byte ^ 1));
        await disk.close();
        const second = await opened(under);
        const [damaged, older] = await second.generations();
        await expect(second.read(damaged.pages[4], true)).rejects.toThrow(PageDamagedError);
        // The control: its neighbours, and the generation before.
        expectBytes(await second.read(damaged.pages[3], true), bytesOf(23, SIZES[3]));
        expectBytes(await second.read(older.pages[4], true), bytesOf(14, SIZES[4]));
        await second.close();
        const third = await under.open();
        const records = await third.records();
        const name = [...records.keys()].sort().findLast((key) => key.startsWith('generation/'))!;
        await third.putRecords([[name, records.get(name)!.replace('"label":"2"', '"label":"3"')]]);
        expect((await listGenerations<State>(third)).map(({ step }) => step)).toEqual([1]);
        await third.close();
      }),
    );

    it(
      'refuses what a newer version wrote, and changes nothing of it',
      withDisk(async (under) => {
        const store = await opened(under);
        await store.commit({ step: 1, pages: [], state: { label: 'ours' } });
        await store.close();
        const disk = await under.open();
        await disk.putRecords([['generation/7', JSON.stringify({ format: 2, pages: 'of some other kind' })]]);
        const before = await disk.records();
        await expect(openGenerationStore(disk)).rejects.toThrow(NewerStorageError);
        expect(await disk.records()).toEqual(before);
        await disk.deleteRecords(['generation/7']);
        expect((await (await openGenerationStore(disk)).generations()).length).toBe(1);
        await disk.close();
      }),
    );
  });
}

/** Of disks that are read after they are closed. */
export function readerContract(name: string, create: () => Promise<DiskUnderTest>): void {
  it(`${name}: what was written is read after the disk is closed, beside who has it open, to the end that the file has`, async () => {
    const under = await create();
    try {
      const disk = await under.open();
      const reader = await disk.reader!();
      await disk.write(SECTOR_BYTES, bytesOf(3, 5000));
      await disk.flush();
      await disk.close();
      expectBytes(await reader.read(SECTOR_BYTES + 7, 4000), bytesOf(3, 5000).subarray(7, 4007));
      const again = await under.open();
      expectBytes(await reader.read(SECTOR_BYTES, 5000), bytesOf(3, 5000));
      await again.truncate(SECTOR_BYTES + 100);
      await again.close();
      expectBytes(await reader.read(SECTOR_BYTES, 5000), bytesOf(3, 100));
      await reader.close();
    } finally {
      await under.remove();
    }
  });
}
