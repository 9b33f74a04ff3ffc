import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { dropout, dropoutExpand } from './dropout.ts';

const RANK = 16;

/** Of one module: its masked input, and the gradient through it. */
function dropoutBenches(size: BenchSize, tokens: number, width: number): KernelBench[] {
  const mask = { probability: 0.05, module: 3, width };
  return [
    {
      name: `dropout ${tokens}×${width}`,
      ...{ size, tokens, flops: 30 * tokens * width, bytes: 4 * 2 * tokens * width },
      record: (plan, buffers) =>
        dropout(plan, {
          mask,
          x: { tensor: buffers.floats('x', tokens * width), stride: width, at: 0 },
          y: buffers.floats('y', tokens * width),
        }),
    },
    {
      name: `dropout_expand ${tokens}×${width}`,
      ...{ size, tokens, flops: (30 + 2 * RANK) * tokens * width, bytes: 4 * 2 * tokens * width },
      record: (plan, buffers) =>
        dropoutExpand(plan, {
          mask,
          du: { tensor: buffers.floats('du', tokens * RANK), stride: RANK, at: 0 },
          lora: buffers.floats('A', RANK * width),
          aAt: 0,
          rank: RANK,
          dx: buffers.floats('dx', tokens * width),
        }),
    },
  ];
}

export const benches: readonly KernelBench[] = [
  ...dropoutBenches('full', 2048, 2048),
  ...dropoutBenches('full', 2048, 8192),
  ...dropoutBenches('small', 64, 96),
];
