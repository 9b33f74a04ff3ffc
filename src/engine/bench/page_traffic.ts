/** What the tiers that pages move between can do at best: the same copies, and nothing else. */
import type { Gpu } from '../device/gpu.ts';
import type { PageStore, PageVersion } from '../page_store.ts';
import { ReadbackRing } from '../train/paging/readback_ring.ts';

/** Bytes of pages a millisecond, times 1e-6: GB/s. */
export interface TierRates {
  readonly toGpu: number;
  readonly fromGpu: number;
  /** Each page to the GPU and back: the bytes of one direction. */
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

/** Moves `count` pages of `bytes` each way. */
export async function measureTiers(
  gpu: Gpu,
  store: PageStore | null,
  { bytes, count }: { readonly bytes: number; readonly count: number },
): Promise<TierRates> {
  const { device, ledger } = gpu;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const slots = [0, 1].map(() => ledger.create({ label: 'page slot', size: bytes, usage, category: 'optimizer' }));
  const ring = new ReadbackRing(gpu, bytes, Math.max(2, Math.min(count, IN_FLIGHT)));
  const pages = Array.from({ length: count }, (_, i) => new Uint8Array(bytes).fill(i + 1));
  const idle = () => device.queue.onSubmittedWorkDone();
  const take = (i: number): void => {
    // Begun only when a buffer was taken for it.
    fetched.push(
      ring.copy(slots[i % 2], 0).then((mapped) => {
        pages[i].set(mapped.bytes);
        mapped.release();
      }),
    );
  };
  const fetched: Promise<void>[] = [];
  try {
    const rates: Omit<TierRates, 'storeWrite' | 'storeRead'>[] = [];
    // Once more than is counted: the first touches all memory.
    for (let repeat = 0; repeat < 2; repeat++) {
      await idle();
      const toGpu = await timed(count * bytes, async () => {
        for (let i = 0; i < count; i++) {
          device.queue.writeBuffer(slots[i % 2], 0, pages[i]);
          // Else what is on its way would be all pages at once.
          if (i % IN_FLIGHT === IN_FLIGHT - 1) await idle();
        }
        await idle();
      });
      const fromGpu = await timed(count * bytes, async () => {
        for (let i = 0; i < count; i++) {
          await ring.take();
          take(i);
        }
        await Promise.all(fetched);
      });
      const roundTrip = await timed(count * bytes, async () => {
        for (let i = 0; i < count; i++) {
          device.queue.writeBuffer(slots[i % 2], 0, pages[i]);
          await ring.take();
          take(i);
        }
        await Promise.all(fetched);
      });
      rates.push({ toGpu, fromGpu, roundTrip });
    }
    return { ...rates[rates.length - 1], ...(await measureStore(store, pages)) };
  } finally {
    ring.dispose();
    for (const slot of slots) ledger.destroy(slot);
  }
}

async function measureStore(store: PageStore | null, pages: readonly Uint8Array<ArrayBuffer>[]) {
  if (!store) return { storeWrite: null, storeRead: null };
  const bytes = pages.reduce((sum, page) => sum + page.byteLength, 0);
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
