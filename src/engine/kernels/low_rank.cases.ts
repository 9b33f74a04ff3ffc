import { matmulGradientReference } from './low_rank.reference.ts';
import { lowRankBackward, lowRankForward, lowRankGradient } from './low_rank.ts';
import { matmulReference, matmulTransposedReference } from './matmul_dense.reference.ts';
import type { GroupAdapter } from './matmul_nf4.ts';
import { inF16 } from './testing/float_table.ts';
import { type KernelCase, MATMUL, placeReference, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly inFeatures: number;
  readonly outFeatures: readonly number[];
  /** Of each linear where they differ; then each has its own scale too. */
  readonly rank: number | readonly number[];
  /** Linears without an adapter. */
  readonly bare?: readonly number[];
  readonly capacity?: number;
  readonly splits?: number;
  /** Each token has a factor of its own. */
  readonly strengths?: boolean;
  /** Columns around x and dy in their rows: before and after. */
  readonly margins?: readonly [number, number];
  /** Where the adapter begins; 3 unless given. */
  readonly adapterAt?: number;
  /** Vectors of tokens a workgroup of the narrow products; 1 unless given, as on a GPU with room for more workgroups. */
  readonly rows?: number;
  /** The group's input is in 16 bits. */
  readonly halves?: boolean;
}

/** Rank and s of the i-th linear's adapter. */
const strength = ({ rank }: Shape, i: number) =>
  typeof rank === 'number' ? { rank, scale: 1.5 } : { rank: rank[i], scale: 1.5 + i };

const title = ({
  tokens,
  inFeatures,
  outFeatures,
  rank,
  bare,
  capacity = tokens,
  splits,
  margins,
  adapterAt,
  rows,
  strengths,
  halves,
}: Shape) =>
  [
    ...(rows ? [`${rows} rows`] : []),
    ...(splits ? [`split ${splits}`] : []),
    `${tokens} of ${capacity}, ${outFeatures.join('+')}×${inFeatures} rank ${[rank].flat().join('+')}`,
    ...(bare ? [`not on ${bare.join(' and ')}`] : []),
    ...(margins ? ['columns'] : []),
    ...(strengths ? ['strengths'] : []),
    ...(adapterAt ? [`adapter at ${adapterAt}`] : []),
    ...(halves ? ['halves'] : []),
  ].join(' ');

/** Offsets of an adapter's matrices in one run, and random values for the run. */
function randomAdapter(random: Random, shape: Shape) {
  const { inFeatures, outFeatures, bare = [], adapterAt: aAt = 3 } = shape;
  const strengths = outFeatures.map((_, i) => (bare.includes(i) ? null : strength(shape, i)));
  const columns = strengths.reduce((sum, own) => sum + (own?.rank ?? 0), 0);
  let end = aAt + columns * inFeatures;
  let uAt = 0;
  const parts = outFeatures.map((width, i) => {
    const own = strengths[i];
    if (!own) return null;
    end += width * own.rank;
    uAt += own.rank;
    return { uAt: uAt - own.rank, ...own, bAt: end - width * own.rank };
  });
  const adapter: Omit<GroupAdapter, 'parameters' | 'gradients'> = { columns, aAt, parts };
  return { adapter, parameters: random.normal(end) };
}

/** Columns [begin, begin + width) of rows `stride` wide. */
const columnsOf = (data: ArrayLike<number>, stride: number, begin: number, width: number) =>
  Float64Array.from(
    { length: (data.length / stride) * width },
    (_, i) => data[Math.floor(i / width) * stride + begin + (i % width)],
  );

/** Each adapted linear with its columns of dy and of u. */
function* adaptedParts({ outFeatures }: Shape, parts: GroupAdapter['parts']) {
  let begin = 0;
  for (const [i, width] of outFeatures.entries()) {
    const part = parts[i];
    if (part) yield { begin, width, ...part };
    begin += width;
  }
}

