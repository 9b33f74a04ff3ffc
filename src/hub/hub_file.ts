/**
 * A file of the Hub as a RangeSource. What a reader asks for and what is read ahead of it is fetched in segments, each
 * byte once; a segment is kept until all of it was read.
 */
import type { RangeSource } from '../formats/range_source.ts';
import type { HubConnection } from './connection.ts';
import { downloadRange, type RemoteFile } from './download.ts';
import { ModelChangedError } from './errors.ts';
import { RangeSet } from './ranges.ts';
import type { Spool, SpooledPiece } from './spool.ts';

/** The most that one request asks for, bytes. */
export const SEGMENT_BYTES = 16 * 2 ** 20;
/**
 * Read-ahead, bytes: a model's small tensors would otherwise be a request each. It begins small, because a file's header
 * is often all that is read, and doubles with every request.
 */
const FIRST_WINDOW = 256 * 2 ** 10;
const LAST_WINDOW = 8 * 2 ** 20;
/** Files up to this size stay in memory: they are configuration, and read more than once. Bytes. */
const KEEP_WHOLE = 2 ** 20;

/** Where a file's bytes are kept as they arrive, and its path there. */
export interface SpooledFile {
  readonly spool: Spool;
  readonly path: string;
}

/** What the files of a folder share: how much may be read ahead, and how many requests run at once. */
export class ReadBudget {
  /** Bytes held in segments. */
  held = 0;
  readonly #heldLimit: number;
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(heldLimit = 64 * 2 ** 20, requests = 6) {
    this.#heldLimit = heldLimit;
    this.#free = requests;
  }

  /** Bytes that may still be read ahead. */
  get spare(): number {
    return Math.max(0, this.#heldLimit - this.held);
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#queue.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#free += 1;
    }
  }
}

export class HubFile implements RangeSource {
  readonly name: string;
  readonly size: number;
  readonly #connection: HubConnection;
  readonly #remote: RemoteFile;
  readonly #budget: ReadBudget;
  readonly #onBytes: () => void;
  /** Sorted, disjoint. */
  #segments: Segment[] = [];
  #window = FIRST_WINDOW;
  /** All that ever arrived, so that reading ahead does not fetch again what was used and let go. */
  #received = new RangeSet();
  /** All that was read. */
  readonly #read = new RangeSet();
  readonly #spooled: SpooledFile | null;
  #epoch = 0;

