import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { int8Quantize, int8Words } from './int8_quantize.ts';

function bench(size: BenchSize, elements: number): KernelBench {
  const { codes, scales } = int8Words(elements);
  return {
    name: `int8_quantize bf16 ${elements}`,
    size,
    tokens: 1,
    flops: 0,
    bytes: elements * 2 + 4 * (codes + scales),
    record(plan, buffers) {
      const table = buffers.words('table', codes + scales);
      const source = buffers.bf16('weights', elements);
      int8Quantize(plan, { source, dtype: 'BF16', table, elements, firstWord: 0, firstScale: codes });
    },
  };
}

/** The quantizer's chunk. */
export const benches: readonly KernelBench[] = [bench('full', 4 * 2 ** 20), bench('small', 2 ** 14)];
