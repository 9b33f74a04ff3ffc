/** A page disk in memory: for a browser that keeps nothing, where paging still needs a place while the page is open. */
import type { PageDisk } from './page_disk.ts';

export class MemoryDisk implements PageDisk {
  #bytes = new Uint8Array(0);
  #length = 0;
  readonly #records = new Map<string, string>();

  async read(at: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#bytes.slice(at, Math.min(this.#length, at + byteLength));
  }

  async write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const end = at + bytes.byteLength;
    if (end > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.byteLength * 1.5));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, at);
    this.#length = Math.max(this.#length, end);
  }

  async flush(): Promise<void> {}

  async truncate(byteLength: number): Promise<void> {
    this.#length = Math.min(this.#length, byteLength);
  }

  async records(): Promise<ReadonlyMap<string, string>> {
    return new Map(this.#records);
  }

  async putRecords(records: readonly (readonly [name: string, text: string])[]): Promise<void> {
    for (const [name, text] of records) this.#records.set(name, text);
  }

  async deleteRecords(names: readonly string[]): Promise<void> {
    for (const name of names) this.#records.delete(name);
  }

  async close(): Promise<void> {}
}
