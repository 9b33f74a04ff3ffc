/**
 * The port through which bytes of a download are kept as they arrive, until whoever reads them needs them no more: a load that
 * was cut off, at whatever byte, goes on from there.
 */

/** Bytes [begin, end) of a file that an earlier load has left. */
export interface SpooledPiece {
  readonly begin: number;
  readonly end: number;
  /** Of the file, when they came. */
  readonly etag: string | null;
}

export interface Spool {
  /** What there is of a file, sorted, none overlapping. */
  pieces(path: string): readonly SpooledPiece[];
  /** Null where it is gone or damaged. */
  read(path: string, piece: SpooledPiece): Promise<Uint8Array<ArrayBuffer> | null>;
  /** Takes bytes that arrived, which may change afterwards. Never throws: what cannot be kept is downloaded again. */
  keep(path: string, offset: number, bytes: Uint8Array, etag: string | null): void;
  /** No more comes behind the bytes that end there. */
  end(path: string, offset: number): void;
  /** The file is another one: what was kept of it is void. */
  forget(path: string): void;
}
