/** A worker that has the browser's page disk, for tests: what a page asks it for, it does. */
import { openBrowserDisk, removeBrowserDisk } from '../browser_disk.ts';
import { openStudioDatabase } from '../database.ts';
import type { DiskReader, PageDisk } from '../page_disk.ts';

export type DiskMethod = keyof PageDisk | 'open' | 'remove' | 'read later' | 'close reader';

export interface DiskCall {
  readonly id: number;
  readonly run: string;
  readonly method: DiskMethod;
  readonly args: readonly unknown[];
}

export type DiskAnswer = { readonly id: number; readonly value: unknown; readonly error: string | null };

const database = openStudioDatabase('disk-tests');
const disks = new Map<string, PageDisk>();
const readers = new Map<string, DiskReader>();

async function answer({ run, method, args }: DiskCall): Promise<unknown> {
  const opened = await database;
  if (method === 'open') {
    disks.set(run, await openBrowserDisk(opened, run));
    return undefined;
  }
  if (method === 'remove') return removeBrowserDisk(opened, run);
  if (method === 'reader') {
    readers.set(run, await disks.get(run)!.reader!());
    return undefined;
  }
  if (method === 'read later') return readers.get(run)!.read(...(args as [number, number]));
  if (method === 'close reader') return readers.get(run)!.close();
  const call = disks.get(run)![method] as (...values: readonly unknown[]) => Promise<unknown>;
  return call.apply(disks.get(run), [...args]);
}

self.addEventListener('message', async ({ data }: MessageEvent<DiskCall>) => {
  const reply = (value: unknown, error: string | null) => self.postMessage({ id: data.id, value, error });
  await answer(data).then(
    (value) => reply(value, null),
    (error: Error) => reply(undefined, `${error.name}: ${error.message}`),
  );
});
