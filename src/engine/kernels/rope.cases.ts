import { ropeReference } from './rope.reference.ts';
import { rope } from './rope.ts';
import { inF16 } from './testing/float_table.ts';
import { F32, HALVES, type KernelCase, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

const shaderFiles = ['rope.wgsl', 'common/indexing.wgsl'];

interface Shape {
  readonly tokens: number;
  readonly heads: number;
  readonly headDim: number;
  /** Rotated dimensions of a head, all by default. */
  readonly rotary?: number;
  /** Heads behind the rotated ones (values). */
  readonly others?: number;
  readonly inverse?: boolean;
  readonly capacity?: number;
  readonly scaling?: number;
  readonly halves?: boolean;
}

const ropeCase = (shape: Shape): KernelCase => {
  const { tokens, heads, headDim, rotary = headDim, others = 0, inverse = false, capacity = tokens, halves } = shape;
  return {
    name: `rope ${tokens} of ${capacity} × ${heads}+${others} heads of ${headDim}, ${rotary} rotated${inverse ? ', inverse' : ''}${halves ? ' halves' : ''}`,
    shaderFiles: [...shaderFiles, ...(halves ? ['common/halves.wgsl'] : [])],
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const half = rotary / 2;
        const stride = (heads + others) * headDim;
        const maxPositions = 300;
        const spec = {
          inverseFrequencies: Array.from({ length: half }, (_, i) => Math.fround(10_000 ** (-i / half))),
          attentionScaling: shape.scaling ?? 1,
          long: null,
        };
        const table = (f: (angle: number) => number) =>
          Float32Array.from({ length: maxPositions * half }, (_, i) => {
            const angle = Math.fround(Math.floor(i / half) * spec.inverseFrequencies[i % half]);
            return f(angle) * spec.attentionScaling;
          });
        const positions = random.integers(tokens, 0, maxPositions);
        const drawn = random.normal(tokens * stride);
        const values = halves ? inF16(drawn) : drawn;
        const x = bench.inoutRows('x', values, { width: stride, capacity, halves });
        rope(bench.plan, {
          x,
          positions: bench.input('positions', positions, capacity - tokens),
          tables: {
            cosines: bench.input('cosines', table(Math.cos)),
            sines: bench.input('sines', table(Math.sin)),
            half,
          },
          stride,
          heads,
          headDim,
          inverse,
        });
        await bench.run();
        const reference = ropeReference(values, positions, spec, { stride, heads, headDim }, inverse);
        return { error: await bench.error(x, reference), tolerance: halves ? HALVES : F32 };
      }),
  };
};

export const cases: KernelCase[] = [
  { tokens: 1, heads: 1, headDim: 8 },
  { tokens: 7, heads: 4, headDim: 16, others: 1, inverse: true },
  { tokens: 63, heads: 3, headDim: 64, others: 2, capacity: 65 },
  { tokens: 65, heads: 5, headDim: 24, rotary: 12, others: 1, scaling: 1.25 },
  { tokens: 130, heads: 2, headDim: 128, inverse: true, capacity: 150 },
  { tokens: 1000, heads: 2, headDim: 10 },
  { tokens: 35, heads: 3, headDim: 16, others: 2, capacity: 37, halves: true },
  { tokens: 9, heads: 3, headDim: 16, rotary: 12, others: 1, scaling: 1.25, halves: true },
].map(ropeCase);
