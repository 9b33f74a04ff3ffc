import type { FloatDtype } from '../weight_source.ts';
import { matmulReference } from './matmul_dense.reference.ts';
import type { MatvecShape } from './matvec.ts';
import { matvecDense } from './matvec_dense.ts';
import { randomTable } from './testing/float_table.ts';
import { type KernelCase, MATMUL, placeReference, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly dtype: FloatDtype;
  readonly tokens: number;
  readonly capacity?: number;
  readonly depth: number;
  readonly width: number;
  /** Elements before W. */
  readonly weightAt?: number;
  /** Columns around y in its rows: before and after. */
  readonly margins?: readonly [number, number];
  readonly cut?: MatvecShape;
}

const matvecCase = (shape: Shape): KernelCase => {
  const { dtype, tokens, capacity = tokens, depth, width, weightAt = 0, margins = [0, 0], cut } = shape;
  const notes = [
    weightAt ? `from ${weightAt}` : '',
    shape.margins ? 'columns' : '',
    cut ? `${cut.team}×${cut.perTeam}` : '',
  ];
  return {
    name: ['matvec_dense', dtype, `${tokens} of ${capacity} × ${depth} → ${width}`, ...notes.filter(Boolean)].join(' '),
    shaderFiles: ['matvec_dense.wgsl', 'common/matvec.wgsl', 'common/float_dtypes.wgsl'],
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const x = random.normal(tokens * depth);
        const weight = randomTable(random, dtype, weightAt + depth * width);
        const yRows = { width, capacity, stride: margins[0] + width + margins[1], at: margins[0] };
        const y = bench.output('y', capacity * yRows.stride);
        matvecDense(bench.plan, {
          x: bench.inputRows('x', x, { width: depth, capacity }),
          y: { tensor: y, stride: yRows.stride, at: yRows.at },
          weight: bench.input('weight', weight.words),
          weightAt,
          dtype,
          depth,
          width,
          shape: cut,
        });
        await bench.run();
        const reference = matmulReference(x, weight.values.subarray(weightAt), depth, width);
        return { error: await bench.error(y, placeReference(reference, yRows)), tolerance: MATMUL };
      }),
  };
};

export const cases: KernelCase[] = (
  [
    { dtype: 'F32', tokens: 1, depth: 4, width: 1 },
    { dtype: 'F32', tokens: 2, capacity: 3, depth: 100, width: 21, weightAt: 12 },
    { dtype: 'BF16', tokens: 3, depth: 136, width: 63, margins: [3, 2] },
    { dtype: 'F16', tokens: 7, capacity: 8, depth: 72, width: 65, weightAt: 8, cut: { team: 3, perTeam: 4 } },
    { dtype: 'BF16', tokens: 2, depth: 1000, width: 33, cut: { team: 16, perTeam: 2 } },
  ] satisfies Shape[]
).map(matvecCase);
