import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { matvecDense } from './matvec_dense.ts';

/** The output head in bf16. `--variant team=16,per_team=2` forces how it is cut. */
function bench(size: BenchSize, tokens: number, depth: number, width: number): KernelBench {
  return {
    name: `matvec_dense BF16 ${tokens}×${width}×${depth}`,
    size,
    tokens,
    flops: 2 * tokens * depth * width,
    bytes: 4 * tokens * (depth + width) + 2 * depth * width,
    record(plan, buffers, { team, per_team }) {
      matvecDense(plan, {
        x: buffers.floats('x', tokens * depth),
        y: { tensor: buffers.floats('y', tokens * width), stride: width, at: 0 },
        weight: buffers.bf16('weight', depth * width),
        dtype: 'BF16',
        depth,
        width,
        shape: team && per_team ? { team: Number(team), perTeam: Number(per_team) } : undefined,
      });
    },
  };
}

export const benches: readonly KernelBench[] = [
  bench('full', 2, 576, 49152),
  bench('full', 2, 2048, 128256),
  bench('small', 2, 64, 512),
];
