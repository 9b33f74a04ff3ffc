import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { attentionDecode } from './attention_decode.ts';
import { headVectors } from './kv_store.ts';

function bench(size: BenchSize, tokens: number, context: number, heads: number, kvHeads: number): KernelBench {
  const headDim = 64;
  const cached = tokens * kvHeads * headVectors(headDim) * 4 * context;
  return {
    name: `attention_decode ${tokens}×${context}, ${heads}/${kvHeads}×${headDim}`,
    size,
    tokens,
    flops: 4 * tokens * heads * headDim * context,
    bytes: 8 * cached,
    record(plan, buffers) {
      attentionDecode(plan, {
        shape: { heads, kvHeads, headDim, scale: headDim ** -0.5, window: null },
        qkv: buffers.floats('qkv', tokens * (heads + 2 * kvHeads) * headDim),
        positions: buffers.values('positions', new Uint32Array(tokens).fill(context - 1)),
        slots: buffers.values(
          'slots',
          Uint32Array.from({ length: tokens }, (_, t) => t),
        ),
        cache: { keys: buffers.floats('keys', cached), values: buffers.floats('values', cached), context },
        o: buffers.floats('o', tokens * heads * headDim),
      });
    },
  };
}

export const benches: readonly KernelBench[] = [
  bench('full', 2, 512, 32, 8),
  bench('full', 2, 4096, 32, 8),
  bench('small', 2, 64, 4, 2),
];
