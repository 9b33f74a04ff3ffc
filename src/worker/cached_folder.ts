/** A model's small files in its cache: config.json, tokenizer and template, so that a cached model needs no network. */
import { FileMissingError, type Folder, type RangeSource } from '../formats/range_source.ts';
import { blobSource } from '../hub/dropped_folder.ts';
import type { ModelCache } from '../storage/model_cache.ts';

/** A tokenizer.json has up to 40 MB. */
const SMALL_FILE_BYTES = 128 * 2 ** 20;

const sectionOf = (path: string) => `file/${path}`;

const sourceOf = (name: string, bytes: Uint8Array<ArrayBuffer>): RangeSource => blobSource(name, new Blob([bytes]));

/** Of a complete cache. */
export function cachedFolder(name: string, cache: ModelCache): Folder {
  return {
    name,
    async has(path) {
      return cache.has(sectionOf(path));
    },
    async open(path) {
      const bytes = await cache.read(sectionOf(path));
      if (!bytes) throw new FileMissingError(name, path);
      return sourceOf(`${name}/${path}`, bytes);
    },
  };
}

/** Keeps the small files that are opened. */
export function cachingFolder(folder: Folder, cache: ModelCache): Folder {
  return {
    name: folder.name,
    has: (path) => folder.has(path),
    async open(path) {
      const file = await folder.open(path);
      if (path.endsWith('.safetensors') || file.size > SMALL_FILE_BYTES) return file;
      const bytes = await file.read(0, file.size);
      if (!cache.has(sectionOf(path))) await cache.write(sectionOf(path), bytes);
      return sourceOf(file.name, bytes);
    },
  };
}