  constructor(
    connection: HubConnection,
    remote: RemoteFile,
    budget: ReadBudget,
    onBytes: () => void,
    spooled: SpooledFile | null = null,
  ) {
    this.name = remote.name;
    this.size = remote.size;
    this.#connection = connection;
    this.#remote = remote;
    this.#budget = budget;
    this.#onBytes = onBytes;
    this.#spooled = spooled && remote.size > KEEP_WHOLE ? spooled : null;
    for (const piece of this.#spooled?.spool.pieces(this.#spooled.path) ?? []) this.#adopt(piece);
  }

  /** Whether all of [begin, end) was read. */
  wasRead(begin: number, end: number): boolean {
    return this.#read.covers(begin, end);
  }

  /** Bytes that arrived, each counted once. */
  get loadedBytes(): number {
    return this.#received.total;
  }

  async read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const { size, name } = this;
    if (!(Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= begin && begin <= end && end <= size)) {
      throw new RangeError(`Bytes [${begin}, ${end}) are outside ${name} of ${size} bytes.`);
    }
    this.#connection.signal.throwIfAborted();
    if (begin === end) return new Uint8Array(0);
    for (;;) {
      const epoch = this.#remote.epoch;
      const parts = this.#cover(begin, end);
      for (const part of parts) part.readers += 1;
      try {
        await Promise.all(parts.map((part) => part.until(Math.min(part.end, end))));
        // Otherwise the file was started again meanwhile, and some parts may be of the one before.
        if (epoch === this.#remote.epoch) return this.#take(parts, begin, end);
      } finally {
        for (const part of parts) part.readers -= 1;
      }
    }
  }

  /** Lets go of everything; reads under way are ended by the connection. */
  close(): void {
    for (const segment of [...this.#segments]) this.#drop(segment);
  }

  /** The segments that hold [begin, end), those that are missing begun now. */
  #cover(begin: number, end: number): Segment[] {
    if (this.#epoch !== this.#remote.epoch) {
      this.#epoch = this.#remote.epoch;
      for (const segment of this.#segments.filter((one) => one.settled && one.epoch !== this.#epoch)) {
        this.#drop(segment);
      }
    }
    let at = begin;
    for (const segment of this.#segments.filter((one) => one.end > begin && one.begin < end)) {
      this.#fetch(at, segment.begin, segment.begin);
      at = Math.max(at, segment.end);
    }
    this.#fetch(at, end, this.#readAhead(at, end));
    const parts = this.#segments.filter((one) => one.end > begin && one.begin < end);
    for (const part of parts) if (part.piece) void this.#restore(part, part.piece);
    return parts;
  }

  /** How far a request for [begin, end) may go on: not into what is there, is coming, or was here before. */
  #readAhead(begin: number, end: number): number {
    if (begin >= end) return end;
    if (this.size <= KEEP_WHOLE) return this.size;
    const coming = this.#segments.find((segment) => segment.begin >= end)?.begin ?? this.size;
    const limit = Math.min(coming, this.#received.next(end), end + this.#budget.spare);
    const ahead = Math.max(end, Math.min(begin + this.#window, limit));
    this.#window = Math.min(this.#window * 2, LAST_WINDOW);
    return ahead;
  }

  /** Begins segments for [begin, end), the last one going on until `ahead`. */
  #fetch(begin: number, end: number, ahead: number): void {
    for (let at = begin; at < end; ) {
      const next = Math.min(at + SEGMENT_BYTES, ahead);
      const segment = new Segment(at, next);
      this.#budget.held += next - at;
      this.#segments.push(segment);
      void this.#budget.run(() => this.#download(segment));
      at = next;
    }
    this.#segments.sort((a, b) => a.begin - b.begin);
  }

  async #download(segment: Segment): Promise<void> {
    const { begin, end } = segment;
    segment.epoch = this.#remote.epoch;
    try {
      this.#connection.signal.throwIfAborted();
      await downloadRange(this.#connection, this.#remote, begin, end, {
        restart: () => {
          segment.restart(this.#remote.epoch);
          this.#received = new RangeSet();
          this.#forgetSpooled();
        },
        chunk: (bytes) => {
          this.#received.add(segment.filled, segment.filled + bytes.length);
          this.#spooled?.spool.keep(this.#spooled.path, segment.filled, bytes, this.#remote.etag);
          segment.append(bytes);
          this.#onBytes();
        },
      });
      this.#spooled?.spool.end(this.#spooled.path, end);
    } catch (error) {
      if (error instanceof ModelChangedError) this.#forgetSpooled();
      // What arrived stays; the rest is asked for again when someone wants it.
      if (this.#segments.includes(segment)) this.#budget.held -= end - segment.filled;
      segment.fail(error);
      if (segment.used.covers(segment.begin, segment.end)) this.#drop(segment);
    }
  }

  /** What an earlier load has left, to be read when someone wants it. */
  #adopt(piece: SpooledPiece): void {
    this.#remote.etag ??= piece.etag;
    if (piece.etag !== this.#remote.etag || piece.end > this.size) return;
    const segment = new Segment(piece.begin, piece.end);
    segment.piece = piece;
    this.#segments.push(segment);
    this.#received.add(piece.begin, piece.end);
  }

  async #restore(segment: Segment, piece: SpooledPiece): Promise<void> {
    segment.piece = null;
    this.#budget.held += piece.end - piece.begin;
    segment.epoch = this.#remote.epoch;
    const bytes = (await this.#spooled?.spool.read(this.#spooled.path, piece).catch(() => null)) ?? null;
    if (bytes && segment.epoch === this.#remote.epoch) segment.append(bytes);
    else await this.#budget.run(() => this.#download(segment));
  }

  /** The file is another one than what was kept of it. */
  #forgetSpooled(): void {
    if (!this.#spooled) return;
    this.#spooled.spool.forget(this.#spooled.path);
    for (const segment of this.#segments.filter(({ piece }) => piece !== null)) this.#drop(segment);
  }

  /** Copies [begin, end) out of its parts; what was read entirely is let go. */
  #take(parts: readonly Segment[], begin: number, end: number): Uint8Array<ArrayBuffer> {
    this.#remote.used = true;
    this.#read.add(begin, end);
    const keep = this.size <= KEEP_WHOLE;
    const [first] = parts;
    if (parts.length === 1 && first && !keep && first.begin === begin && first.end === end && first.readers === 1) {
      this.#drop(first);
      return first.bytes;
    }
    const out = new Uint8Array(end - begin);
    for (const part of parts) {
      const [from, to] = [Math.max(begin, part.begin), Math.min(end, part.end)];
      out.set(part.bytes.subarray(from - part.begin, to - part.begin), from - begin);
      part.used.add(from, to);
      if (!keep && part.settled && part.used.covers(part.begin, part.end)) this.#drop(part);
    }
    return out;
  }

  #drop(segment: Segment): void {
    if (!this.#segments.includes(segment)) return;
    this.#segments = this.#segments.filter((one) => one !== segment);
    // What nobody has asked for yet is not in memory.
    if (segment.piece === null) this.#budget.held -= segment.end - segment.begin;
  }
}

/** A range that is being fetched, or was. */
class Segment {
  readonly begin: number;
  end: number;
  /** Up to which offset bytes are there. */
  filled: number;
  readonly used = new RangeSet();
  /** Reads that wait for it. */
  readers = 0;
  /** Of the file, when its bytes came. */
  epoch = 0;
  /** Its bytes are kept from an earlier load, and not looked at yet. */
  piece: SpooledPiece | null = null;
  #bytes: Uint8Array<ArrayBuffer> | null = null;
  #waiting: { offset: number; resolve: () => void; reject: (error: unknown) => void }[] = [];

  constructor(begin: number, end: number) {
    this.begin = begin;
    this.end = end;
    this.filled = begin;
  }

  /** Allocated when the first byte comes: many segments may wait for their turn. */
  get bytes(): Uint8Array<ArrayBuffer> {
    this.#bytes ??= new Uint8Array(this.end - this.begin);
    return this.#bytes;
  }

  /** Nothing more will come. */
  get settled(): boolean {
    return this.filled === this.end;
  }

  append(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.filled - this.begin);
    this.filled += bytes.length;
    this.#waiting = this.#waiting.filter(({ offset, resolve }) => {
      if (offset > this.filled) return true;
      resolve();
      return false;
    });
  }

  restart(epoch: number): void {
    this.epoch = epoch;
    this.filled = this.begin;
  }

  fail(error: unknown): void {
    if (this.#bytes) this.#bytes = this.#bytes.slice(0, this.filled - this.begin);
    this.end = this.filled;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  /** Resolves when all before `offset` is there. */
  until(offset: number): Promise<void> {
    if (this.filled >= offset) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiting.push({ offset, resolve, reject }));
  }
}
