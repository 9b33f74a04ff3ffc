/** What is kept of a cached model beside its sections: enough to list it and to choose what to delete. */

export interface CachedModel<Details = unknown> {
  /** Says exactly what it is: model, commit or files, quantization, and how the sections are laid out. */
  readonly key: string;
  /** Hub id or folder name. */
  readonly name: string;
  readonly commit: string | null;
  /** Milliseconds since 1970. */
  readonly used: number;
  /** Bytes on the disk so far. */
  readonly bytes: number;
  /** All sections are there. */
  readonly complete: boolean;
  /** What only the worker understands. */
  readonly details: Details;
}
