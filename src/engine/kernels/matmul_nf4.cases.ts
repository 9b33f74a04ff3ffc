import { linearReference } from './matmul_nf4.reference.ts';
import { type GroupAdapter, matmulNf4 } from './matmul_nf4.ts';
import {
  DEEP,
  isMatrix,
  LARGE,
  MATRIX_HALF,
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
import { inF16 } from './testing/float_table.ts';
import { F16, HALVES, type KernelCase, MATMUL, placeReference, TINY, withBench } from './testing/harness.ts';
import { floatsTitle, randomGroup, type TestFloats } from './testing/quantized.ts';
import { Random } from './testing/random.ts';
import { tileName } from './testing/tile_name.ts';

interface Shape {
  readonly tile: Tile;
  readonly tokens: number;
  readonly inFeatures: number;
  /** Of the linears that share the input. */
  readonly outFeatures: readonly number[];
  readonly capacity?: number;
  readonly doubleQuant?: boolean;
  readonly floats?: TestFloats;
  readonly transposed?: boolean;
  /** The rank, where there is an adapter: of all linears, or of those that are named by their index. */
  readonly lora?: number;
  readonly adapted?: readonly number[];
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly splits?: number;
  /** Columns around x and y in their rows: before and after. */
  readonly margins?: readonly [number, number];
  /** In 16 bits: x, or x and y. */
  readonly halves?: 'x' | 'x and y';
}

/** An adapter's parameters in one run, and the matrix [columns, width] that multiplies u. */
function randomAdapter(random: Random, shape: Shape, rank: number) {
  const { inFeatures, outFeatures, adapted = outFeatures.map((_, i) => i) } = shape;
  const columns = adapted.length * rank;
  const a = random.normal(columns * inFeatures);
  const width = outFeatures.reduce((x, y) => x + y, 0);
  const stacked = new Float32Array(columns * width);
  const parameters = [...a];
  let begin = 0;
  const parts = outFeatures.map((out, l) => {
    const i = adapted.indexOf(l);
    const bAt = parameters.length;
    begin += out;
    if (i < 0) return null;
    const b = random.normal(out * rank);
    for (const value of b) parameters.push(value);
    // As one matrix [columns, width]: this linear's columns of u reach its own outputs only.
    b.forEach((value, at) => {
      stacked[(i * rank + (at % rank)) * width + begin - out + Math.floor(at / rank)] = value;
    });
    return { uAt: i * rank, rank, scale: 1.5, bAt };
  });
  const adapter: Omit<GroupAdapter, 'parameters' | 'gradients'> = { columns, aAt: 0, parts };
  return { adapter, parameters: Float32Array.from(parameters), a, stacked };
}

const nf4Case = (shape: Shape): KernelCase => {
  const { tile, tokens, inFeatures, outFeatures, capacity = tokens, transposed = false, splits = 1 } = shape;
  const { doubleQuant = false } = shape;
  const unit = isMatrix(tile) && transposed ? TINY : 1;
  const [before, after] = shape.margins ?? [0, 0];
  const notes = [
    doubleQuant ? 'double' : '',
    floatsTitle(shape.floats),
    transposed ? 'transposed' : '',
    shape.lora ? `rank ${shape.lora}` : '',
    shape.adapted ? `on ${shape.adapted.join(' and ')}` : '',
    shape.bias ? 'bias' : '',
    shape.residual ? 'residual' : '',
    splits > 1 ? `split ${splits}` : '',
    shape.margins ? 'columns' : '',
    shape.halves ? `${shape.halves} halves` : '',
  ].filter(Boolean);
  const sizes = `${tokens} of ${capacity}, ${outFeatures.join('+')}×${inFeatures}`;
  return {
    name: ['matmul_nf4', tileName(tile), sizes, ...notes].join(' '),
    shaderFiles: [
      'matmul_nf4.wgsl',
      'common/matmul_left.wgsl',
      'common/nf4.wgsl',
      ...(shape.floats ? ['common/float_dtypes.wgsl'] : []),
      ...(isMatrix(tile) ? ['common/matmul_matrix_tile.wgsl', 'common/matrices.wgsl'] : ['common/matmul_tile.wgsl']),
      ...(splits > 1 ? ['matmul_reduce.wgsl'] : []),
      ...(shape.halves ? ['common/halves.wgsl'] : []),
    ],
    workgroupBytes: tileBytes(tile, !transposed) + (doubleQuant ? 272 : 16) * 4,
    matrices: isMatrix(tile),
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity, step: { inverse_trained_tokens: unit } }, async (bench) => {
        const random = new Random(seed);
        const { slab, group, weight, bias } = randomGroup(random, {
          inFeatures,
          outFeatures,
          doubleQuant,
          floats: shape.floats,
          bias: shape.bias,
        });
        const depth = transposed ? group.outFeatures : inFeatures;
        const width = transposed ? inFeatures : group.outFeatures;
        const drawn = random.normal(tokens * depth, unit);
        const x = shape.halves ? inF16(drawn) : drawn;
        const residual = shape.residual ? random.normal(tokens * width, 10) : undefined;
        const lora = shape.lora ? randomAdapter(random, shape, shape.lora) : undefined;
        const u = lora && random.normal(tokens * lora.adapter.columns, 5 * unit);
        const stride = before + depth + after;
        const xRows = { width: depth, capacity, stride, at: before, halves: shape.halves !== undefined };
        const yRows = { width, capacity, stride: before + width + after, at: before };
        const y = bench.output('y', capacity * yRows.stride, shape.halves === 'x and y');
        const parameters = lora && bench.input('lora', lora.parameters);
        matmulNf4(bench.plan, {
          x: { tensor: bench.inputRows('x', x, xRows), stride: xRows.stride, at: before },
          y: { tensor: y, stride: yRows.stride, at: before },
          group: { ...group, slab: bench.input('slab', slab) },
          transposed,
          lora:
            lora && u && parameters
              ? {
                  u: bench.inputRows('u', u, { width: lora.adapter.columns, capacity }),
                  adapter: { ...lora.adapter, parameters, gradients: parameters },
                }
              : undefined,
          residual: residual && bench.inputRows('residual', residual, { width, capacity }),
          shape: { tile, splits },
        });
        await bench.run();
        // A reference multiplies by B [width, rank], or when transposed by A [rank, width].
        const reference = linearReference({
          x,
          weight,
          depth,
          width,
          transposed,
          lora:
            lora && u
              ? {
                  u,
                  matrix: transposed ? lora.a : transpose(lora.stacked, lora.adapter.columns, width),
                  rank: lora.adapter.columns,
                  scale: 1,
                }
              : undefined,
          bias: transposed ? undefined : bias,
          residual,
        });
        return {
          error: await bench.error(y, placeReference(reference, yRows)),
          tolerance: Math.max(isMatrix(tile) ? F16 : MATMUL, shape.halves === 'x and y' ? HALVES : 0),
        };
      }),
  };
};

