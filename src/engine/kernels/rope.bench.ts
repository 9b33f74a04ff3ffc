import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { rope } from './rope.ts';

function bench(size: BenchSize, tokens: number, heads: number, kvHeads: number, headDim: number): KernelBench {
  const half = headDim / 2;
  const rotated = heads + kvHeads;
  return {
    name: `rope ${tokens}, ${heads}/${kvHeads}×${headDim}`,
    size,
    tokens,
    flops: 6 * tokens * rotated * half,
    bytes: 4 * tokens * (2 * rotated * headDim + headDim + 1),
    record(plan, buffers, variant) {
      rope(plan, {
        x: buffers.activations('qkv', tokens * (heads + 2 * kvHeads) * headDim, variant),
        positions: buffers.values(
          'positions',
          Uint32Array.from({ length: tokens }, (_, i) => i),
        ),
        tables: {
          cosines: buffers.floats('cosines', tokens * half),
          sines: buffers.floats('sines', tokens * half),
          half,
        },
        stride: (heads + 2 * kvHeads) * headDim,
        heads: rotated,
        headDim,
        inverse: false,
      });
    },
  };
}

export const benches: readonly KernelBench[] = [
  bench('full', 512, 9, 3, 64),
  bench('full', 2048, 32, 8, 64),
  bench('full', 8192, 32, 8, 64),
  bench('small', 64, 4, 2, 16),
];
