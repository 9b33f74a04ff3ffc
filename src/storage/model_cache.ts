/**
 * A model's quantized weights and small files on a page disk: sections in one file, a record for each with its place and hash.
 * A section counts once its record is there and its hash fits, so whatever was cut off is fetched again, and nothing else; the
 * whole counts once the completion record is there, which is written after all else is on the disk.
 */
import { pageHash } from '../engine/page_store.ts';
import type { SectionReader, WeightCache } from '../engine/weight_cache.ts';
import { NewerStorageError } from './errors.ts';
import type { PageDisk } from './page_disk.ts';
import { SECTOR_BYTES } from './page_space.ts';

/** Goes up when sections change so that an older program would misread them. 1: a section's hash is SHA-256 of all of it. */
const FORMAT = 2;
const SECTION = 'section/';
const COMPLETE = 'complete/1';

/** Browsers copy what they hash: larger pieces take new memory each time, and twice as long (docs/performance.md). */
const PIECE_BYTES = 512 * 1024;

interface Section {
  readonly format: number;
  readonly at: number;
  readonly byteLength: number;
  readonly hash: string;
}

export class ModelCache<Details = unknown> implements WeightCache {
  readonly #disk: PageDisk;
  readonly #sections: Map<string, Section>;
  /** Of the file in use. */
  #end: number;
  #complete: Details | null;
  #failure: Error | null = null;

  private constructor(disk: PageDisk, sections: Map<string, Section>, complete: Details | null) {
    this.#disk = disk;
    this.#sections = sections;
    this.#complete = complete;
    this.#end = [...sections.values()].reduce((end, { at, byteLength }) => Math.max(end, at + byteLength), 0);
  }

  /** @throws NewerStorageError before anything is changed. */
  static async open<Details>(disk: PageDisk): Promise<ModelCache<Details>> {
    const sections = new Map<string, Section>();
    let complete: Details | null = null;
    for (const [name, text] of await disk.records()) {
      const record = JSON.parse(text);
      if (record.format > FORMAT) throw new NewerStorageError('This cached model');
      if (name === COMPLETE) complete = record.details;
      else if (name.startsWith(SECTION))
        sections.set(decodeURIComponent(name.slice(SECTION.length)), record as Section);
    }
    return new ModelCache(disk, sections, complete);
  }

  /** What {@link finish} was given; null until all of it is there. */
  get complete(): Details | null {
    return this.#complete;
  }

  /** Bytes of all sections. */
  get bytes(): number {
    return [...this.#sections.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** Why something was not kept; null where everything was. */
  get failure(): Error | null {
    return this.#failure;
  }

  has(section: string): boolean {
    return this.#sections.has(section);
  }

  async read(section: string, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | null> {
    const found = this.#sections.get(section);
    if (!found) return null;
    const bytes = await this.#disk.read(found.at, found.byteLength, into);
    if (bytes.byteLength !== found.byteLength) return null;
    const hash = await (found.format === 1 ? pageHash(bytes) : sectionHash(bytes));
    return hash === found.hash ? bytes : null;
  }

  async write(section: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.#failure || this.#complete) return;
    const at = Math.ceil(this.#end / SECTOR_BYTES) * SECTOR_BYTES;
    this.#end = at + bytes.byteLength;
    try {
      const [hash] = await Promise.all([sectionHash(bytes), this.#disk.write(at, bytes)]);
      const stored: Section = { format: FORMAT, at, byteLength: bytes.byteLength, hash };
      await this.#disk.putRecords([[nameOf(section), JSON.stringify(stored)]]);
      this.#sections.set(section, stored);
    } catch (error) {
      this.#failure = error as Error;
    }
  }

  async reader(): Promise<SectionReader | null> {
    const file = await this.#disk.reader?.();
    if (!file) return null;
    return {
      has: (section) => this.#sections.has(section),
      read: async (section) => {
        const found = this.#sections.get(section);
        return found ? file.read(found.at, found.byteLength) : new Uint8Array(0);
      },
      close: () => file.close(),
    };
  }

  /** Everything was written: from now on it is a model. False where something could not be kept. */
  async finish(details: Details): Promise<boolean> {
    if (this.#failure) return false;
    if (this.#complete) return true;
    try {
      await this.#disk.flush();
      await this.#disk.putRecords([[COMPLETE, JSON.stringify({ format: FORMAT, details })]]);
      this.#complete = details;
      return true;
    } catch (error) {
      this.#failure = error as Error;
      return false;
    }
  }

  /** Forgets all of it: it was damaged, or is to be loaded anew. */
  async clear(): Promise<void> {
    await this.#disk.deleteRecords([COMPLETE, ...[...this.#sections.keys()].map(nameOf)]);
    this.#sections.clear();
    this.#complete = null;
    this.#end = 0;
    await this.#disk.truncate(0);
  }

  close(): Promise<void> {
    return this.#disk.close();
  }
}

/** SHA-256 of the SHA-256 of each piece. */
async function sectionHash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, at + PIECE_BYTES);
    hashes.push(new Uint8Array(await crypto.subtle.digest('SHA-256', piece)));
  }
  const all = new Uint8Array(32 * hashes.length);
  for (const [i, hash] of hashes.entries()) all.set(hash, 32 * i);
  return pageHash(all);
}

/** Records have one slash, and names of tensors or files may have any character. */
const nameOf = (section: string) => SECTION + encodeURIComponent(section);
