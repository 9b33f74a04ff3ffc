/** A page disk on the other side of HTTP: for a headless page, whose command line keeps its run's files. */
import { RunLockedError, StorageFullError } from './errors.ts';
import type { PageDisk } from './page_disk.ts';

/** Answers of the other side. */
export const STORAGE_FULL = 507;
export const RUN_LOCKED = 423;

/** One request for each thing that a disk does. */
export type DiskRequest =
  | { readonly op: 'open' | 'flush' | 'records' | 'close' }
  | { readonly op: 'read'; readonly at: number; readonly byteLength: number }
  | { readonly op: 'write'; readonly at: number }
  | { readonly op: 'truncate'; readonly byteLength: number }
  | { readonly op: 'put'; readonly records: readonly (readonly [name: string, text: string])[] }
  | { readonly op: 'delete'; readonly names: readonly string[] };

/** @param url ends with a slash. @throws RunLockedError */
export async function openHttpDisk(url: string): Promise<PageDisk> {
  const ask = async (request: DiskRequest, body?: Uint8Array<ArrayBuffer>): Promise<Response> => {
    // What is asked goes in the address, pages in the body; records are both at once and go in the body.
    const { op, ...rest } = request;
    const inBody = op === 'put' || op === 'delete';
    const query = inBody ? '' : `?${new URLSearchParams(Object.entries(rest).map(([k, v]) => [k, String(v)]))}`;
    const response = await fetch(`${url}${op}${query}`, {
      method: 'POST',
      body: inBody ? JSON.stringify(rest) : (body ?? null),
    });
    if (response.ok) return response;
    const message = await response.text();
    if (response.status === STORAGE_FULL) throw new StorageFullError(message);
    throw response.status === RUN_LOCKED ? new RunLockedError(message) : new Error(message);
  };
  await ask({ op: 'open' });
  return {
    read: async (at, byteLength) => new Uint8Array(await (await ask({ op: 'read', at, byteLength })).arrayBuffer()),
    write: async (at, bytes) => void (await ask({ op: 'write', at }, bytes)),
    flush: async () => void (await ask({ op: 'flush' })),
    truncate: async (byteLength) => void (await ask({ op: 'truncate', byteLength })),
    records: async () => new Map(await (await ask({ op: 'records' })).json()),
    putRecords: async (records) => void (await ask({ op: 'put', records })),
    deleteRecords: async (names) => void (await ask({ op: 'delete', names })),
    close: async () => void (await ask({ op: 'close' })),
  };
}
