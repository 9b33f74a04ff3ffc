/** What the tiers that pages move between can do at best: the same copies, and nothing else. */
import type { Gpu } from '../device/gpu.ts';
import { UploadBuffer } from '../device/host_visible.ts';
import { GpuMemoryError } from '../device/ledger.ts';
import type { PageStore, PageVersion } from '../page_store.ts';
import { ReadbackRing } from '../train/paging/readback_ring.ts';

/** Bytes of pages a millisecond, times 1e-6: GB/s. */
export interface TierRates {
  /** The GPU's own copies out of host memory, and into it. */
  readonly toGpu: number;
  readonly fromGpu: number;
  /** What the host does with a page that has left: from where the GPU has copied it to where it will copy it from. */
  readonly hostCopy: number;
  /** Each page to the GPU, back, and to where it waits for the next time: the bytes of one direction. */
  readonly roundTrip: number;
  /** Null without a store. Several pages at a time, as paging does. */
  readonly storeWrite: number | null;
  readonly storeRead: number | null;
}

const IN_FLIGHT = 8;

const timed = async (bytes: number, work: () => Promise<unknown>): Promise<number> => {
  const started = performance.now();
  await work();
  return bytes / 1e6 / (performance.now() - started);
};

/** Moves `count` pages of `bytes` each way. @throws GpuMemoryError where host memory has no room for them, twice */
export async function measureTiers(
  gpu: Gpu,
  store: PageStore | null,
  { bytes, count }: { readonly bytes: number; readonly count: number },
): Promise<TierRates> {
  const { device, ledger } = gpu;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const slots = [0, 1].map(() => ledger.create({ label: 'page slot', size: bytes, usage, category: 'optimizer' }));
  const ring = new ReadbackRing(gpu, bytes, count);
  const uploads: UploadBuffer[] = [];
  const idle = () => device.queue.onSubmittedWorkDone();
  const send = (i: number) => {
    uploads[i].copyTo(slots[i % 2]);
    uploads[i].empty();
  };
  const leave = async (slot: number) => {
    await ring.take();
    return { mapped: ring.copy(slots[slot], 0) };
  };
  try {
    for (let i = 0; i < count; i++) {
      const upload = await UploadBuffer.make(gpu, 'page in host memory', bytes);
      if (!upload) throw new GpuMemoryError('There is no host memory that the GPU copies from for so many pages.');
      uploads.push(upload);
      await upload.fill(new Uint8Array(bytes).fill(i + 1));
    }
    const rates: Omit<TierRates, 'storeWrite' | 'storeRead'>[] = [];
    // Once more than is counted: the first touches all memory.
    for (let repeat = 0; repeat < 2; repeat++) {
      await idle();
      const toGpu = await timed(count * bytes, async () => {
        for (let i = 0; i < count; i++) send(i);
        await idle();
      });
      const fetched: Awaited<ReturnType<ReadbackRing['copy']>>[] = [];
      const fromGpu = await timed(count * bytes, async () => {
        const leaving: ReturnType<ReadbackRing['copy']>[] = [];
        for (let i = 0; i < count; i++) leaving.push((await leave(i % 2)).mapped);
        fetched.push(...(await Promise.all(leaving)));
      });
      const hostCopy = await timed(count * bytes, async () => {
        for (const [i, { bytes: page, release }] of fetched.entries()) {
          await uploads[i].fill(page);
          release();
        }
      });
      const roundTrip = await timed(count * bytes, async () => {
        const back: Promise<void>[] = [];
        for (let i = 0; i < count; i++) {
          send(i);
          const { mapped } = await leave(i % 2);
          back.push(mapped.then(({ bytes: page, release }) => uploads[i].fill(page).then(release)));
        }
        await Promise.all(back);
      });
      rates.push({ toGpu, fromGpu, hostCopy, roundTrip });
    }
    return { ...rates[rates.length - 1], ...(await measureStore(store, { bytes, count })) };
  } finally {
    ring.dispose();
    for (const upload of uploads) upload.destroy();
    for (const slot of slots) ledger.destroy(slot);
  }
}

async function measureStore(store: PageStore | null, { bytes: each, count }: { bytes: number; count: number }) {
  if (!store) return { storeWrite: null, storeRead: null };
  const pages = Array.from({ length: count }, (_, i) => new Uint8Array(each).fill(i + 1));
  const bytes = each * count;
  let versions: PageVersion[] = [];
  const storeWrite = await timed(bytes, async () => {
    versions = await inFlight(pages.length, (i) => store.write(`bench/${i}`, pages[i]));
  });
  const storeRead = await timed(bytes, () => inFlight(pages.length, (i) => store.read(versions[i])));
  await store.free(versions);
  return { storeWrite, storeRead };
}

async function inFlight<T>(count: number, work: (i: number) => Promise<T>): Promise<T[]> {
  const results: T[] = new Array(count);
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < count; i = next++) results[i] = await work(i);
  };
  await Promise.all(Array.from({ length: Math.min(count, IN_FLIGHT) }, lane));
  return results;
}
