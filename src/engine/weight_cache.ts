/**
 * The port through which quantized weights are kept and come back: sections of bytes as the GPU has them, in the order in
 * which they are uploaded, so that a second start reads them at the disk's speed and computes nothing.
 */

export interface WeightCache {
  /** A section's bytes, perhaps in `into`, which has room for them; null where it is not there, or not what was written. */
  read(section: string, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Keeps a section. Never rejects: a cache that cannot be written costs a second download, not the first. */
  write(section: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** For layers that are streamed; null where sections can be read only while the cache is open. */
  reader(): Promise<SectionReader | null>;
}

/**
 * A cache's sections, to be read after it is closed and without their hashes being computed again. Until it is closed itself the
 * cache is in use: nobody deletes it.
 */
export interface SectionReader {
  has(section: string): boolean;
  /** The section's bytes, fewer where the file has become shorter. */
  read(section: string): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** Sections of tables, the embedding's and the head's, have at most so many bytes. */
export const TABLE_SECTION_BYTES = 8 * 2 ** 20;

export const layerSection = (layer: number) => `layer/${layer}`;
export const tableSection = (tensor: string, offset: number) => `table/${tensor}/${offset}`;
export const FINAL_NORM_SECTION = 'final norm';

/** A complete cache that lacks a section, or has one that was damaged. */
export class WeightCacheError extends Error {
  override name = 'WeightCacheError';
  constructor(section: string, options?: ErrorOptions) {
    super(`The cached weights are damaged (${section}). Delete the model from the cache and load it again.`, options);
  }
}
