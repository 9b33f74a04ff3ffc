/** Which parts of the file of pages are in use. Pages are of a few sizes, so that what one leaves the next one fills. */

export interface Extent {
  readonly at: number;
  readonly byteLength: number;
}

/** Extents begin at a multiple of this and take whole ones of it: what disks write at once. */
export const SECTOR_BYTES = 4096;

const sectors = (byteLength: number) => Math.max(1, Math.ceil(byteLength / SECTOR_BYTES)) * SECTOR_BYTES;

export class PageSpace {
  /** Gaps before the end, ascending, none touching another. */
  readonly #gaps: { at: number; byteLength: number }[] = [];
  #end = 0;

  /** @param used extents that are in use already; none overlap */
  constructor(used: Iterable<Extent> = []) {
    for (const { at, byteLength } of [...used].sort((a, b) => a.at - b.at)) {
      if (at > this.#end) this.#gaps.push({ at: this.#end, byteLength: at - this.#end });
      this.#end = Math.max(this.#end, at + sectors(byteLength));
    }
  }

  /** Bytes that the file has to have. */
  get end(): number {
    return this.#end;
  }

  /** The first gap that is large enough, else the end. */
  take(byteLength: number): Extent {
    const wanted = sectors(byteLength);
    const index = this.#gaps.findIndex((gap) => gap.byteLength >= wanted);
    if (index < 0) {
      const at = this.#end;
      this.#end += wanted;
      return { at, byteLength };
    }
    const gap = this.#gaps[index];
    const { at } = gap;
    if (gap.byteLength === wanted) this.#gaps.splice(index, 1);
    else this.#gaps[index] = { at: at + wanted, byteLength: gap.byteLength - wanted };
    return { at, byteLength };
  }

  give(extent: Extent): void {
    let { at, byteLength } = { at: extent.at, byteLength: sectors(extent.byteLength) };
    let index = this.#gaps.findIndex((gap) => gap.at > at);
    if (index < 0) index = this.#gaps.length;
    const next = this.#gaps[index];
    if (next && at + byteLength === next.at) {
      byteLength += next.byteLength;
      this.#gaps.splice(index, 1);
    }
    const before = this.#gaps[index - 1];
    if (before && before.at + before.byteLength === at) {
      at = before.at;
      byteLength += before.byteLength;
      this.#gaps.splice(--index, 1);
    }
    if (at + byteLength === this.#end) this.#end = at;
    else this.#gaps.splice(index, 0, { at, byteLength });
  }
}
