import type { FloatDtype } from '../weight_source.ts';
import { matmulReference, matmulTransposedReference } from './matmul_dense.reference.ts';
import { matmulDense } from './matmul_dense.ts';
import { FLAT_8, FLAT_16, LARGE, MEDIUM, NARROW_8, NARROW_16, SMALL, SOFTWARE, type Tile } from './matmul_tile.ts';
import { randomTable } from './testing/float_table.ts';
import { type KernelCase, MATMUL, placeReference, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';
import { tileName } from './testing/tile_name.ts';

const shaderFiles = ['matmul_dense.wgsl', 'common/float_dtypes.wgsl', 'common/matmul_tile.wgsl'];

interface Shape {
  readonly tile: Tile;
  readonly dtype: FloatDtype;
  readonly tokens: number;
  readonly depth: number;
  readonly width: number;
  readonly capacity?: number;
  readonly transposed?: boolean;
  readonly accumulate?: boolean;
  readonly scale?: number;
  /** Columns around x and y in their rows: before and after. */
  readonly margins?: readonly [number, number];
  readonly rows?: { readonly first: number; readonly count: number };
}

const denseCase = (shape: Shape): KernelCase => {
  const { tile, dtype, tokens, depth, width, capacity = tokens, transposed, accumulate, scale = 1, rows } = shape;
  const [before, after] = shape.margins ?? [0, 0];
  const notes = [
    transposed ? 'transposed' : '',
    accumulate ? 'accumulated' : '',
    scale === 1 ? '' : `× ${scale}`,
    shape.margins ? 'columns' : '',
    rows ? `rows ${rows.first} + ${rows.count}` : '',
  ].filter(Boolean);
  return {
    name: ['matmul_dense', tileName(tile), dtype, `${tokens} of ${capacity} × ${depth} → ${width}`, ...notes].join(' '),
    shaderFiles,
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        // A chunk's x and y hold its own rows only.
        const held = rows?.count ?? capacity;
        const used = rows ? Math.min(rows.count, tokens - rows.first) : tokens;
        const x = random.normal(used * depth);
        const old = random.normal(used * width);
        const weight = randomTable(random, dtype, depth * width);
        const xRows = { width: depth, capacity: held, stride: before + depth + after, at: before };
        const yRows = { width, capacity: held, stride: before + width + after, at: before };
        const y = accumulate ? bench.inoutRows('y', old, yRows) : bench.output('y', held * yRows.stride);
        matmulDense(bench.plan, {
          x: { tensor: bench.inputRows('x', x, xRows), stride: xRows.stride, at: before },
          y: { tensor: y, stride: yRows.stride, at: before },
          weight: bench.input('weight', weight.words),
          dtype,
          depth,
          width,
          transposed,
          accumulate,
          scale,
          rows,
          tile,
        });
        await bench.run();
        const multiply = transposed ? matmulTransposedReference : matmulReference;
        const reference = multiply(x, weight.values, depth, width).map((v, i) => scale * v + (accumulate ? old[i] : 0));
        return { error: await bench.error(y, placeReference(reference, yRows)), tolerance: MATMUL };
      }),
  };
};

export const cases: KernelCase[] = (
  [
    { tile: FLAT_8, dtype: 'F32', tokens: 1, depth: 7, width: 1 },
    { tile: SMALL, dtype: 'F32', tokens: 7, depth: 65, width: 33, margins: [3, 2], scale: 2 },
    { tile: FLAT_16, dtype: 'F16', tokens: 63, depth: 33, width: 63, transposed: true },
    { tile: SMALL, dtype: 'BF16', tokens: 65, depth: 130, width: 100, capacity: 80, accumulate: true, scale: 0.5 },
    {
      tile: SOFTWARE,
      dtype: 'F32',
      tokens: 65,
      depth: 65,
      width: 130,
      capacity: 80,
      transposed: true,
      margins: [1, 2],
    },
    {
      tile: NARROW_8,
      dtype: 'F32',
      tokens: 65,
      depth: 63,
      width: 8,
      transposed: true,
      accumulate: true,
      margins: [5, 1],
    },
    { tile: NARROW_8, dtype: 'F32', tokens: 1000, depth: 16, width: 7 },
    { tile: NARROW_16, dtype: 'F32', tokens: 65, depth: 100, width: 16, capacity: 70 },
    { tile: SMALL, dtype: 'F16', tokens: 65, depth: 40, width: 37, capacity: 70, rows: { first: 0, count: 20 } },
    { tile: SMALL, dtype: 'F16', tokens: 65, depth: 40, width: 37, capacity: 70, rows: { first: 40, count: 20 } },
    { tile: SMALL, dtype: 'BF16', tokens: 65, depth: 40, width: 37, rows: { first: 60, count: 20 }, transposed: true },
    { tile: MEDIUM, dtype: 'BF16', tokens: 65, depth: 100, width: 130, capacity: 66, margins: [1, 0] },
    { tile: LARGE, dtype: 'F16', tokens: 150, depth: 33, width: 257, margins: [2, 3] },
  ] satisfies Shape[]
).map(denseCase);