const forwardCase = (shape: Shape): KernelCase => ({
  name: `low_rank ${title(shape)}`,
  shaderFiles: ['low_rank.wgsl', ...(shape.halves ? ['common/halves.wgsl'] : [])],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { tokens, inFeatures, capacity = tokens } = shape;
      const [before, after] = shape.margins ?? [0, 0];
      const random = new Random(seed);
      const { adapter, parameters } = randomAdapter(random, shape);
      const drawn = random.normal(tokens * inFeatures);
      const x = shape.halves ? inF16(drawn) : drawn;
      const stride = before + inFeatures + after;
      const rows = { width: inFeatures, capacity, stride, at: before, halves: shape.halves };
      const bound = bench.input('lora', parameters);
      const u = bench.output('u', capacity * adapter.columns);
      const strengths = random.uniform(tokens, 0, 1).map((value, t) => (t === 0 ? 0 : value));
      lowRankForward(bench.plan, {
        x: { tensor: bench.inputRows('x', x, rows), stride: rows.stride, at: before },
        inFeatures,
        adapter: { ...adapter, parameters: bound, gradients: bound },
        u,
        strength: shape.strengths ? bench.input('strength', strengths) : undefined,
        rows: shape.rows ?? 1,
      });
      await bench.run();
      const a = parameters.subarray(adapter.aAt, adapter.aAt + adapter.columns * inFeatures);
      const scales = adapter.parts.flatMap((part) => (part ? new Array<number>(part.rank).fill(part.scale) : []));
      const reference = matmulReference(x, a, inFeatures, adapter.columns);
      const factor = (t: number) => (shape.strengths ? strengths[t] : 1);
      const scaled = reference.map(
        (value, i) => value * scales[i % adapter.columns] * factor(Math.floor(i / adapter.columns)),
      );
      return { error: await bench.error(u, scaled), tolerance: MATMUL };
    }),
});

const backwardCase = (shape: Shape): KernelCase => ({
  name: `low_rank_dx ${title(shape)}`,
  shaderFiles: ['low_rank.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { tokens, outFeatures, capacity = tokens } = shape;
      const [before, after] = shape.margins ?? [0, 0];
      const random = new Random(seed);
      const { adapter, parameters } = randomAdapter(random, shape);
      const width = outFeatures.reduce((a, b) => a + b, 0);
      const dy = random.normal(tokens * width);
      const rows = { width, capacity, stride: before + width + after, at: before };
      const bound = bench.input('lora', parameters);
      const du = bench.output('du', capacity * adapter.columns);
      lowRankBackward(bench.plan, {
        dy: { tensor: bench.inputRows('dy', dy, rows), stride: rows.stride, at: before },
        outFeatures,
        adapter: { ...adapter, parameters: bound, gradients: bound },
        du,
        rows: shape.rows ?? 1,
      });
      await bench.run();
      const reference = new Float64Array(tokens * adapter.columns);
      for (const { begin, width: out, uAt, bAt, rank, scale } of adaptedParts(shape, adapter.parts)) {
        const b = parameters.subarray(bAt, bAt + out * rank);
        matmulTransposedReference(columnsOf(dy, width, begin, out), b, out, rank).forEach((value, i) => {
          reference[Math.floor(i / rank) * adapter.columns + uAt + (i % rank)] = scale * value;
        });
      }
      const placed = placeReference(reference, { width: adapter.columns, capacity });
      return { error: await bench.error(du, placed), tolerance: MATMUL };
    }),
});

const gradientCase = (shape: Shape): KernelCase => ({
  name: `low_rank_gradient ${title(shape)}`,
  shaderFiles: [
    'low_rank_gradient.wgsl',
    ...(shape.splits ? ['low_rank_gradient_sum.wgsl'] : []),
    ...(shape.halves ? ['common/halves.wgsl'] : []),
  ],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { tokens, inFeatures, outFeatures, splits, capacity = tokens } = shape;
      const [before, after] = shape.margins ?? [0, 0];
      const random = new Random(seed);
      const { adapter, parameters: old } = randomAdapter(random, shape);
      const width = outFeatures.reduce((a, b) => a + b, 0);
      const [drawn, dy] = [inFeatures, width].map((n) => random.normal(tokens * n));
      const x = shape.halves ? inF16(drawn) : drawn;
      const [u, du] = [1, 5].map((deviation) => random.normal(tokens * adapter.columns, deviation));
      const place = (w: number) => ({ width: w, capacity, stride: before + w + after, at: before });
      const columns = (name: string, data: Float32Array, w: number, halves = false) => ({
        tensor: bench.inputRows(name, data, { ...place(w), halves }),
        stride: place(w).stride,
        at: before,
      });
      const gradients = bench.inout('gradients', old);
      const narrow = { width: adapter.columns, capacity };
      lowRankGradient(bench.plan, {
        x: columns('x', x, inFeatures, shape.halves),
        inFeatures,
        dy: columns('dy', dy, width),
        outFeatures,
        u: bench.inputRows('u', u, narrow),
        du: bench.inputRows('du', du, narrow),
        adapter: { ...adapter, parameters: gradients, gradients },
        splits,
      });
      await bench.run();
      const reference = Float64Array.from(old);
      const add = (at: number, gradient: Float64Array) =>
        gradient.forEach((value, i) => {
          reference[at + i] += value;
        });
      add(adapter.aAt, matmulGradientReference(du, x, adapter.columns, inFeatures));
      for (const { begin, width: out, uAt, bAt, rank } of adaptedParts(shape, adapter.parts)) {
        const [left, right] = [columnsOf(dy, width, begin, out), columnsOf(u, adapter.columns, uAt, rank)];
        add(bAt, matmulGradientReference(left, right, out, rank));
      }
      return { error: worst(await bench.error(gradients, reference)), tolerance: MATMUL };
    }),
});

