/**
 * A run's dataset among its pages, tokenized and split: what resuming needs when the files are no longer there. Written once;
 * every checkpoint lists it.
 */
import { type Example, IGNORE_INDEX } from '../data/batch.ts';
import type { DatasetPart } from '../data/batches.ts';
import type { PageStore, PageVersion } from '../engine/page_store.ts';

/** Tokens of a page but the last. */
const PAGE_TOKENS = 2 ** 20;
const TRAINED = 2 ** 31;
const LENGTHS = 'data/lengths';
const TOKENS = 'data/tokens/';
/** Pages held while examples are drawn from all over. */
const HELD = 16;

export const isDataPage = ({ page }: PageVersion) => page.startsWith('data/');

/** Bytes that it takes. */
export function runDataBytes(parts: readonly DatasetPart[]): number {
  const tokens = parts.reduce((sum, { lengths }) => lengths.reduce((a, b) => a + b, sum), 0);
  return 4 * (tokens + parts.reduce((sum, { lengths }) => sum + lengths.length + 1, 0));
}

/** The versions are held for the caller. @throws StorageFullError; nothing is held then. */
export async function writeRunData(store: PageStore, parts: readonly DatasetPart[]): Promise<PageVersion[]> {
  const written: PageVersion[] = [];
  try {
    const lengths = parts.flatMap((part) => [part.lengths.length, ...part.lengths]);
    written.push(await store.write(LENGTHS, new Uint8Array(Uint32Array.from(lengths).buffer)));
    let page = new Uint32Array(PAGE_TOKENS);
    let at = 0;
    const flush = async () => {
      if (at === 0) return;
      const bytes = new Uint8Array(page.slice(0, at).buffer);
      written.push(await store.write(`${TOKENS}${written.length - 1}`, bytes));
      page = new Uint32Array(PAGE_TOKENS);
      at = 0;
    };
    for (const part of parts) {
      for (let example = 0; example < part.lengths.length; example++) {
        const { ids, labels } = await part.load(example);
        for (const [i, id] of ids.entries()) {
          page[at++] = labels[i] === IGNORE_INDEX ? id : id + TRAINED;
          if (at === PAGE_TOKENS) await flush();
        }
      }
    }
    await flush();
    return written;
  } catch (error) {
    await store.free(written);
    throw error;
  }
}

/** The parts as they were written, read as they are needed. Throws where a page is gone. */
export async function readRunData(store: PageStore, pages: readonly PageVersion[]): Promise<DatasetPart[]> {
  const lengthsPage = pages.find(({ page }) => page === LENGTHS);
  if (!lengthsPage) throw new Error('The run has no data among its pages.');
  const numbers = new Uint32Array((await store.read(lengthsPage)).buffer);
  const byNumber = new Map(pages.map((version) => [version.page, version]));
  const held = new Map<number, Promise<Uint32Array>>();
  const tokensOf = (number: number): Promise<Uint32Array> => {
    const version = byNumber.get(TOKENS + number);
    if (!version) throw new Error(`The run has no page ${TOKENS}${number}.`);
    const found = held.get(number) ?? store.read(version).then(({ buffer }) => new Uint32Array(buffer));
    held.delete(number);
    held.set(number, found);
    if (held.size > HELD) held.delete(held.keys().next().value as number);
    return found;
  };
  const read = async (begin: number, length: number): Promise<Example> => {
    const ids: number[] = [];
    const labels: number[] = [];
    for (let at = begin; at < begin + length; ) {
      const first = at % PAGE_TOKENS;
      const page = await tokensOf(Math.floor(at / PAGE_TOKENS));
      const count = Math.min(PAGE_TOKENS - first, begin + length - at);
      for (const token of page.subarray(first, first + count)) {
        ids.push(token % TRAINED);
        labels.push(token >= TRAINED ? token - TRAINED : IGNORE_INDEX);
      }
      at += count;
    }
    return { ids, labels };
  };
  const parts: DatasetPart[] = [];
  let begin = 0;
  for (let at = 0; at < numbers.length; ) {
    const lengths = numbers.slice(at + 1, at + 1 + numbers[at]);
    const begins = new Float64Array(lengths.length);
    for (const [i, length] of lengths.entries()) {
      begins[i] = begin;
      begin += length;
    }
    parts.push({ lengths, load: (example) => read(begins[example], lengths[example]) });
    at += 1 + lengths.length;
  }
  return parts;
}
