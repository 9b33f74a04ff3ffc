import { kvStoreReference } from './kv_store.reference.ts';
import { headVectors, kvStore } from './kv_store.ts';
import { EXACT, type KernelCase, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly capacity?: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly slots: number;
  readonly context: number;
}

const storeCase = (shape: Shape): KernelCase => {
  const { tokens, capacity = tokens, heads, kvHeads, headDim, slots, context } = shape;
  return {
    name: `kv_store ${tokens} of ${capacity}, ${heads}/${kvHeads} × ${headDim}, ${slots} of ${context}`,
    shaderFiles: ['kv_store.wgsl', 'common/indexing.wgsl'],
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const width = (heads + 2 * kvHeads) * headDim;
        const qkv = random.normal(tokens * width);
        // Each place once; the last token lies beyond the context and is left out.
        const order = random.integers(slots * context, 0, 2 ** 30);
        const places = [...order.keys()].sort((a, b) => order[a] - order[b]).slice(0, tokens);
        const own = Uint32Array.from(places, (place) => place % slots);
        const positions = Uint32Array.from(places, (place) => Math.floor(place / slots));
        positions[tokens - 1] = context + 1;
        const count = slots * kvHeads * headVectors(headDim) * 4 * context;
        const before = { keys: random.normal(count), values: random.normal(count) };
        const [keys, values] = [bench.inout('keys', before.keys), bench.inout('values', before.values)];
        kvStore(bench.plan, {
          shape,
          qkv: bench.inputRows('qkv', qkv, { width, capacity }),
          positions: bench.input('positions', positions),
          slots: bench.input('slots', own),
          cache: { keys, values, context },
        });
        await bench.run();
        const expected = kvStoreReference(before, qkv, { slots: own, positions }, shape);
        const error = worst(await bench.error(keys, expected.keys), await bench.error(values, expected.values));
        return { error, tolerance: EXACT };
      }),
  };
};

export const cases: KernelCase[] = (
  [
    { tokens: 2, heads: 1, kvHeads: 1, headDim: 4, slots: 1, context: 2 },
    { tokens: 7, capacity: 9, heads: 4, kvHeads: 2, headDim: 10, slots: 3, context: 5 },
    { tokens: 65, heads: 6, kvHeads: 3, headDim: 16, slots: 2, context: 63 },
  ] satisfies Shape[]
).map(storeCase);