const SHAPES: readonly Shape[] = [
  { tokens: 1, inFeatures: 8, outFeatures: [8], rank: 1 },
  { tokens: 7, inFeatures: 65, outFeatures: [33], rank: 3, capacity: 9 },
  { tokens: 65, inFeatures: 100, outFeatures: [64, 20, 20], rank: 16, margins: [4, 8] },
  { tokens: 40, inFeatures: 130, outFeatures: [63, 9], rank: 5, capacity: 70, margins: [1, 2] },
  { tokens: 100, inFeatures: 64, outFeatures: [40, 36, 68], rank: 8, bare: [1], capacity: 101 },
  { tokens: 17, inFeatures: 200, outFeatures: [36], rank: 36 },
  // Whole vectors throughout; of the first two also more depth than one round of reads, and not a multiple of it.
  { tokens: 33, inFeatures: 452, outFeatures: [260, 68], rank: 20, adapterAt: 8 },
  { tokens: 65, inFeatures: 100, outFeatures: [400, 20, 20], rank: 16, margins: [4, 8], adapterAt: 4 },
  { tokens: 70, inFeatures: 64, outFeatures: [40, 36, 68], rank: 8, bare: [1], capacity: 101, adapterAt: 4 },
  { tokens: 19, inFeatures: 36, outFeatures: [20, 8, 12, 24], rank: [5, 1, 17, 3], bare: [1] },
];

/** More tokens a workgroup, as long batches have them. */
const ROWS: readonly Shape[] = [
  { rows: 2, tokens: 37, inFeatures: 300, outFeatures: [132, 44], rank: 12, adapterAt: 4 },
  { rows: 4, tokens: 37, inFeatures: 300, outFeatures: [132, 44], rank: 12, adapterAt: 4 },
  { rows: 16, tokens: 37, inFeatures: 300, outFeatures: [132, 44], rank: 12, adapterAt: 4 },
  { rows: 16, tokens: 70, inFeatures: 65, outFeatures: [33, 9], rank: [3, 17] },
];

const STORED: readonly Shape[] = [
  { tokens: 9, inFeatures: 68, outFeatures: [36, 8], rank: [5, 3], capacity: 11, margins: [4, 8], halves: true },
  { tokens: 65, inFeatures: 132, outFeatures: [64, 20], rank: 8, adapterAt: 4, splits: 2, halves: true },
];

export const cases: KernelCase[] = [
  ...[...SHAPES, ...ROWS].map(forwardCase),
  forwardCase({ tokens: 20, inFeatures: 68, outFeatures: [33, 9], rank: [3, 5], capacity: 22, strengths: true }),
  ...[...SHAPES, ...ROWS].map(backwardCase),
  gradientCase({ tokens: 150, inFeatures: 65, outFeatures: [33, 9], rank: 3, capacity: 160, splits: 3 }),
  // Parts without a token.
  gradientCase({ tokens: 60, inFeatures: 64, outFeatures: [68], rank: 8, capacity: 130, splits: 4 }),
  ...SHAPES.map(gradientCase),
  ...STORED.flatMap((shape) => [forwardCase(shape), gradientCase(shape)]),
];
