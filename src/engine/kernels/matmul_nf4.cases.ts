import { linearReference } from './matmul_nf4.reference.ts';
import { matmulNf4 } from './matmul_nf4.ts';
import { FLAT_8, FLAT_16, LARGE, MEDIUM, NARROW_8, NARROW_16, SMALL, SOFTWARE, type Tile } from './matmul_tile.ts';
import { type KernelCase, MATMUL, placeReference, withBench } from './testing/harness.ts';
import { randomLinear } from './testing/quantized.ts';
import { Random } from './testing/random.ts';
import { tileName } from './testing/tile_name.ts';

const shaderFiles = ['matmul_nf4.wgsl', 'common/nf4.wgsl', 'common/matmul_tile.wgsl'];

interface Shape {
  readonly tile: Tile;
  readonly tokens: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly capacity?: number;
  readonly doubleQuant?: boolean;
  readonly transposed?: boolean;
  /** The rank, where there is an adapter. */
  readonly lora?: number;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly accumulate?: boolean;
  /** Columns around x and y in their rows: before and after. */
  readonly margins?: readonly [number, number];
}

const nf4Case = (shape: Shape): KernelCase => {
  const { tile, tokens, inFeatures, outFeatures, capacity = tokens, transposed = false, accumulate } = shape;
  const { doubleQuant = false } = shape;
  const [before, after] = shape.margins ?? [0, 0];
  const notes = [
    doubleQuant ? 'double' : '',
    transposed ? 'transposed' : '',
    shape.lora ? `rank ${shape.lora}` : '',
    shape.bias ? 'bias' : '',
    shape.residual ? 'residual' : '',
    accumulate ? 'accumulated' : '',
    shape.margins ? 'columns' : '',
  ].filter(Boolean);
  const sizes = `${tokens} of ${capacity}, ${outFeatures}×${inFeatures}`;
  return {
    name: ['matmul_nf4', tileName(tile), sizes, ...notes].join(' '),
    shaderFiles,
    workgroupBytes: (tile.TILE_M + tile.TILE_N) * tile.TILE_K * 4 + (doubleQuant ? 272 : 16) * 4,
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const { slab, linear, weight, bias } = randomLinear(random, {
          inFeatures,
          outFeatures,
          doubleQuant,
          bias: shape.bias,
        });
        const depth = transposed ? outFeatures : inFeatures;
        const width = transposed ? inFeatures : outFeatures;
        const x = random.normal(tokens * depth);
        const old = random.normal(tokens * width, 10);
        const residual = shape.residual ? random.normal(tokens * width, 10) : undefined;
        const lora = shape.lora
          ? {
              u: random.normal(tokens * shape.lora, 5),
              matrix: random.normal(shape.lora * width),
              rank: shape.lora,
              scale: 1.5,
            }
          : undefined;
        const xRows = { width: depth, capacity, stride: before + depth + after, at: before };
        const yRows = { width, capacity, stride: before + width + after, at: before };
        const y = accumulate ? bench.inoutRows('y', old, yRows) : bench.output('y', capacity * yRows.stride);
        matmulNf4(bench.plan, {
          x: { tensor: bench.inputRows('x', x, xRows), stride: xRows.stride, at: before },
          y: { tensor: y, stride: yRows.stride, at: before },
          linear: { ...linear, slab: bench.input('slab', slab) },
          transposed,
          lora: lora && {
            u: bench.inputRows('u', lora.u, { width: lora.rank, capacity }),
            matrix: bench.input('lora', lora.matrix),
            rank: lora.rank,
            scale: lora.scale,
          },
          residual: residual && bench.inputRows('residual', residual, { width, capacity }),
          accumulate,
          tile,
        });
        await bench.run();
        const reference = linearReference({
          x,
          weight,
          depth,
          width,
          transposed,
          lora,
          bias: transposed ? undefined : bias,
          residual,
        });
        if (accumulate) for (let i = 0; i < reference.length; i++) reference[i] += old[i];
        return { error: await bench.error(y, placeReference(reference, yRows)), tolerance: MATMUL };
      }),
  };
};

export const cases: KernelCase[] = (
  [
    // in_features a multiple of 4: four weights at a time.
    { tile: SMALL, tokens: 7, inFeatures: 100, outFeatures: 33, doubleQuant: true, bias: true },
    { tile: SMALL, tokens: 63, inFeatures: 132, outFeatures: 130, lora: 8, residual: true },
    { tile: SMALL, tokens: 65, inFeatures: 36, outFeatures: 65, lora: 3, transposed: true, accumulate: true },
    {
      tile: NARROW_16,
      tokens: 1000,
      inFeatures: 20,
      outFeatures: 20,
      doubleQuant: true,
      lora: 16,
      bias: true,
      residual: true,
    },
    { tile: FLAT_16, tokens: 33, inFeatures: 64, outFeatures: 40, margins: [3, 2], capacity: 40, bias: true },
    // More than 256 blocks: a second block of double quantization.
    { tile: FLAT_8, tokens: 5, inFeatures: 260, outFeatures: 150, doubleQuant: true },
    // Any other in_features: one weight at a time.
    { tile: NARROW_8, tokens: 1, inFeatures: 7, outFeatures: 1, doubleQuant: true },
    { tile: SMALL, tokens: 7, inFeatures: 33, outFeatures: 65, bias: true, accumulate: true },
    { tile: SMALL, tokens: 63, inFeatures: 63, outFeatures: 33, doubleQuant: true, lora: 5, capacity: 65 },
    { tile: SMALL, tokens: 65, inFeatures: 130, outFeatures: 63, transposed: true, lora: 20, residual: true },
    {
      tile: SMALL,
      tokens: 65,
      inFeatures: 65,
      outFeatures: 100,
      doubleQuant: true,
      transposed: true,
      bias: true,
      margins: [2, 1],
    },
    { tile: MEDIUM, tokens: 130, inFeatures: 64, outFeatures: 65, transposed: true, lora: 8, accumulate: true },
    {
      tile: SOFTWARE,
      tokens: 130,
      inFeatures: 100,
      outFeatures: 130,
      doubleQuant: true,
      lora: 8,
      capacity: 131,
      bias: true,
    },
    {
      tile: SOFTWARE,
      tokens: 65,
      inFeatures: 300,
      outFeatures: 65,
      doubleQuant: true,
      transposed: true,
      lora: 8,
      capacity: 70,
    },
    { tile: LARGE, tokens: 130, inFeatures: 64, outFeatures: 150, doubleQuant: true, lora: 16, bias: true },
  ] satisfies Shape[]
).map(nf4Case);
