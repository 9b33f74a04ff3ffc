import type { Random } from './random.ts';

/** Documents of random lengths over `tokens` tokens: [first, one after the last] for each token. */
export function randomDocuments(random: Random, tokens: number, count: number): Uint32Array<ArrayBuffer> {
  const starts = new Set([0]);
  while (starts.size < Math.min(count, tokens)) starts.add(random.integer(0, tokens));
  const sorted = [...starts].sort((a, b) => a - b);
  return documentsOf(sorted, tokens);
}

/** The same from the documents' first tokens. */
export function documentsOf(starts: readonly number[], tokens: number): Uint32Array<ArrayBuffer> {
  const documents = new Uint32Array(tokens * 2);
  starts.forEach((start, i) => {
    const end = starts[i + 1] ?? tokens;
    for (let t = start; t < end; t++) documents.set([start, end], 2 * t);
  });
  return documents;
}
