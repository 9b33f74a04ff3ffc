import { rmsNormReference } from './rms_norm.reference.ts';
import { rmsNorm } from './rms_norm.ts';
import { F32, HALVES, type KernelCase, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

const EPSILON = 1e-5;
const shaderFiles = ['rms_norm.wgsl', 'common/indexing.wgsl', 'common/reduce.wgsl', 'common/number.wgsl'];

interface Shape {
  readonly tokens: number;
  readonly width: number;
  readonly capacity?: number;
  /** Size of x: small values let ε decide. */
  readonly deviation?: number;
  readonly residual?: boolean;
  /** y is in 16 bits. */
  readonly halves?: boolean;
}

const rmsNormCase = ({
  tokens,
  width,
  capacity = tokens,
  deviation = 3,
  residual = false,
  halves = false,
}: Shape): KernelCase => ({
  name: `rms_norm ${tokens} of ${capacity} × ${width} of size ${deviation}${residual ? ' residual' : ''}${halves ? ' halves' : ''}`,
  shaderFiles: [...shaderFiles, ...(halves ? ['common/halves.wgsl'] : [])],
  run: (gpu, seed) =>
    withBench(gpu, { tokens, capacity }, async (bench) => {
      const random = new Random(seed);
      const x = random.normal(tokens * width, deviation);
      // Rows of whole vectors, and a weight that begins at one, are read as vectors.
      const at = width % 4 === 0 ? 8 : 5;
      const norms = random.normal(width + at);
      const before = random.normal(tokens * width);
      const rows = { width, capacity };
      const y = bench.output('y', capacity * width, halves);
      rmsNorm(bench.plan, {
        x: bench.inputRows('x', x, rows),
        weight: { tensor: bench.input('weight', norms), at, width, epsilon: EPSILON },
        y,
        residual: residual ? bench.inputRows('residual', before, rows) : undefined,
      });
      await bench.run();
      const reference = rmsNormReference(x, norms.subarray(at), EPSILON);
      if (residual) for (let i = 0; i < reference.length; i++) reference[i] += before[i];
      return { error: await bench.error(y, reference), tolerance: halves ? HALVES : F32 };
    }),
});

export const cases: KernelCase[] = [
  { tokens: 1, width: 64 },
  { tokens: 7, width: 33, deviation: 1e-3 },
  { tokens: 63, width: 130, capacity: 70 },
  { tokens: 65, width: 7, capacity: 66 },
  { tokens: 65, width: 132, capacity: 70, residual: true },
  { tokens: 1000, width: 65 },
  { tokens: 33, width: 70, capacity: 40, residual: true },
  { tokens: 7, width: 36, capacity: 9, halves: true },
  { tokens: 65, width: 260, deviation: 1e-3, halves: true },
].map(rmsNormCase);
