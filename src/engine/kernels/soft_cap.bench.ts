import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { chunkTokens } from '../model/output_head.ts';
import { softCap } from './soft_cap.ts';

/** One chunk of logits. */
function bench(size: BenchSize, vocab: number): KernelBench {
  const rows = Math.min(chunkTokens(vocab, 2048), size === 'small' ? 64 : 2048);
  return {
    name: `soft_cap ${rows}×${vocab}`,
    size,
    tokens: rows,
    flops: 10 * rows * vocab,
    bytes: 8 * rows * vocab,
    record(plan, buffers) {
      softCap(plan, {
        x: buffers.floats('logits', rows * vocab, 4),
        width: vocab,
        rows: { first: 0, count: rows },
        cap: 30,
      });
    },
  };
}

export const benches: readonly KernelBench[] = [bench('full', 256000), bench('small', 512)];
