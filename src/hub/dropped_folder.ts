/** A model folder, or an adapter's, that was dropped on the page: File objects read by slices, nothing copied. */
import { FileMissingError, type Folder, type RangeSource } from '../formats/range_source.ts';

/** A file can no longer be read as it was dropped. */
export class DroppedFileError extends Error {
  override name = 'DroppedFileError';
}

export interface DroppedFile {
  /** Relative to what was dropped; a folder dropped as a whole may stand before each. */
  readonly path: string;
  readonly file: Blob;
}

/** What makes a folder a model's or an adapter's. */
const LANDMARKS = ['config.json', 'adapter_config.json'];

/** The folder is the shallowest one with a config.json; without any, the one that holds everything. */
export function droppedFolder(name: string, files: readonly DroppedFile[]): Folder {
  const all = files.map(({ path, file }) => ({ parts: path.split(/[\\/]/).filter((p) => p && p !== '.'), file }));
  const home = modelHome(all.map(({ parts }) => parts));
  const inside = new Map<string, Blob>();
  for (const { parts, file } of all) {
    if (!parts.includes('..') && home.every((part, i) => parts[i] === part)) {
      inside.set(parts.slice(home.length).join('/'), file);
    }
  }
  return {
    name,
    async has(path) {
      return inside.has(path);
    },
    async open(path) {
      const file = inside.get(path);
      if (!file) throw new FileMissingError(name, path);
      return blobSource(`${name}/${path}`, file);
    },
  };
}

function modelHome(paths: readonly (readonly string[])[]): readonly string[] {
  const homes = paths
    .filter((parts) => LANDMARKS.includes(parts.at(-1) ?? ''))
    .map((parts) => parts.slice(0, -1))
    .sort((a, b) => a.length - b.length);
  if (homes[0]) return homes[0];
  const [first = []] = paths;
  let shared = 0;
  while (
    shared < first.length - 1 &&
    paths.every((parts) => parts.length > shared + 1 && parts[shared] === first[shared])
  ) {
    shared += 1;
  }
  return first.slice(0, shared);
}

/** A dropped file by itself. */
export function blobSource(name: string, file: Blob): RangeSource {
  const { size } = file;
  return {
    name,
    size,
    async read(begin, end) {
      if (!(Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= begin && begin <= end && end <= size)) {
        throw new RangeError(`Bytes [${begin}, ${end}) are outside ${name} of ${size} bytes.`);
      }
      let bytes: Uint8Array<ArrayBuffer>;
      try {
        bytes = new Uint8Array(await file.slice(begin, end).arrayBuffer());
      } catch {
        // NotReadableError: browsers refuse a file that was written, moved or deleted since.
        throw new DroppedFileError(`${name} was changed, moved or deleted. Drop it again.`);
      }
      if (bytes.length !== end - begin) {
        throw new DroppedFileError(`${name} gave ${bytes.length} of ${end - begin} bytes. Drop it again.`);
      }
      return bytes;
    },
  };
}
