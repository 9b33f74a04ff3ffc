import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { chunkTokens } from '../model/output_head.ts';
import { crossEntropy } from './cross_entropy.ts';

/** One chunk of logits, its gradient in place. */
function bench(size: BenchSize, vocab: number): KernelBench {
  const rows = Math.min(chunkTokens(vocab, 2048), size === 'small' ? 64 : 2048);
  return {
    name: `cross_entropy ${rows}×${vocab}`,
    size,
    tokens: rows,
    flops: 12 * rows * vocab,
    bytes: 4 * rows * (2 * vocab + 3),
    record(plan, buffers) {
      crossEntropy(plan, {
        logits: buffers.floats('logits', rows * vocab, 4),
        targets: buffers.words('targets', rows, 0xff),
        loss: buffers.floats('loss', 2 * rows),
        vocab,
        rows: { first: 0, count: rows },
        gradient: true,
      });
    },
  };
}

export const benches: readonly KernelBench[] = [bench('full', 49152), bench('full', 128256), bench('small', 512)];
