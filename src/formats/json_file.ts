/** A small JSON file of a folder, size-checked before it is read. */
import type { Folder } from './range_source.ts';

/**
 * Opens, decodes and parses `path`. `fail` gets what is wrong with the content (more than `cap` bytes, not UTF-8, not
 * JSON) and throws the caller's own error; what opening and reading reject with passes through.
 */
export async function readJsonFile<T>(
  folder: Folder,
  path: string,
  cap: number,
  parse: (text: string) => T,
  fail: (problem: string) => never,
): Promise<T> {
  const source = await folder.open(path);
  if (source.size > cap) fail(`${path} has ${source.size} bytes; at most ${cap} are accepted`);
  const bytes = await source.read(0, source.size);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return fail(`${path} is not UTF-8 text`);
  }
  try {
    return parse(text);
  } catch (error) {
    return fail(`${path} is not JSON: ${error instanceof Error ? error.message.slice(0, 200) : 'unreadable'}`);
  }
}
