import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { benchAdapter, quantizedGroup } from './matmul_nf4.bench.ts';
import { matvecNf4 } from './matvec_nf4.ts';
import { BLOCK, NESTED_BLOCK } from './nf4_quantize.ts';

/** `--variant team=16,per_team=2` forces how it is cut. */
function bench(size: BenchSize, tokens: number, outFeatures: number, inFeatures: number): KernelBench {
  const weights = outFeatures * inFeatures;
  return {
    name: `matvec_nf4 + LoRA r 16 ${tokens}×${outFeatures}×${inFeatures}`,
    size,
    tokens,
    flops: 2 * tokens * (weights + 16 * outFeatures),
    bytes:
      4 * tokens * (inFeatures + outFeatures) +
      weights * (0.5 + 1 / BLOCK + 4 / (BLOCK * NESTED_BLOCK)) +
      64 * outFeatures,
    record(plan, buffers, variant) {
      const { team, per_team } = variant;
      matvecNf4(plan, {
        x: buffers.floats('x', tokens * inFeatures),
        y: buffers.floats('y', tokens * outFeatures),
        group: quantizedGroup(buffers, outFeatures, inFeatures),
        lora: {
          u: buffers.floats('u', tokens * 16),
          adapter: benchAdapter(buffers, inFeatures, outFeatures),
          strength: buffers.floats('strength', tokens),
        },
        shape: team && per_team ? { team: Number(team), perTeam: Number(per_team) } : undefined,
      });
    },
  };
}

export const benches: readonly KernelBench[] = [
  ...[1, 2, 8].flatMap((tokens) => [bench('full', tokens, 576, 1536), bench('full', tokens, 16384, 2048)]),
  bench('full', 2, 2048, 2048),
  bench('full', 2, 2048, 8192),
  bench('small', 2, 96, 64),
];
