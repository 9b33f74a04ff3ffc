/**
 * What a page store stands on: one file of pages that is read and written at any place, and small records by name. A browser
 * has the file in its private file system and the records in IndexedDB; Node has files for both.
 */

export interface PageDisk {
  /**
   * Bytes [at, at + byteLength) of the file; fewer where it ends before. A disk may put them into `into`, which has room for
   * them: memory that was used before is read into ten times as fast.
   */
  read(at: number, byteLength: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Makes the file longer where it has to. @throws StorageFullError */
  write(at: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** What was written so far survives a power cut, as far as the platform can tell. */
  flush(): Promise<void>;
  /** Cuts the file's end off. */
  truncate(byteLength: number): Promise<void>;
  /** All records, in no order. */
  records(): Promise<ReadonlyMap<string, string>>;
  /**
   * Writes records, each as a whole, in this order: an earlier one may be there without a later one, never the other way
   * round. All survive a power cut when it resolves. @throws StorageFullError
   */
  putRecords(records: readonly (readonly [name: string, text: string])[]): Promise<void>;
  deleteRecords(names: readonly string[]): Promise<void>;
  close(): Promise<void>;
  /**
   * Reads what has been written, after this disk is closed too, and keeps others from deleting it meanwhile. Absent where the
   * file is nobody else's.
   */
  reader?(): Promise<DiskReader>;
}

export interface DiskReader {
  /** Bytes [at, at + byteLength) of the file; fewer where it ends before. */
  read(at: number, byteLength: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}
