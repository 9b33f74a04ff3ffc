import type { BenchBuffers } from '../bench/buffers.ts';
import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { type DoraOptions, doraBackward, doraForward, doraNorms } from './dora.ts';
import { benchAdapter, quantizedGroup } from './matmul_nf4.bench.ts';

const RANK = 16;

/** DoRA's own work on one linear: norms of W + s·B·A, once a step; scaling outputs and their gradients. */
function doraBenches(size: BenchSize, tokens: number, outFeatures: number, inFeatures: number): KernelBench[] {
  const title = `${tokens}×${outFeatures}`;
  return [
    {
      name: `dora_norm ${outFeatures}×${inFeatures}`,
      size,
      tokens: 1,
      flops: 2 * RANK * outFeatures * inFeatures,
      bytes: (outFeatures * inFeatures) / 2,
      record: (plan, buffers) => doraNorms(plan, setUp(buffers, inFeatures, outFeatures)),
    },
    {
      name: `dora_forward ${title}`,
      size,
      tokens,
      flops: 2 * tokens * outFeatures,
      bytes: 4 * 2 * tokens * outFeatures,
      record: (plan, buffers) =>
        doraForward(plan, {
          ...setUp(buffers, inFeatures, outFeatures),
          z: buffers.floats('z', tokens * outFeatures),
          y: buffers.floats('y', tokens * outFeatures),
        }),
    },
    {
      name: `dora_backward ${title}`,
      size,
      tokens,
      flops: 4 * tokens * outFeatures,
      bytes: 4 * 3 * tokens * outFeatures,
      record: (plan, buffers) =>
        doraBackward(plan, {
          ...setUp(buffers, inFeatures, outFeatures),
          z: buffers.floats('z', tokens * outFeatures),
          dy: buffers.floats('dy', tokens * outFeatures),
          dz: buffers.floats('dz', tokens * outFeatures),
        }),
    },
  ];
}

function setUp(buffers: BenchBuffers, inFeatures: number, outFeatures: number): DoraOptions {
  const plain = benchAdapter(buffers, inFeatures, outFeatures);
  const magnitudeAt = RANK * (inFeatures + outFeatures);
  const parameters = buffers.floats('LoRA matrices and magnitudes', magnitudeAt + outFeatures);
  const gradients = buffers.floats('their gradients', magnitudeAt + outFeatures);
  const parts = plain.parts.map((part) => part && { ...part, dora: { magnitudeAt, normAt: 0 } });
  return {
    group: quantizedGroup(buffers, outFeatures, inFeatures),
    adapter: { ...plain, parameters, gradients, parts },
    norms: buffers.floats('norms', outFeatures),
  };
}

export const benches: readonly KernelBench[] = [
  ...doraBenches('full', 2048, 2048, 2048),
  ...doraBenches('full', 2048, 8192, 2048),
  ...doraBenches('small', 64, 96, 64),
];
