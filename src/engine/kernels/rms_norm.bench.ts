import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { rmsNorm } from './rms_norm.ts';

function bench(size: BenchSize, tokens: number, width: number): KernelBench {
  return {
    name: `rms_norm ${tokens}×${width}`,
    size,
    tokens,
    flops: 4 * tokens * width,
    bytes: 4 * width * (2 * tokens + 1),
    record(plan, buffers, variant) {
      rmsNorm(plan, {
        x: buffers.floats('x', tokens * width),
        weight: { tensor: buffers.floats('weight', width), at: 0, width, epsilon: 1e-5 },
        y: buffers.activations('y', tokens * width, variant),
      });
    },
  };
}

export const benches: readonly KernelBench[] = [
  bench('full', 512, 576),
  bench('full', 2048, 2048),
  bench('full', 16384, 2048),
  bench('small', 64, 64),
];
