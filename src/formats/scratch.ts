/** A file that is written from its beginning to its end, and then read by range. */
import type { RangeSource } from './range_source.ts';

/** Room for what has no other place: a file of the browser's private file system, or of the disk. */
export interface Scratch {
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** What was written, under this name. */
  finish(name: string): Promise<RangeSource>;
  discard(): Promise<void>;
}

export type CreateScratch = () => Promise<Scratch>;
