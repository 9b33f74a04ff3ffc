import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { rmsNormBackward } from './rms_norm_backward.ts';

/** Added to the residual stream's gradient, as in a layer. */
function bench(size: BenchSize, tokens: number, width: number): KernelBench {
  return {
    name: `rms_norm_backward ${tokens}×${width}`,
    size,
    tokens,
    flops: 8 * tokens * width,
    bytes: 4 * width * (4 * tokens + 1),
    record(plan, buffers) {
      rmsNormBackward(plan, {
        x: buffers.floats('x', tokens * width),
        weight: { tensor: buffers.floats('weight', width), at: 0, width, epsilon: 1e-5 },
        dy: buffers.floats('dy', tokens * width),
        dx: buffers.floats('dx', tokens * width),
        accumulate: true,
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
