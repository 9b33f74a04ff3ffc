import type { TableDtype } from './float_dtype.ts';
import { matmulReference, matmulTransposedReference } from './matmul_dense.reference.ts';
import { matmulDense } from './matmul_dense.ts';
import {
  DEEP,
  isMatrix,
  LARGE,
  MATRIX_LARGE,
  MATRIX_MEDIUM,
  MATRIX_SMALL,
  MATRIX_TALL,
  MEDIUM,
  SMALL,
  SOFTWARE,
  TALL,
  type Tile,
  tileBytes,
} from './matmul_tile.ts';
import { inF16, randomRows } from './testing/float_table.ts';
import { F16, type KernelCase, MATMUL, placeReference, TINY, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';
import { tileName } from './testing/tile_name.ts';

interface Shape {
  readonly tile: Tile;
  readonly dtype: TableDtype;
  readonly tokens: number;
  readonly depth: number;
  readonly width: number;
  readonly capacity?: number;
  readonly transposed?: boolean;
  readonly accumulate?: boolean;
  readonly splits?: number;
  /** Columns around x and y in their rows: before and after. */
  readonly margins?: readonly [number, number];
  readonly rows?: { readonly first: number; readonly count: number };
  /** x is in 16 bits. */
  readonly halves?: boolean;
}

const denseCase = (shape: Shape): KernelCase => {
  const { tile, dtype, tokens, depth, width, capacity = tokens, transposed, accumulate, splits = 1, rows } = shape;
  const [before, after] = shape.margins ?? [0, 0];
  const unit = isMatrix(tile) && transposed ? TINY : 1;
  const notes = [
    transposed ? 'transposed' : '',
    accumulate ? 'accumulated' : '',
    splits > 1 ? `split ${splits}` : '',
    shape.margins ? 'columns' : '',
    rows ? `rows ${rows.first} + ${rows.count}` : '',
    shape.halves ? 'halves' : '',
  ].filter(Boolean);
  return {
    name: ['matmul_dense', tileName(tile), dtype, `${tokens} of ${capacity} × ${depth} → ${width}`, ...notes].join(' '),
    shaderFiles: [
      'matmul_dense.wgsl',
      'common/matmul_left.wgsl',
      dtype === 'I8' ? 'common/signed_bytes.wgsl' : 'common/float_dtypes.wgsl',
      ...(isMatrix(tile) ? ['common/matmul_matrix_tile.wgsl', 'common/matrices.wgsl'] : ['common/matmul_tile.wgsl']),
      ...(splits > 1 ? ['matmul_reduce.wgsl'] : []),
      ...(shape.halves ? ['common/halves.wgsl'] : []),
    ],
    workgroupBytes: tileBytes(tile, !transposed),
    matrices: isMatrix(tile),
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity, step: { inverse_trained_tokens: unit } }, async (bench) => {
        const random = new Random(seed);
        // A chunk's x and y hold its own rows only.
        const held = rows?.count ?? capacity;
        const used = rows ? Math.min(rows.count, tokens - rows.first) : tokens;
        const drawn = random.normal(used * depth, unit);
        const x = shape.halves ? inF16(drawn) : drawn;
        const old = random.normal(used * width, unit);
        const weight = randomRows(random, dtype, depth * width);
        const stride = before + depth + after;
        const xRows = { width: depth, capacity: held, stride, at: before, halves: shape.halves };
        const yRows = { width, capacity: held, stride: before + width + after, at: before };
        const y = accumulate ? bench.inoutRows('y', old, yRows) : bench.output('y', held * yRows.stride);
        matmulDense(bench.plan, {
          x: { tensor: bench.inputRows('x', x, xRows), stride: xRows.stride, at: before },
          y: { tensor: y, stride: yRows.stride, at: before },
          weight: bench.input('weight', weight.words),
          dtype,
          scalesAt: weight.scalesAt,
          depth,
          width,
          transposed,
          accumulate,
          rows,
          shape: { tile, splits },
        });
        await bench.run();
        const multiply = transposed ? matmulTransposedReference : matmulReference;
        const reference = multiply(x, weight.values, depth, width).map((v, i) => v + (accumulate ? old[i] : 0));
        return {
          error: await bench.error(y, placeReference(reference, yRows)),
          tolerance: isMatrix(tile) ? F16 : MATMUL,
        };
      }),
  };
};

