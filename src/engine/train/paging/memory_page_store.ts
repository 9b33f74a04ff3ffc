/** A page store in memory: for tests, and for a bench of everything but the disk. */
import { PageDamagedError, type PageStore, type PageVersion } from '../../page_store.ts';

export class MemoryPageStore implements PageStore {
  readonly #versions = new Map<number, { readonly bytes: Uint8Array<ArrayBuffer>; holds: number }>();
  #next = 1;
  /** Versions that something holds. */
  get versions(): number {
    return this.#versions.size;
  }

  async write(page: string, bytes: Uint8Array<ArrayBuffer>): Promise<PageVersion> {
    const version = this.#next++;
    this.#versions.set(version, { bytes: bytes.slice(), holds: 1 });
    return { page, version, byteLength: bytes.byteLength, hash: '' };
  }

  async read({ page, version }: PageVersion): Promise<Uint8Array<ArrayBuffer>> {
    const found = this.#versions.get(version);
    if (!found) throw new PageDamagedError(`${page} is gone`);
    return found.bytes.slice();
  }

  retain(versions: readonly PageVersion[]): void {
    for (const { version } of versions) this.#versions.get(version)!.holds++;
  }

  async free(versions: readonly PageVersion[]): Promise<void> {
    for (const { page, version } of versions) {
      const found = this.#versions.get(version);
      if (!found) throw new Error(`${page} is freed twice`);
      if (--found.holds === 0) this.#versions.delete(version);
    }
  }
}
