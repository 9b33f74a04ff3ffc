/** Files and folders in memory, for tests. */
import { FileMissingError, type Folder, type RangeSource } from './range_source.ts';

/** A RangeSource over bytes; `reads` records the ranges asked for. */
export interface MemorySource extends RangeSource {
  readonly reads: readonly (readonly [number, number])[];
}

export function memorySource(name: string, bytes: Uint8Array): MemorySource {
  const reads: [number, number][] = [];
  return {
    name,
    size: bytes.length,
    reads,
    async read(begin, end) {
      reads.push([begin, end]);
      if (!(0 <= begin && begin <= end && end <= bytes.length)) {
        throw new RangeError(`${name}: [${begin}, ${end}) is outside its ${bytes.length} bytes.`);
      }
      return Uint8Array.from(bytes.subarray(begin, end));
    },
  };
}

/** A Folder of path → content; text is stored as UTF-8. */
export function memoryFolder(name: string, files: Readonly<Record<string, string | Uint8Array>>): Folder {
  const contents = new Map(Object.entries(files));
  return {
    name,
    async has(path) {
      return contents.has(path);
    },
    async open(path) {
      const content = contents.get(path);
      if (content === undefined) throw new FileMissingError(name, path);
      return memorySource(`${name}/${path}`, typeof content === 'string' ? new TextEncoder().encode(content) : content);
    },
  };
}

/** A safetensors file from header text (or a value for JSON.stringify) and data, with no check at all. */
export function rawSafetensors(header: unknown, data: Uint8Array | number, length?: bigint): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const body = typeof data === 'number' ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + body.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(body, 8 + text.length);
  return file;
}
