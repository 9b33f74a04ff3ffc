/**
 * A disk that fails at its n-th write. `kill` ends the process there: what was written before is on the disk, the write itself
 * is torn. `power` cuts the power: of what was written since the last flush any part may be missing or torn, in any order.
 * `full` refuses this and every later write that needs room, and goes on.
 */
import { StorageFullError } from '../errors.ts';
import type { PageDisk } from '../page_disk.ts';

export type Fault = 'kill' | 'power' | 'full';

export class KilledError extends Error {
  override name = 'KilledError';
}

export class FaultyDisk implements PageDisk {
  readonly #disk: PageDisk;
  readonly #fault: Fault;
  readonly #at: number;
  readonly #random: () => number;
  /** Writes since the last flush, with what was there before. */
  #unflushed: { at: number; before: Uint8Array<ArrayBuffer>; bytes: Uint8Array<ArrayBuffer> }[] = [];
  #dead = false;
  /** Writes so far: what a test enumerates. */
  writes = 0;

  /** @param at the write that fails, from 0; infinite for none */
  constructor(disk: PageDisk, fault: Fault, at: number, random: () => number) {
    this.#disk = disk;
    this.#fault = fault;
    this.#at = at;
    this.#random = random;
  }

  read(at: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#alive();
    return this.#disk.read(at, byteLength);
  }

  async write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const own = bytes.slice();
    const before = await this.#disk.read(at, own.byteLength);
    if (await this.#fails(true)) {
      await this.#disk.write(at, own.subarray(0, Math.floor(own.byteLength * this.#random())).slice());
      throw await this.#end();
    }
    this.#unflushed.push({ at, before, bytes: own });
    await this.#disk.write(at, own);
  }

  async flush(): Promise<void> {
    if (await this.#fails(false)) throw await this.#end();
    this.#unflushed = [];
    await this.#disk.flush();
  }

  async truncate(byteLength: number): Promise<void> {
    if (await this.#fails(false)) throw await this.#end();
    await this.#disk.truncate(byteLength);
  }

  records(): Promise<ReadonlyMap<string, string>> {
    this.#alive();
    return this.#disk.records();
  }

  async putRecords(records: readonly (readonly [name: string, text: string])[]): Promise<void> {
    for (const record of records) {
      if (await this.#fails(true)) throw await this.#end();
      await this.#disk.putRecords([record]);
    }
  }

  async deleteRecords(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (await this.#fails(false)) throw await this.#end();
      await this.#disk.deleteRecords([name]);
    }
  }

  close(): Promise<void> {
    return this.#disk.close();
  }

  /** Ends the process between two writes. */
  kill(): void {
    this.#dead = true;
  }

  #alive(): void {
    if (this.#dead) throw new KilledError('dead already');
  }

  async #fails(needsRoom: boolean): Promise<boolean> {
    this.#alive();
    const failing = this.writes >= this.#at && (this.#fault !== 'full' || needsRoom);
    this.writes++;
    if (failing && this.#fault === 'full') throw new StorageFullError('No room left.');
    return failing;
  }

  async #end(): Promise<KilledError> {
    this.#dead = true;
    if (this.#fault === 'power') {
      for (const { at, before, bytes } of this.#unflushed) {
        const kept = this.#random();
        if (kept < 1 / 3) continue;
        // None of it, or its beginning only, reached the disk.
        const torn = bytes.slice(0, kept < 2 / 3 ? 0 : Math.floor(bytes.byteLength * this.#random()));
        const left = new Uint8Array(bytes.byteLength);
        left.set(before);
        left.set(torn);
        await this.#disk.write(at, left);
      }
    }
    await this.#disk.close();
    return new KilledError('killed at this write');
  }
}
