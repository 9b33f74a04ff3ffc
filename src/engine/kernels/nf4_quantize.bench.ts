import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { quantizationTable } from './nf4_codebook.ts';
import { BLOCK, nf4Quantize } from './nf4_quantize.ts';

function bench(size: BenchSize, elements: number): KernelBench {
  return {
    name: `nf4_quantize bf16 ${elements}`,
    size,
    tokens: 1,
    flops: 0,
    bytes: elements * (2 + 0.5 + 4 / BLOCK),
    record(plan, buffers) {
      nf4Quantize(plan, {
        source: buffers.bf16('weights', elements),
        dtype: 'BF16',
        thresholds: buffers.values('thresholds', quantizationTable('nf4')),
        codes: buffers.words('codes', elements / 8),
        absmax: buffers.floats('absmax', elements / BLOCK),
        flags: buffers.words('flags', 1),
        elements,
        tensor: 0,
        firstWord: 0,
        firstBlock: 0,
      });
    },
  };
}

/** The quantizer's chunk. */
export const benches: readonly KernelBench[] = [bench('full', 4 * 2 ** 20), bench('small', 2 ** 14)];
