import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { chunkTokens } from '../model/output_head.ts';
import { forcedShape } from '../tuning/matmul_choices.ts';
import { matmulDense } from './matmul_dense.ts';

/** The output head over one chunk of cross-entropy, bf16: chunk×vocab×hidden. */
function head(size: BenchSize, vocab: number, hidden: number, transposed: boolean): KernelBench {
  const rows = Math.min(chunkTokens(vocab, 2048), size === 'small' ? 64 : 2048);
  const [depth, width] = transposed ? [vocab, hidden] : [hidden, vocab];
  return {
    name: `head${transposed ? ' dX' : ''} bf16 ${rows}×${vocab}×${hidden}`,
    size,
    tokens: rows,
    flops: 2 * rows * vocab * hidden,
    bytes: 4 * rows * (vocab + hidden) + 2 * vocab * hidden,
    record(plan, buffers, variant) {
      matmulDense(plan, {
        x: { tensor: buffers.floats('x', rows * depth), stride: depth, at: 0 },
        y: { tensor: buffers.floats('y', rows * width), stride: width, at: 0 },
        weight: buffers.bf16('head', vocab * hidden),
        dtype: 'BF16',
        depth,
        width,
        transposed,
        shape: forcedShape(variant) ?? undefined,
      });
    },
  };
}

export const benches: readonly KernelBench[] = [false, true].flatMap((transposed) => [
  head('full', 49152, 576, transposed),
  head('full', 49152, 960, transposed),
  head('full', 128256, 2048, transposed),
  head('small', 512, 64, transposed),
]);
