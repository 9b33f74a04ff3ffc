/**
 * Bytes of a download that are in no section of the cache yet, in pieces on a page disk: a record for each with its place and
 * hash. What a kill costs is the piece that each connection had begun, and those that came while records were written.
 */
import { pageHash } from '../engine/page_store.ts';
import type { PageDisk } from './page_disk.ts';
import { PageSpace } from './page_space.ts';

/** The disk of a model's download, by the model's key. */
export const partOf = (key: string) => `${key}-part`;

/** The most that is lost of each connection, bytes. */
export const PIECE_BYTES = 256 * 2 ** 10;
const RECORD = 'piece/';

interface Piece {
  readonly path: string;
  readonly begin: number;
  readonly end: number;
  readonly etag: string | null;
  readonly at: number;
  readonly hash: string;
}

/** A piece that is still filled. */
interface Begun {
  readonly path: string;
  readonly begin: number;
  readonly etag: string | null;
  readonly bytes: Uint8Array<ArrayBuffer>;
  filled: number;
}

const nameOf = ({ path, begin }: Pick<Piece, 'path' | 'begin'>) => `${RECORD}${encodeURIComponent(path)}/${begin}`;

export class DownloadSpool {
  readonly #disk: PageDisk;
  readonly #space: PageSpace;
  #pieces: Piece[];
  #begun: Begun[] = [];
  /** Pieces that are on the disk and whose records are not. */
  #unwritten: Piece[] = [];
  #recording: Promise<void> | null = null;
  #writing: Promise<void> = Promise.resolve();
  #failed = false;

  private constructor(disk: PageDisk, pieces: Piece[]) {
    this.#disk = disk;
    this.#pieces = pieces;
    this.#space = new PageSpace(pieces.map(({ at, begin, end }) => ({ at, byteLength: end - begin })));
  }

  static async open(disk: PageDisk): Promise<DownloadSpool> {
    const pieces: Piece[] = [];
    for (const [name, text] of await disk.records()) if (name.startsWith(RECORD)) pieces.push(JSON.parse(text));
    return new DownloadSpool(disk, pieces);
  }

  pieces(path: string): readonly Piece[] {
    const own = this.#pieces.filter((piece) => piece.path === path).sort((a, b) => a.begin - b.begin);
    return own.filter(({ begin }, i) => i === 0 || begin >= own[i - 1].end);
  }

  async read(path: string, { begin, end }: Pick<Piece, 'begin' | 'end'>): Promise<Uint8Array<ArrayBuffer> | null> {
    const found = this.#pieces.find((piece) => piece.path === path && piece.begin === begin && piece.end === end);
    if (!found) return null;
    const bytes = await this.#disk.read(found.at, end - begin);
    return bytes.byteLength === end - begin && (await pageHash(bytes)) === found.hash ? bytes : null;
  }

  keep(path: string, offset: number, bytes: Uint8Array, etag: string | null): void {
    if (this.#failed) return;
    for (let at = 0; at < bytes.byteLength; ) {
      let begun = this.#begun.find((one) => one.path === path && one.begin + one.filled === offset + at);
      if (!begun) {
        begun = { path, begin: offset + at, etag, bytes: new Uint8Array(PIECE_BYTES), filled: 0 };
        this.#begun.push(begun);
      }
      const part = bytes.subarray(at, at + PIECE_BYTES - begun.filled);
      begun.bytes.set(part, begun.filled);
      begun.filled += part.byteLength;
      at += part.byteLength;
      if (begun.filled === PIECE_BYTES) this.#store(begun);
    }
  }

  end(path: string, offset: number): void {
    const begun = this.#begun.find((one) => one.path === path && one.begin + one.filled === offset);
    if (begun && !this.#failed) this.#store(begun);
  }

  forget(path: string): void {
    this.#begun = this.#begun.filter((begun) => begun.path !== path);
    void this.#remove((piece) => piece.path === path);
  }

  /** Lets go of the pieces that are read and not needed again: what was made of them is kept elsewhere. */
  release(isRead: (path: string, begin: number, end: number) => boolean): Promise<void> {
    this.#begun = this.#begun.filter(({ path, begin, filled }) => !isRead(path, begin, begin + filled));
    return this.#remove(({ path, begin, end }) => isRead(path, begin, end));
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#record();
    await this.#disk.close();
  }

  #store(begun: Begun): void {
    this.#begun = this.#begun.filter((one) => one !== begun);
    const { path, begin, etag, filled } = begun;
    const bytes = begun.bytes.subarray(0, filled);
    const { at } = this.#space.take(filled);
    this.#do(async () => {
      const [hash] = await Promise.all([pageHash(bytes), this.#disk.write(at, bytes)]);
      this.#unwritten.push({ path, begin, end: begin + filled, etag, at, hash });
      // Not waited for: a record takes as long to be safe as many pieces to be written.
      void this.#record();
    });
  }

  /** Writes records until there is one for each piece: all that are there at once, then those that came meanwhile. */
  async #record(): Promise<void> {
    if (!this.#recording && this.#unwritten.length > 0) this.#recording = this.#recordAll();
    await this.#recording;
  }

  async #recordAll(): Promise<void> {
    try {
      while (this.#unwritten.length > 0 && !this.#failed) {
        const pieces = this.#unwritten.splice(0);
        await this.#disk.putRecords(pieces.map((piece) => [nameOf(piece), JSON.stringify(piece)]));
        this.#pieces.push(...pieces);
      }
    } catch {
      this.#fail();
    }
    // In the same turn as the last look at what is unwritten: whoever comes next begins anew.
    this.#recording = null;
  }

  #fail(): void {
    this.#failed = true;
    this.#begun = [];
    this.#unwritten = [];
  }

  #remove(which: (piece: Piece) => boolean): Promise<void> {
    return this.#do(async () => {
      await this.#record();
      const gone = this.#pieces.filter(which);
      if (gone.length === 0) return;
      await this.#disk.deleteRecords(gone.map(nameOf));
      this.#pieces = this.#pieces.filter((piece) => !which(piece));
      for (const { at, begin, end } of gone) this.#space.give({ at, byteLength: end - begin });
    });
  }

  /** One after the other. A disk that is full ends the keeping, not the download. */
  #do(work: () => Promise<void>): Promise<void> {
    this.#writing = this.#writing.then(async () => {
      if (this.#failed) return;
      await work().catch(() => this.#fail());
    });
    return this.#writing;
  }
}
