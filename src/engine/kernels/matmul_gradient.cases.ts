import { matmulGradientReference } from './matmul_gradient.reference.ts';
import { matmulGradient } from './matmul_gradient.ts';
import { FLAT_8, FLAT_16, LARGE, MEDIUM, NARROW_8, NARROW_16, SMALL, SOFTWARE, type Tile } from './matmul_tile.ts';
import { type KernelCase, MATMUL, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';
import { tileName } from './testing/tile_name.ts';

const shaderFiles = ['matmul_gradient.wgsl', 'common/matmul_tile.wgsl'];

interface Shape {
  readonly tile: Tile;
  readonly tokens: number;
  readonly height: number;
  readonly width: number;
  readonly capacity?: number;
  readonly scale?: number;
  /** Columns around p and q in their rows: before and after. */
  readonly margins?: readonly [number, number];
}

const gradientCase = (shape: Shape): KernelCase => {
  const { tile, tokens, height, width, capacity = tokens, scale = 1 } = shape;
  const [before, after] = shape.margins ?? [0, 0];
  return {
    name: `matmul_gradient ${tileName(tile)} ${height} × ${tokens} of ${capacity} × ${width} × ${scale}${shape.margins ? ' columns' : ''}`,
    shaderFiles,
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const [p, q, old] = [tokens * height, tokens * width, height * width].map((n) => random.normal(n));
        const pRows = { width: height, capacity, stride: before + height + after, at: before };
        const qRows = { width, capacity, stride: after + width + before, at: after };
        const g = bench.inout('g', old);
        matmulGradient(bench.plan, {
          p: { tensor: bench.inputRows('p', p, pRows), stride: pRows.stride, at: pRows.at },
          q: { tensor: bench.inputRows('q', q, qRows), stride: qRows.stride, at: qRows.at },
          g,
          height,
          width,
          scale,
          tile,
        });
        await bench.run();
        const reference = matmulGradientReference(p, q, height, width).map((v, i) => old[i] + scale * v);
        return { error: await bench.error(g, reference), tolerance: MATMUL };
      }),
  };
};

export const cases: KernelCase[] = [
  { tile: FLAT_8, tokens: 1, height: 8, width: 33 },
  { tile: SMALL, tokens: 7, height: 1, width: 65, scale: 2 },
  { tile: NARROW_16, tokens: 63, height: 63, width: 16, capacity: 70, margins: [3, 2] as const },
  { tile: NARROW_8, tokens: 65, height: 130, width: 7, scale: 0.5, margins: [0, 5] as const },
  { tile: FLAT_16, tokens: 1000, height: 16, width: 33 },
  { tile: MEDIUM, tokens: 65, height: 100, width: 65, capacity: 66, margins: [1, 2] as const, scale: -1 },
  { tile: SOFTWARE, tokens: 130, height: 65, width: 100, capacity: 140, scale: 2 },
  { tile: LARGE, tokens: 33, height: 130, width: 150 },
].map(gradientCase);
