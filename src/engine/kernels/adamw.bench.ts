import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { adamw, gradNormPartials, type MomentBits, momentPageBytes, momentTables, NORM_SPAN } from './adamw.ts';

const PAGE = 16384;

const update =
  (bits: MomentBits) =>
  (size: BenchSize, elements: number): KernelBench => {
    const pages = Math.ceil(elements / PAGE);
    const pageBytes = momentPageBytes(bits, PAGE);
    return {
      name: `adamw in ${bits} bits ${elements}`,
      size,
      tokens: 1,
      flops: 12 * elements,
      // Parameters and both moments are read and written, gradients read.
      bytes: 4 * 3 * elements + 2 * pages * pageBytes,
      record(plan, buffers) {
        adamw(plan, {
          parameters: buffers.floats('parameters', elements),
          gradients: buffers.floats('gradients', elements, 1e-3),
          // Small positive floats, and any codes.
          moments: buffers.words('moments', (pages * pageBytes) / 4, 0x007fffff, 0x37000000),
          layout: { bits, pageElements: PAGE, tables: bits === 8 ? buffers.values('tables', momentTables()) : null },
          clip: buffers.values('clip', Float32Array.of(1)),
          elements,
        });
      },
    };
  };

function norm(size: BenchSize, elements: number): KernelBench {
  return {
    name: `grad_norm_partials ${elements}`,
    size,
    tokens: 1,
    flops: 2 * elements,
    bytes: 4 * elements,
    record(plan, buffers) {
      gradNormPartials(plan, {
        gradients: buffers.floats('gradients', elements, 1e-3),
        partials: buffers.floats('partials', Math.ceil(elements / NORM_SPAN)),
        elements,
        firstPartial: 0,
      });
    },
  };
}

/** LoRA r 16 on all linears of SmolLM2-135M and of Llama-3.2-1B. */
export const benches: readonly KernelBench[] = [update(32), update(8), norm].flatMap((bench) => [
  bench('full', 4_884_480),
  bench('full', 11_272_192),
  bench('small', 65_536),
]);
