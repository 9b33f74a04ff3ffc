import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { embedding } from './embedding.ts';

function bench(size: BenchSize, tokens: number, width: number, vocab: number): KernelBench {
  return {
    name: `embedding bf16 ${tokens}×${width}`,
    size,
    tokens,
    flops: tokens * width,
    bytes: (2 + 4) * tokens * width,
    record(plan, buffers) {
      embedding(plan, {
        ids: buffers.words('ids', tokens, vocab - 1),
        table: buffers.bf16('table', vocab * width),
        dtype: 'BF16',
        y: buffers.floats('y', tokens * width),
        width,
        rows: { first: 0, count: vocab },
      });
    },
  };
}

// Vocabularies are powers of two: random ids are masked, not divided.
export const benches: readonly KernelBench[] = [
  bench('full', 512, 576, 2 ** 15),
  bench('full', 8192, 2048, 2 ** 16),
  bench('small', 64, 64, 2 ** 9),
];