function transpose(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(matrix.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = matrix[i * columns + j];
  return out;
}

/**
 * Combinations of features on the tile that compiles quickly; what a GPU's tiles do otherwise is how they read and stage
 * their operands (PREFETCH), so that each of them has a case or two that go through all of its reads.
 */
export const cases: KernelCase[] = (
  [
    // Sizes that are multiples of 4: vectors, four weights at a time.
    { tile: SOFTWARE, tokens: 7, inFeatures: 100, outFeatures: [36], doubleQuant: true, bias: true },
    { tile: SOFTWARE, tokens: 63, inFeatures: 132, outFeatures: [132], lora: 8, residual: true },
    { tile: SOFTWARE, tokens: 65, inFeatures: 36, outFeatures: [68], lora: 3, transposed: true },
    { tile: SOFTWARE, tokens: 33, inFeatures: 64, outFeatures: [40], margins: [4, 8], capacity: 40, bias: true },
    // More than 256 blocks: a second block of double quantization.
    { tile: SOFTWARE, tokens: 5, inFeatures: 260, outFeatures: [152], doubleQuant: true },
    // Several linears, some without an adapter or a bias.
    {
      tile: SOFTWARE,
      tokens: 40,
      inFeatures: 64,
      outFeatures: [128, 32, 36],
      doubleQuant: true,
      lora: 16,
      bias: true,
      residual: true,
    },
    { tile: SOFTWARE, tokens: 70, inFeatures: 68, outFeatures: [64, 100, 4], lora: 8, adapted: [0, 2], capacity: 72 },
    {
      tile: SOFTWARE,
      tokens: 33,
      inFeatures: 72,
      outFeatures: [48, 20],
      doubleQuant: true,
      lora: 8,
      adapted: [1],
      transposed: true,
    },
    { tile: SOFTWARE, tokens: 20, inFeatures: 64, outFeatures: [40, 40, 40], lora: 20, transposed: true },
    // Two linears: a bias on the first, a residual for both, and each with the depth in parts.
    { tile: SOFTWARE, tokens: 37, inFeatures: 72, outFeatures: [76, 28], bias: true },
    { tile: SOFTWARE, tokens: 37, inFeatures: 72, outFeatures: [76, 28], bias: true, splits: 3 },
    { tile: SOFTWARE, tokens: 21, inFeatures: 68, outFeatures: [72, 36], residual: true, capacity: 25 },
    { tile: SOFTWARE, tokens: 21, inFeatures: 68, outFeatures: [72, 36], residual: true, capacity: 25, splits: 2 },
    // The depth in parts.
    {
      tile: SOFTWARE,
      tokens: 35,
      inFeatures: 200,
      outFeatures: [64, 20],
      doubleQuant: true,
      lora: 8,
      bias: true,
      residual: true,
      splits: 3,
      margins: [4, 4],
      capacity: 36,
    },
    { tile: SOFTWARE, tokens: 65, inFeatures: 68, outFeatures: [160], lora: 5, transposed: true, splits: 4 },
    // Any other size: one number at a time.
    { tile: SOFTWARE, tokens: 1, inFeatures: 7, outFeatures: [1], doubleQuant: true },
    { tile: SOFTWARE, tokens: 7, inFeatures: 33, outFeatures: [65], bias: true, residual: true },
    { tile: SOFTWARE, tokens: 63, inFeatures: 63, outFeatures: [33, 9], doubleQuant: true, lora: 5, capacity: 65 },
    { tile: SOFTWARE, tokens: 65, inFeatures: 130, outFeatures: [63], transposed: true, lora: 20, residual: true },
    {
      tile: SOFTWARE,
      tokens: 65,
      inFeatures: 65,
      outFeatures: [100, 7],
      doubleQuant: true,
      transposed: true,
      bias: true,
      margins: [2, 1],
    },
    { tile: SOFTWARE, tokens: 19, inFeatures: 65, outFeatures: [70, 33], residual: true },
    { tile: SOFTWARE, tokens: 13, inFeatures: 131, outFeatures: [17, 5, 6], bias: true, residual: true, splits: 2 },
    {
      tile: SOFTWARE,
      tokens: 65,
      inFeatures: 300,
      outFeatures: [65],
      doubleQuant: true,
      transposed: true,
      lora: 8,
      capacity: 70,
    },
    // Linears that are not in 4 bits, alone and beside others, read by vectors and one number at a time.
    { tile: SOFTWARE, tokens: 7, inFeatures: 36, outFeatures: [68], floats: { dtype: 'BF16', of: [0] } },
    {
      tile: SOFTWARE,
      tokens: 9,
      inFeatures: 68,
      outFeatures: [36],
      floats: { dtype: 'F32', of: [0] },
      transposed: true,
    },
    {
      tile: SOFTWARE,
      tokens: 35,
      inFeatures: 72,
      outFeatures: [36, 40, 20],
      doubleQuant: true,
      floats: { dtype: 'F16', of: [0, 2] },
      lora: 8,
      bias: true,
      residual: true,
      splits: 2,
      capacity: 36,
    },
    {
      tile: SOFTWARE,
      tokens: 33,
      inFeatures: 68,
      outFeatures: [40, 36, 20],
      doubleQuant: true,
      floats: { dtype: 'BF16', of: [1] },
      lora: 8,
      adapted: [1],
      transposed: true,
    },
    {
      tile: SOFTWARE,
      tokens: 21,
      inFeatures: 44,
      outFeatures: [24, 12],
      floats: { dtype: 'F32', of: [1] },
      bias: true,
    },
    {
      tile: SOFTWARE,
      tokens: 19,
      inFeatures: 65,
      outFeatures: [33, 7],
      floats: { dtype: 'F16', of: [0] },
      lora: 5,
      bias: true,
      residual: true,
    },
    {
      tile: SOFTWARE,
      tokens: 17,
      inFeatures: 63,
      outFeatures: [9, 31],
      doubleQuant: true,
      floats: { dtype: 'BF16', of: [1] },
      transposed: true,
      lora: 3,
    },
    // Every tile of a GPU.
    {
      tile: SMALL,
      tokens: 65,
      inFeatures: 68,
      outFeatures: [36, 40],
      doubleQuant: true,
      floats: { dtype: 'BF16', of: [1] },
      lora: 4,
      bias: true,
    },
    { tile: SMALL, tokens: 65, inFeatures: 36, outFeatures: [68, 20], doubleQuant: true, lora: 3, bias: true },
    { tile: SMALL, tokens: 17, inFeatures: 130, outFeatures: [63, 9], transposed: true, residual: true },
    { tile: MEDIUM, tokens: 13, inFeatures: 131, outFeatures: [17, 5], bias: true, residual: true, splits: 2 },
    {
      tile: MEDIUM,
      tokens: 65,
      inFeatures: 68,
      outFeatures: [100, 60],
      doubleQuant: true,
      lora: 5,
      transposed: true,
      splits: 4,
      capacity: 66,
    },
    { tile: TALL, tokens: 130, inFeatures: 80, outFeatures: [68, 72], doubleQuant: true, lora: 16, residual: true },
    { tile: LARGE, tokens: 130, inFeatures: 64, outFeatures: [152], transposed: true, lora: 16, capacity: 131 },
    { tile: DEEP, tokens: 130, inFeatures: 100, outFeatures: [132, 20], doubleQuant: true, lora: 8, splits: 2 },
    // Subgroup matrices.
    { tile: MATRIX_LARGE, tokens: 130, inFeatures: 96, outFeatures: [136], doubleQuant: true },
    {
      tile: MATRIX_LARGE,
      tokens: 150,
      inFeatures: 224,
      outFeatures: [136, 24],
      doubleQuant: true,
      lora: 20,
      bias: true,
      residual: true,
      margins: [4, 8],
      capacity: 151,
    },
    {
      tile: MATRIX_LARGE,
      tokens: 65,
      inFeatures: 160,
      outFeatures: [72, 40],
      doubleQuant: true,
      lora: 8,
      transposed: true,
    },
    { tile: MATRIX_LARGE, tokens: 33, inFeatures: 128, outFeatures: [64], transposed: true, splits: 2 },
    { tile: MATRIX_TALL, tokens: 270, inFeatures: 96, outFeatures: [136, 40], lora: 16, bias: true, residual: true },
    { tile: MATRIX_TALL, tokens: 300, inFeatures: 160, outFeatures: [72], transposed: true, lora: 8, splits: 2 },
    { tile: MATRIX_MEDIUM, tokens: 65, inFeatures: 352, outFeatures: [76], residual: true, lora: 16, splits: 3 },
    {
      tile: MATRIX_MEDIUM,
      tokens: 70,
      inFeatures: 96,
      outFeatures: [136, 64, 8],
      doubleQuant: true,
      lora: 16,
      adapted: [0, 2],
      transposed: true,
      capacity: 80,
    },
    { tile: MATRIX_SMALL, tokens: 7, inFeatures: 96, outFeatures: [40, 16], bias: true, lora: 3, doubleQuant: true },
    {
      tile: MATRIX_HALF,
      tokens: 70,
      inFeatures: 96,
      outFeatures: [136, 24],
      doubleQuant: true,
      lora: 20,
      bias: true,
      residual: true,
    },
    { tile: MATRIX_HALF, tokens: 65, inFeatures: 160, outFeatures: [72], transposed: true, lora: 8 },
    {
      tile: MATRIX_LARGE,
      tokens: 130,
      inFeatures: 160,
      outFeatures: [136, 40, 24],
      doubleQuant: true,
      floats: { dtype: 'BF16', of: [1] },
      lora: 16,
      bias: true,
      residual: true,
    },
    {
      tile: MATRIX_MEDIUM,
      tokens: 70,
      inFeatures: 96,
      outFeatures: [136, 64, 8],
      doubleQuant: true,
      floats: { dtype: 'F16', of: [0, 2] },
      lora: 8,
      transposed: true,
      splits: 2,
    },
    {
      tile: MATRIX_LARGE,
      tokens: 65,
      inFeatures: 128,
      outFeatures: [72],
      floats: { dtype: 'BF16', of: [0] },
      transposed: true,
    },
    { tile: MATRIX_SMALL, tokens: 100, inFeatures: 288, outFeatures: [80], transposed: true, lora: 8, splits: 2 },
    // In 16 bits.
    { tile: SOFTWARE, tokens: 9, inFeatures: 68, outFeatures: [36, 8], capacity: 10, margins: [4, 8], halves: 'x' },
    { tile: SOFTWARE, tokens: 65, inFeatures: 36, outFeatures: [72, 20], lora: 3, bias: true, halves: 'x and y' },
    { tile: SMALL, tokens: 33, inFeatures: 44, outFeatures: [68], lora: 8, residual: true, halves: 'x' },
    { tile: SOFTWARE, tokens: 13, inFeatures: 132, outFeatures: [36], bias: true, splits: 2, halves: 'x and y' },
    { tile: MATRIX_LARGE, tokens: 130, inFeatures: 96, outFeatures: [136, 24], lora: 16, halves: 'x and y' },
    { tile: MATRIX_MEDIUM, tokens: 70, inFeatures: 352, outFeatures: [76], residual: true, halves: 'x' },
    { tile: MATRIX_TALL, tokens: 270, inFeatures: 96, outFeatures: [136], margins: [8, 8], halves: 'x and y' },
    { tile: MATRIX_SMALL, tokens: 9, inFeatures: 288, outFeatures: [40], bias: true, splits: 2, halves: 'x and y' },
  ] satisfies Shape[]
).map(nf4Case);
