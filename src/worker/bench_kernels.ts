/** Kernels one by one, at the shapes of their `.bench.ts`. */
import { allBenches } from '../engine/bench/all_benches.ts';
import { type ClockProbe, withClockProbe } from '../engine/bench/ceilings.ts';
import type { KernelBench } from '../engine/bench/kernel_bench.ts';
import { timeKernel } from '../engine/bench/time_kernel.ts';
import type { BenchContext } from './bench_context.ts';
import type { KernelLine } from './bench_report.ts';

export class UnknownBenchError extends Error {
  override name = 'UnknownBenchError';
}

export function selectBenches(size: 'small' | 'full', only: readonly string[] | null): readonly KernelBench[] {
  const sized = allBenches.filter((bench) => bench.size === size);
  const found = sized.filter(({ name }) => only?.some((part) => name.includes(part)) ?? true);
  if (found.length > 0) return found;
  throw new UnknownBenchError(
    `No ${size} kernel bench has ${only?.join(' or ')} in its name. There are: ${sized.map(({ name }) => name).join('; ')}.`,
  );
}

export async function benchKernels(context: BenchContext): Promise<KernelLine[]> {
  const { gpu, request, size, signal, say, attempt } = context;
  const benches = selectBenches(size, request.only);
  const lines: KernelLine[] = [];
  await withClockProbe(gpu, async (probe) => {
    for (const [i, bench] of benches.entries()) {
      if (signal.aborted) return;
      say(`kernels ${i + 1}/${benches.length}: ${bench.name}`);
      const line = await attempt(bench.name, () => kernelLine(context, bench, probe));
      if (line) lines.push(line);
    }
  });
  return lines;
}

async function kernelLine(
  { gpu, request, ceilings }: BenchContext,
  bench: KernelBench,
  probe: ClockProbe,
): Promise<KernelLine> {
  const { software } = gpu.capabilities;
  const { milliseconds, ...timing } = await timeKernel(gpu, bench, {
    variant: request.variant,
    samples: request.samples,
    sampleMs: software ? 10 : 20,
    warmUpMs: software ? 0 : 60,
  });
  const { flops, bytes, name } = bench;
  const compute = flops / 1e9 / ceilings.fma.median;
  const bandwidth = bytes / 1e6 / ceilings.copy.median;
  return {
    name,
    ms: milliseconds,
    tflops: flops / 1e9 / milliseconds.median,
    gbs: bytes / 1e6 / milliseconds.median,
    bound: compute > bandwidth ? 'compute' : 'bandwidth',
    share: Math.max(compute, bandwidth) / milliseconds.median,
    ...timing,
    clock: software ? null : (await probe()) / ceilings.fma.median,
  };
}
