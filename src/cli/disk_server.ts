/** Does to a page disk what a headless page asks by HTTP (storage/http_disk.ts). */
import { RunLockedError, StorageFullError } from '../storage/errors.ts';
import { RUN_LOCKED, STORAGE_FULL } from '../storage/http_disk.ts';
import type { PageDisk } from '../storage/page_disk.ts';

export type OpenDisk = () => Promise<PageDisk>;

export interface DiskAnswer {
  readonly status: number;
  readonly body: Uint8Array | string;
}

export class DiskServer {
  readonly #open: OpenDisk;
  #disk: PageDisk | null = null;

  constructor(open: OpenDisk) {
    this.#open = open;
  }

  async answer(op: string, query: URLSearchParams, body: Uint8Array<ArrayBuffer>): Promise<DiskAnswer> {
    try {
      return { status: 200, body: (await this.#do(op, query, body)) ?? '' };
    } catch (error) {
      const { message } = error as Error;
      const status =
        error instanceof StorageFullError ? STORAGE_FULL : error instanceof RunLockedError ? RUN_LOCKED : 500;
      return { status, body: message };
    }
  }

  /** What a page that is gone has left open. */
  async close(): Promise<void> {
    await this.#disk?.close();
    this.#disk = null;
  }

  async #do(
    op: string,
    query: URLSearchParams,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array | string | undefined> {
    const number = (name: string) => Number(query.get(name));
    const json = () => JSON.parse(new TextDecoder().decode(body));
    if (op === 'open') {
      await this.close();
      this.#disk = await this.#open();
      return undefined;
    }
    const disk = this.#disk;
    if (!disk) throw new Error('The run’s disk is not open.');
    switch (op) {
      case 'read':
        return disk.read(number('at'), number('byteLength'));
      case 'write':
        await disk.write(number('at'), body);
        return undefined;
      case 'flush':
        await disk.flush();
        return undefined;
      case 'truncate':
        await disk.truncate(number('byteLength'));
        return undefined;
      case 'records':
        return JSON.stringify([...(await disk.records())]);
      case 'put':
        await disk.putRecords(json().records);
        return undefined;
      case 'delete':
        await disk.deleteRecords(json().names);
        return undefined;
      case 'close':
        await this.close();
        return undefined;
      default:
        throw new Error(`A disk does not ${op}.`);
    }
  }
}
