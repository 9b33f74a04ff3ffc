import { describe, expect, it } from 'vitest';
import { pageHash } from '../engine/page_store.ts';
import { NewerStorageError } from './errors.ts';
import { MemoryDisk } from './memory_disk.ts';
import { ModelCache } from './model_cache.ts';
import { bytesOf, expectBytes } from './testing/disk_contract.ts';
import { type Fault, FaultyDisk } from './testing/faulty_disk.ts';

const SECTIONS = ['file/config.json', 'table/model.embed_tokens.weight/0', 'layer/0', 'layer/1'];
const BYTES = [17, 9000, 4096, 4097];

/** As a load does it: what is there is read, the rest comes from the source; returns what had to be fetched. */
async function load(cache: ModelCache<string>): Promise<string[]> {
  const fetched: string[] = [];
  for (const [i, section] of SECTIONS.entries()) {
    const source = bytesOf(i, BYTES[i]);
    const cached = await cache.read(section);
    if (cached) {
      expectBytes(cached, source);
      continue;
    }
    fetched.push(section);
    await cache.write(section, source);
  }
  await cache.finish('all of it');
  return fetched;
}

function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

it('a second start fetches nothing', async () => {
  const disk = new MemoryDisk();
  const first = await ModelCache.open<string>(disk);
  expect(first.complete).toBeNull();
  expect(await load(first)).toEqual(SECTIONS);
  const second = await ModelCache.open<string>(disk);
  expect(second.complete).toBe('all of it');
  expect(second.bytes).toBe(BYTES.reduce((a, b) => a + b, 0));
  expect(await load(second)).toEqual([]);
});

describe.each(['kill', 'power'] satisfies Fault[])('%s at every write of a load', (fault) => {
  it('is never called complete unless it is, and the next start fetches what is missing', async () => {
    const counted = new FaultyDisk(new MemoryDisk(), fault, Number.POSITIVE_INFINITY, Math.random);
    await load(await ModelCache.open<string>(counted));
    expect(counted.writes).toBe(2 * SECTIONS.length + 2);
    for (let at = 0; at < counted.writes; at++) {
      const disk = new MemoryDisk();
      const cache = await ModelCache.open<string>(new FaultyDisk(disk, fault, at, randomFrom(at + 1)));
      // A cache that cannot be written does not end the load.
      await load(cache).catch(() => undefined);
      expect(cache.complete, `write ${at}`).toBeNull();
      const next = await ModelCache.open<string>(disk);
      expect(next.complete, `write ${at}`).toBeNull();
      const fetched = await load(next);
      expect(next.complete).toBe('all of it');
      // Nothing that was there whole is fetched twice.
      if (fault === 'kill') expect(fetched).toEqual(SECTIONS.slice(Math.floor(at / 2)));
      const last = await ModelCache.open<string>(disk);
      expect(await load(last)).toEqual([]);
    }
  });
});

it('a full disk ends the caching, not the load, and what is there stays good', async () => {
  const disk = new MemoryDisk();
  const cache = await ModelCache.open<string>(new FaultyDisk(disk, 'full', 3, Math.random));
  expect(await load(cache)).toEqual(SECTIONS);
  expect(cache.failure?.name).toBe('StorageFullError');
  expect(cache.complete).toBeNull();
  expect(await load(await ModelCache.open<string>(disk))).toEqual(SECTIONS.slice(1));
});

it('a byte that changed is noticed; cleared, it is loaded anew', async () => {
  const disk = new MemoryDisk();
  await load(await ModelCache.open<string>(disk));
  await disk.write(5000, Uint8Array.of((await disk.read(5000, 1))[0] ^ 8));
  const cache = await ModelCache.open<string>(disk);
  expect(await cache.read('table/model.embed_tokens.weight/0')).toBeNull();
  expectBytes((await cache.read('layer/0'))!, bytesOf(2, BYTES[2]));
  await cache.clear();
  expect(await load(cache)).toEqual(SECTIONS);
  expect(await load(await ModelCache.open<string>(disk))).toEqual([]);
});

it.each([0, 512 * 1024 - 1, 512 * 1024, 1_300_000])('of a section in pieces, byte %i', async (at) => {
  const disk = new MemoryDisk();
  const bytes = bytesOf(7, 1_300_001);
  const cache = await ModelCache.open<string>(disk);
  await cache.write('layer/0', bytes);
  expectBytes((await cache.read('layer/0', new Uint8Array(2_000_000)))!, bytes);
  await disk.write(at, Uint8Array.of(bytes[at] ^ 1));
  expect(await cache.read('layer/0')).toBeNull();
});

it('sections of the first format keep their hashes', async () => {
  const disk = new MemoryDisk();
  const bytes = bytesOf(3, 700_000);
  await disk.write(0, bytes);
  const record = { format: 1, at: 0, byteLength: bytes.byteLength, hash: await pageHash(bytes) };
  await disk.putRecords([['section/layer%2F0', JSON.stringify(record)]]);
  const cache = await ModelCache.open<string>(disk);
  expectBytes((await cache.read('layer/0'))!, bytes);
  await disk.write(650_000, Uint8Array.of(bytes[650_000] ^ 1));
  expect(await cache.read('layer/0')).toBeNull();
});

it('leaves what a newer version wrote alone', async () => {
  const disk = new MemoryDisk();
  await load(await ModelCache.open<string>(disk));
  await disk.putRecords([['section/new', JSON.stringify({ format: 3 })]]);
  await expect(ModelCache.open(disk)).rejects.toThrow(NewerStorageError);
  await disk.deleteRecords(['section/new']);
  expect((await ModelCache.open(disk)).complete).toBe('all of it');
});

it('sections are read without their hashes once it is closed, as many bytes as are left of them', async () => {
  const disk = new MemoryDisk();
  // As a file that outlives its disk.
  const shared = Object.assign(disk, {
    reader: async () => ({ read: disk.read.bind(disk), close: async () => {} }),
  });
  const cache = await ModelCache.open<string>(shared);
  const reader = await cache.reader();
  expect(reader!.has('layer/1')).toBe(false);
  await load(cache);
  await cache.close();
  expect(reader!.has('layer/1')).toBe(true);
  expectBytes(await reader!.read('layer/1'), bytesOf(3, 4097));
  expect((await reader!.read('layer/2')).byteLength).toBe(0);
  await disk.truncate(cache.bytes);
  expect((await reader!.read('layer/1')).byteLength).toBeLessThan(4097);
  expect(await (await ModelCache.open(new MemoryDisk())).reader()).toBeNull();
});
