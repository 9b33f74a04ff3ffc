import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { lowRankBackward, lowRankForward, lowRankGradient } from './low_rank.ts';
import { benchAdapter } from './matmul_nf4.bench.ts';

const RANK = 16;

/** LoRA's narrow products of one linear: tokens×out×in. */
function lowRankBenches(size: BenchSize, tokens: number, outFeatures: number, inFeatures: number): KernelBench[] {
  const title = `${tokens}×${outFeatures}×${inFeatures}`;
  const narrow = (features: number) => ({
    size,
    tokens,
    flops: 2 * tokens * features * RANK,
    bytes: 4 * (tokens * (features + RANK) + features * RANK),
  });
  const features = inFeatures + outFeatures;
  return [
    {
      name: `low_rank u ${title}`,
      ...narrow(inFeatures),
      record(plan, buffers, variant) {
        lowRankForward(plan, {
          x: { tensor: buffers.activations('x', tokens * inFeatures, variant), stride: inFeatures, at: 0 },
          inFeatures,
          adapter: benchAdapter(buffers, inFeatures, outFeatures),
          u: buffers.floats('u', tokens * RANK),
        });
      },
    },
    {
      name: `low_rank du ${title}`,
      ...narrow(outFeatures),
      record(plan, buffers) {
        lowRankBackward(plan, {
          dy: { tensor: buffers.floats('dy', tokens * outFeatures), stride: outFeatures, at: 0 },
          outFeatures: [outFeatures],
          adapter: benchAdapter(buffers, inFeatures, outFeatures),
          du: buffers.floats('du', tokens * RANK),
        });
      },
    },
    {
      name: `low_rank dA dB ${title}`,
      size,
      tokens,
      flops: 2 * tokens * features * RANK,
      bytes: 4 * (tokens * (features + 2 * RANK) + 2 * features * RANK),
      record(plan, buffers, variant) {
        lowRankGradient(plan, {
          x: { tensor: buffers.activations('x', tokens * inFeatures, variant), stride: inFeatures, at: 0 },
          inFeatures,
          dy: { tensor: buffers.floats('dy', tokens * outFeatures), stride: outFeatures, at: 0 },
          outFeatures: [outFeatures],
          u: buffers.floats('u', tokens * RANK, 1e-3),
          du: buffers.floats('du', tokens * RANK, 1e-3),
          adapter: benchAdapter(buffers, inFeatures, outFeatures),
        });
      },
    },
  ];
}

export const benches: readonly KernelBench[] = [
  ...lowRankBenches('full', 512, 576, 576),
  ...lowRankBenches('full', 2048, 2048, 2048),
  ...lowRankBenches('full', 2048, 8192, 2048),
  ...lowRankBenches('small', 64, 96, 64),
];