/** Combinations of features on the tile that compiles quickly, then every tile of a GPU (see matmul_nf4.cases.ts). */
export const cases: KernelCase[] = (
  [
    { tile: SOFTWARE, dtype: 'F32', tokens: 1, depth: 7, width: 1 },
    { tile: SOFTWARE, dtype: 'F32', tokens: 7, depth: 65, width: 33, margins: [3, 2] },
    { tile: SOFTWARE, dtype: 'F16', tokens: 63, depth: 33, width: 63, transposed: true },
    { tile: SOFTWARE, dtype: 'BF16', tokens: 65, depth: 130, width: 100, capacity: 80, accumulate: true },
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
    // Sizes that are multiples of 4: vectors.
    { tile: SOFTWARE, dtype: 'F32', tokens: 33, depth: 20, width: 68, accumulate: true, margins: [4, 0] },
    { tile: SOFTWARE, dtype: 'F32', tokens: 33, depth: 68, width: 20, transposed: true },
    { tile: SOFTWARE, dtype: 'F16', tokens: 65, depth: 40, width: 40, capacity: 70, rows: { first: 0, count: 20 } },
    { tile: SOFTWARE, dtype: 'F16', tokens: 65, depth: 40, width: 40, capacity: 70, rows: { first: 40, count: 20 } },
    {
      tile: SOFTWARE,
      dtype: 'BF16',
      tokens: 65,
      depth: 40,
      width: 36,
      rows: { first: 60, count: 20 },
      transposed: true,
    },
    // Not all of them.
    {
      tile: SOFTWARE,
      dtype: 'BF16',
      tokens: 65,
      depth: 40,
      width: 37,
      rows: { first: 60, count: 20 },
      transposed: true,
    },
    // The depth in parts.
    {
      tile: SOFTWARE,
      dtype: 'BF16',
      tokens: 40,
      depth: 200,
      width: 36,
      capacity: 42,
      transposed: true,
      splits: 3,
      accumulate: true,
    },
    { tile: SOFTWARE, dtype: 'F16', tokens: 65, depth: 131, width: 17, splits: 2, rows: { first: 60, count: 20 } },
    // 8 bits: in vectors and one by one, blocks that rows share.
    { tile: SOFTWARE, dtype: 'I8', tokens: 33, depth: 40, width: 68, capacity: 40 },
    { tile: SOFTWARE, dtype: 'I8', tokens: 33, depth: 132, width: 36, transposed: true, margins: [4, 0] },
    { tile: SOFTWARE, dtype: 'I8', tokens: 17, depth: 67, width: 33 },
    { tile: SOFTWARE, dtype: 'I8', tokens: 17, depth: 131, width: 35, transposed: true, accumulate: true },
    // Every tile of a GPU.
    { tile: LARGE, dtype: 'I8', tokens: 130, depth: 68, width: 132 },
    { tile: SMALL, dtype: 'F32', tokens: 33, depth: 68, width: 20, transposed: true, accumulate: true },
    { tile: MEDIUM, dtype: 'BF16', tokens: 65, depth: 100, width: 130, capacity: 66, margins: [1, 0], splits: 2 },
    { tile: TALL, dtype: 'BF16', tokens: 130, depth: 36, width: 72, capacity: 132 },
    { tile: LARGE, dtype: 'F16', tokens: 150, depth: 33, width: 257, margins: [2, 3] },
    { tile: DEEP, dtype: 'BF16', tokens: 130, depth: 100, width: 132, transposed: true },
    // Subgroup matrices.
    { tile: MATRIX_LARGE, dtype: 'I8', tokens: 130, depth: 104, width: 136 },
    { tile: MATRIX_MEDIUM, dtype: 'I8', tokens: 65, depth: 136, width: 72, transposed: true },
    { tile: MATRIX_LARGE, dtype: 'BF16', tokens: 130, depth: 104, width: 136, margins: [4, 0], capacity: 132 },
    { tile: MATRIX_LARGE, dtype: 'F32', tokens: 65, depth: 136, width: 72, transposed: true, accumulate: true },
    { tile: MATRIX_TALL, dtype: 'BF16', tokens: 260, depth: 104, width: 136, transposed: true },
    {
      tile: MATRIX_MEDIUM,
      dtype: 'F16',
      tokens: 65,
      depth: 328,
      width: 200,
      splits: 2,
      rows: { first: 40, count: 20 },
    },
    {
      tile: MATRIX_SMALL,
      dtype: 'BF16',
      tokens: 40,
      depth: 200,
      width: 40,
      transposed: true,
      splits: 3,
      accumulate: true,
    },
    // In 16 bits.
    { tile: SOFTWARE, dtype: 'BF16', tokens: 33, depth: 68, width: 36, capacity: 40, margins: [4, 8], halves: true },
    { tile: SMALL, dtype: 'I8', tokens: 65, depth: 72, width: 20, rows: { first: 40, count: 20 }, halves: true },
    { tile: MATRIX_LARGE, dtype: 'BF16', tokens: 130, depth: 104, width: 136, capacity: 132, halves: true },
    { tile: MATRIX_MEDIUM, dtype: 'I8', tokens: 65, depth: 328, width: 200, splits: 2, halves: true },
  ] satisfies Shape[]
).map(denseCase);
