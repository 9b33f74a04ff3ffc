/** What is kept of a cached model beside its bytes. */

/** A stretch of the cache's file: a part of the weights as the GPU has it. */
export interface CachedSection {
  readonly name: string;
  readonly at: number;
  readonly byteLength: number;
  /** SHA-256, lower-case hex. */
  readonly hash: string;
}

export interface CachedModel<Details = unknown> {
  /** Says exactly what it is: model, commit, quantization and layout. */
  readonly key: string;
  /** Hub id or folder name. */
  readonly name: string;
  readonly commit: string | null;
  /** Milliseconds since 1970. */
  readonly used: number;
  /** Bytes on the disk. */
  readonly bytes: number;
  /** In the order in which they were written. */
  readonly sections: readonly CachedSection[];
  /** All sections are there. Set last. */
  readonly complete: boolean;
  /** What only the worker understands. */
  readonly details: Details;
}
