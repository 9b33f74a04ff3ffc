import { rmsNormReference } from './rms_norm.reference.ts';
import { rmsNormBackwardReference } from './rms_norm_backward.reference.ts';
import { rmsNormBackward } from './rms_norm_backward.ts';
import { F32, HALVES, type KernelCase, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

const EPSILON = 1e-3;
const shaderFiles = ['rms_norm_backward.wgsl', 'common/indexing.wgsl', 'common/reduce.wgsl', 'common/number.wgsl'];

interface Shape {
  readonly tokens: number;
  readonly width: number;
  readonly accumulate: boolean;
  readonly capacity?: number;
  readonly normed?: boolean;
  /** What is normed again is in 16 bits. */
  readonly halves?: boolean;
}

const rmsNormBackwardCase = ({
  tokens,
  width,
  accumulate,
  capacity = tokens,
  normed = false,
  halves = false,
}: Shape): KernelCase => ({
  name: `rms_norm_backward ${tokens} of ${capacity} × ${width}${accumulate ? ', accumulated' : ''}${normed ? ', with normed' : ''}${halves ? ' halves' : ''}`,
  shaderFiles: [...shaderFiles, ...(halves ? ['common/halves.wgsl'] : [])],
  run: (gpu, seed) =>
    withBench(gpu, { tokens, capacity }, async (bench) => {
      const random = new Random(seed);
      const [x, dy, before] = [0.1, 1, 1].map((deviation) => random.normal(tokens * width, deviation));
      // Rows of whole vectors, and a weight that begins at one, are read as vectors.
      const at = width % 4 === 0 ? 8 : 3;
      const norms = random.normal(width + at);
      const rows = { width, capacity };
      const dx = accumulate ? bench.inoutRows('dx', before, rows) : bench.output('dx', capacity * width);
      const again = normed ? bench.output('normed', capacity * width, halves) : undefined;
      rmsNormBackward(bench.plan, {
        x: bench.inputRows('x', x, rows),
        weight: { tensor: bench.input('weight', norms), at, width, epsilon: EPSILON },
        dy: bench.inputRows('dy', dy, rows),
        dx,
        accumulate,
        normed: again,
      });
      await bench.run();
      const reference = rmsNormBackwardReference(x, norms.subarray(at), EPSILON, dy);
      if (accumulate) for (let i = 0; i < reference.length; i++) reference[i] += before[i];
      const errors = [await bench.error(dx, reference)];
      // Rounded to 16 bits it is no nearer than a neighbour.
      const unit = halves ? HALVES / F32 : 1;
      if (again) errors.push((await bench.error(again, rmsNormReference(x, norms.subarray(at), EPSILON))) / unit);
      return { error: worst(...errors), tolerance: F32 };
    }),
});

export const cases: KernelCase[] = [
  { tokens: 1, width: 64, accumulate: false },
  { tokens: 7, width: 33, accumulate: true },
  { tokens: 63, width: 130, accumulate: false, capacity: 70, normed: true },
  { tokens: 65, width: 7, accumulate: true, capacity: 66, normed: true },
  { tokens: 65, width: 132, capacity: 70, accumulate: true, normed: true },
  { tokens: 1000, width: 65, accumulate: false },
  { tokens: 33, width: 68, capacity: 35, accumulate: true, normed: true, halves: true },
].map(rmsNormBackwardCase);
