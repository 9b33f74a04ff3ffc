import { softCapReference } from './soft_cap.reference.ts';
import { softCap } from './soft_cap.ts';
import { F32, type KernelCase, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly width: number;
  readonly cap: number;
  /** Values are uniform up to ±this. */
  readonly range: number;
  readonly capacity?: number;
  readonly rows?: { readonly first: number; readonly count: number };
}

const softCapCase = ({ tokens, width, cap, range, capacity = tokens, rows }: Shape): KernelCase => {
  const chunk = rows ?? { first: 0, count: capacity };
  return {
    name: `soft_cap ${tokens} of ${capacity} × ${width}, ±${range} at ${cap}${rows ? `, rows ${rows.first} + ${rows.count}` : ''}`,
    shaderFiles: ['soft_cap.wgsl', 'common/soft_cap.wgsl', 'common/indexing.wgsl'],
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const used = Math.min(chunk.count, tokens - chunk.first);
        const values = new Random(seed).uniform(used * width, -range, range);
        const x = bench.inoutRows('x', values, { width, capacity: chunk.count });
        softCap(bench.plan, { x, width, rows: chunk, cap });
        await bench.run();
        return { error: await bench.error(x, softCapReference(values, cap)), tolerance: F32 };
      }),
  };
};

export const cases: KernelCase[] = [
  { tokens: 1, width: 1, cap: 30, range: 5 },
  { tokens: 7, width: 33, cap: 30, range: 80, capacity: 9 },
  { tokens: 63, width: 36, cap: 50, range: 40, capacity: 65 },
  // Small arguments, where a difference of exponentials has no digits left; large ones, where exponentials overflow.
  { tokens: 65, width: 64, cap: 30, range: 1e-4 },
  { tokens: 7, width: 130, cap: 2, range: 1e4 },
  { tokens: 65, width: 33, cap: 30, range: 30, capacity: 90, rows: { first: 60, count: 20 } },
  { tokens: 65, width: 8, cap: 30, range: 30, capacity: 70, rows: { first: 20, count: 20 } },
].map(softCapCase);
