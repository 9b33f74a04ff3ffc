import { attentionDecodeReference } from './attention_decode.reference.ts';
import { attentionDecode } from './attention_decode.ts';
import { kvStoreReference } from './kv_store.reference.ts';
import { headVectors } from './kv_store.ts';
import { F32, type KernelCase, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  /** Tokens of each sequence, the new one included; they lie in slots from the last to the first. */
  readonly lengths: readonly number[];
  readonly capacity?: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly context: number;
  readonly window?: number;
  readonly softCap?: number;
  readonly span?: number;
}

const decodeCase = (shape: Shape): KernelCase => {
  const { lengths, capacity = lengths.length, heads, kvHeads, headDim, context, window, softCap, span } = shape;
  const tokens = lengths.length;
  const notes = [window ? `window ${window}` : '', softCap ? `capped at ${softCap}` : '', span ? `span ${span}` : ''];
  const split = context > (span ?? 256);
  return {
    name: [
      `attention_decode ${lengths.join(', ')} of ${capacity} × ${context}, ${heads}/${kvHeads} × ${headDim}`,
      ...notes.filter(Boolean),
    ].join(' '),
    shaderFiles: [
      ...['attention_decode.wgsl', 'common/reduce.wgsl', 'common/soft_cap.wgsl'],
      ...(split ? ['attention_decode_sum.wgsl'] : []),
    ],
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const width = (heads + 2 * kvHeads) * headDim;
        const sequences = lengths.map((length) => random.normal(length * width));
        const slots = Uint32Array.from(lengths, (_, i) => tokens - 1 - i);
        const positions = Uint32Array.from(lengths, (length) => length - 1);
        // What no sequence has written is poison.
        const count = tokens * kvHeads * headVectors(headDim) * 4 * context;
        let cache = {
          keys: new Float64Array(count).fill(Number.NaN),
          values: new Float64Array(count).fill(Number.NaN),
        };
        for (const [i, qkv] of sequences.entries()) {
          const own = { slots: new Uint32Array(lengths[i]).fill(slots[i]), positions: [...qkv.keys()] };
          cache = kvStoreReference(cache, qkv, own, shape);
        }
        const qkv = Float32Array.from(sequences.flatMap((own) => [...own.subarray(own.length - width)]));
        const attention = { heads, kvHeads, headDim, scale: 0.7, window: window ?? null, softCap };
        const o = bench.output('o', capacity * heads * headDim);
        attentionDecode(bench.plan, {
          shape: attention,
          qkv: bench.inputRows('qkv', qkv, { width, capacity }),
          positions: bench.input('positions', positions),
          slots: bench.input('slots', slots),
          cache: {
            keys: bench.input('keys', Float32Array.from(cache.keys)),
            values: bench.input('values', Float32Array.from(cache.values)),
            context,
          },
          o,
          span,
        });
        await bench.run();
        return { error: await bench.error(o, attentionDecodeReference(sequences, attention)), tolerance: F32 };
      }),
  };
};

export const cases: KernelCase[] = (
  [
    { lengths: [1], heads: 1, kvHeads: 1, headDim: 4, context: 1 },
    { lengths: [7, 1, 20], capacity: 4, heads: 4, kvHeads: 2, headDim: 10, context: 20 },
    { lengths: [63, 65], heads: 6, kvHeads: 2, headDim: 16, context: 70, window: 33, softCap: 4 },
    { lengths: [260, 150], heads: 2, kvHeads: 1, headDim: 64, context: 256 + 9 },
    { lengths: [130, 20, 65], heads: 4, kvHeads: 4, headDim: 8, context: 140, window: 30, span: 32 },
    { lengths: [100], heads: 2, kvHeads: 2, headDim: 130, context: 100, softCap: 2, span: 64 },
  ] satisfies Shape[]
).map(decodeCase);
