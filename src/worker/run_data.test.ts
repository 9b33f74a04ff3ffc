import { expect, it } from 'vitest';
import type { Example } from '../data/batch.ts';
import { openGenerationStore } from '../storage/generation_store.ts';
import { MemoryDisk } from '../storage/memory_disk.ts';
import { readRunData, runDataBytes, writeRunData } from './run_data.ts';

const example = (length: number, seed: number): Example => {
  const ids = Array.from({ length }, (_, i) => (seed * 7919 + i * 31) % 150_000);
  return { ids, labels: ids.map((id, i) => (i % 3 === 0 ? -100 : id)) };
};
const part = (examples: readonly Example[]) => ({
  lengths: Uint32Array.from(examples, ({ ids }) => ids.length),
  load: async (i: number) => examples[i],
});

it('comes back as it was written, over pages’ borders, with an empty part and an empty example', async () => {
  const training = [example(5, 1), example(0, 2), example(2 ** 20 - 7, 3), example(100, 4), example(2 ** 20 + 3, 5)];
  const store = await openGenerationStore(new MemoryDisk());
  for (const validation of [[], [example(9, 6), example(1, 7)]]) {
    const parts = [part(training), part(validation)];
    const pages = await writeRunData(store, parts);
    expect(pages.reduce((sum, { byteLength }) => sum + byteLength, 0)).toBe(runDataBytes(parts));
    const [first, second] = await readRunData(store, pages);
    expect(first.lengths).toEqual(parts[0].lengths);
    expect(second.lengths).toEqual(parts[1].lengths);
    // In any order.
    for (const i of [4, 0, 3, 1, 2]) {
      const { ids, labels } = await first.load(i);
      expect(ids.length).toBe(training[i].ids.length);
      expect(ids.findIndex((id, at) => id !== training[i].ids[at])).toBe(-1);
      expect(labels.findIndex((label, at) => label !== training[i].labels[at])).toBe(-1);
    }
    for (const [i, expected] of validation.entries()) expect(await second.load(i)).toEqual(expected);
  }
});
