/**
 * Files as the studio reads them: by byte range, never whole. The Hub, a dropped folder, a local HTTP server and a
 * folder on disk (Node) all implement these two interfaces.
 */

/** One readable file of known size. */
export interface RangeSource {
  /** For error messages. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Bytes [begin, end). The returned array owns its buffer. Rejects if fewer bytes than asked for can be read.
   */
  read(begin: number, end: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** A Hub-style folder: a model, an adapter or a case. Paths are relative, with '/' between parts. */
export interface Folder {
  /** For error messages and `base_model_name_or_path`. */
  readonly name: string;
  has(path: string): Promise<boolean>;
  /** Rejects with {@link FileMissingError} when there is no such file. */
  open(path: string): Promise<RangeSource>;
}

export class FileMissingError extends Error {
  override name = 'FileMissingError';
  constructor(folder: string, path: string) {
    super(`${folder} has no file ${path}. Check the folder's name and that the download is complete.`);
  }
}

/** Reads a whole small text file, refusing one larger than `cap` bytes before reading it. */
export async function readText(folder: Folder, path: string, cap: number): Promise<string> {
  const file = await folder.open(path);
  if (file.size > cap) {
    throw new RangeError(
      `${folder.name}/${path} has ${file.size} bytes; at most ${cap} are expected. Is this the right file?`,
    );
  }
  return new TextDecoder('utf-8', { fatal: true }).decode(await file.read(0, file.size));
}
