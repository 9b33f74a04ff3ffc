/** A folder on disk, read by byte range. */
import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { FileMissingError, type Folder, type RangeSource } from '../formats/range_source.ts';

/** Names that lead out of the folder are refused; links inside it are followed (the Hub's cache is made of them). */
export function diskFolder(directory: string): Folder {
  const name = path.basename(path.resolve(directory));
  const locate = (file: string) => {
    const full = path.resolve(directory, file);
    if (!full.startsWith(path.resolve(directory) + path.sep)) throw new FileMissingError(name, file);
    return full;
  };
  return {
    name,
    async has(file) {
      const found = await stat(locate(file)).catch(() => null);
      return found?.isFile() ?? false;
    },
    async open(file) {
      const full = locate(file);
      const found = await stat(full).catch(() => null);
      if (!found?.isFile()) throw new FileMissingError(name, file);
      return diskFile(full, `${name}/${file}`, found.size);
    },
  };
}

/** Opened for each read, so that nothing has to be closed by whoever reads. */
function diskFile(full: string, name: string, size: number): RangeSource {
  return {
    name,
    size,
    async read(begin, end) {
      if (!(Number.isSafeInteger(begin) && Number.isSafeInteger(end) && 0 <= begin && begin <= end && end <= size)) {
        throw new RangeError(`Bytes [${begin}, ${end}) are outside ${name} of ${size} bytes.`);
      }
      const bytes = new Uint8Array(end - begin);
      const file = await open(full);
      try {
        for (let at = 0; at < bytes.length; ) {
          const { bytesRead } = await file.read(bytes, at, bytes.length - at, begin + at);
          if (bytesRead === 0) throw new Error(`${name} became shorter while it was read. Start again.`);
          at += bytesRead;
        }
      } finally {
        await file.close();
      }
      return bytes;
    },
  };
}
