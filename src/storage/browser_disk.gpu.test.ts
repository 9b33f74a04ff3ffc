/** The page disk of a real browser, in a worker as there it is used; the page asks it for each thing. */
import { afterAll, describe, expect, it } from 'vitest';
import type { PageDisk } from './page_disk.ts';
import { bytesOf, type DiskUnderTest, diskContract, expectBytes, readerContract } from './testing/disk_contract.ts';
import type { DiskAnswer, DiskMethod } from './testing/disk_worker.ts';
import { killContract } from './testing/kill_contract.ts';

const worker = new Worker(new URL('./testing/disk_worker.ts', import.meta.url), { type: 'module' });
const waiting = new Map<number, (answer: DiskAnswer) => void>();
worker.addEventListener('message', ({ data }: MessageEvent<DiskAnswer>) => {
  waiting.get(data.id)?.(data);
  waiting.delete(data.id);
});
afterAll(() => worker.terminate());
let calls = 0;

function call(run: string, method: DiskMethod, args: readonly unknown[] = []): Promise<unknown> {
  const id = ++calls;
  worker.postMessage({ id, run, method, args });
  return new Promise((resolve, reject) => {
    waiting.set(id, ({ value, error }) => (error === null ? resolve(value) : reject(new Error(error))));
  });
}

function remoteDisk(run: string): PageDisk {
  return {
    read: (...args) => call(run, 'read', args) as Promise<Uint8Array<ArrayBuffer>>,
    write: async (...args) => void (await call(run, 'write', args)),
    flush: async () => void (await call(run, 'flush')),
    truncate: async (...args) => void (await call(run, 'truncate', args)),
    records: () => call(run, 'records') as Promise<ReadonlyMap<string, string>>,
    putRecords: async (...args) => void (await call(run, 'putRecords', args)),
    deleteRecords: async (...args) => void (await call(run, 'deleteRecords', args)),
    close: async () => void (await call(run, 'close')),
    async reader() {
      await call(run, 'reader');
      return {
        read: (...args) => call(run, 'read later', args) as Promise<Uint8Array<ArrayBuffer>>,
        close: async () => void (await call(run, 'close reader')),
      };
    },
  };
}

const create = async (): Promise<DiskUnderTest> => {
  const run = crypto.randomUUID();
  return {
    open: async () => {
      await call(run, 'open');
      return remoteDisk(run);
    },
    remove: async () => void (await call(run, 'remove')),
  };
};

diskContract('browser', create);
readerContract('browser', create);
describe('browser, killed', () => killContract(create, 16));

it('is open once at a time: a second opening is refused, and works after the first is closed', async () => {
  const disk = await create();
  const first = await disk.open();
  await expect(disk.open()).rejects.toThrow();
  await first.close();
  await (await disk.open()).close();
  await disk.remove();
});

it('is not deleted while it is read, here or in another tab; it is when nobody reads it', async () => {
  const under = await create();
  const disk = await under.open();
  await disk.write(0, bytesOf(1, 1000));
  await disk.putRecords([['a/1', 'one']]);
  const reader = await disk.reader!();
  await disk.close();
  await expect(under.remove()).rejects.toThrow(/StoredInUseError.*reads its layers/);
  expectBytes(await reader.read(0, 1000), bytesOf(1, 1000));
  const again = await under.open();
  expect([...(await again.records()).keys()]).toEqual(['a/1']);
  await again.close();
  await reader.close();
  await under.remove();
  await expect(reader.read(0, 1000)).rejects.toThrow(/NotFound|NotReadable/);
});
