import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { matmulGradient } from './matmul_gradient.ts';

const RANK = 16;

/** dA [rank, features] from du and x; dB [features, rank] from dy and u: rank×features over tokens. */
function gradient(size: BenchSize, of: 'A' | 'B', tokens: number, features: number): KernelBench {
  const [height, width] = of === 'A' ? [RANK, features] : [features, RANK];
  return {
    name: `lora d${of} ${height}×${width}×${tokens}`,
    size,
    tokens,
    flops: 2 * tokens * features * RANK,
    bytes: 4 * (tokens * (features + RANK) + 2 * features * RANK),
    record(plan, buffers) {
      matmulGradient(plan, {
        p: { tensor: buffers.floats('p', tokens * height, 1e-3), stride: height, at: 0 },
        q: { tensor: buffers.floats('q', tokens * width, 1e-3), stride: width, at: 0 },
        g: buffers.floats('g', features * RANK),
        height,
        width,
      });
    },
  };
}

export const benches: readonly KernelBench[] = (['A', 'B'] as const).flatMap((of) => [
  gradient('full', of, 512, 576),
  gradient('full', of, 2048, 2048),
  gradient('full', of, 2048, 8192),
  gradient('small', of, 64, 96),
]);
