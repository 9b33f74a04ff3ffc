import { headNormBackwardReference, headNormReference } from './head_norm.reference.ts';
import { type HeadNormOptions, headNorm, headNormBackward } from './head_norm.ts';
import { inF16 } from './testing/float_table.ts';
import { type Bench, F32, HALVES, type KernelCase, placeReference, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

const EPSILON = 1e-3;
const common = ['common/indexing.wgsl', 'common/reduce.wgsl', 'common/head_norm.wgsl', 'common/number.wgsl'];
const files = ({ halves }: Shape) => [...common, ...(halves ? ['common/halves.wgsl'] : [])];

interface Shape {
  readonly tokens: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly capacity?: number;
  /** The heads, not their gradients, are in 16 bits. */
  readonly halves?: boolean;
}

const title = ({ tokens, heads, kvHeads, headDim, capacity = tokens, halves }: Shape) =>
  `${tokens} of ${capacity}, ${heads}/${kvHeads} × ${headDim}${halves ? ' halves' : ''}`;

function inputs({ tokens, heads, kvHeads, headDim, capacity = tokens, halves }: Shape, seed: number) {
  const random = new Random(seed);
  const stride = (heads + 2 * kvHeads) * headDim;
  const norms = random.normal(2 * headDim + 7);
  const [query, key] = [norms.subarray(3, 3 + headDim), norms.subarray(headDim + 7)];
  const weights = (bench: Bench): Pick<HeadNormOptions, 'query' | 'key' | 'heads' | 'kvHeads'> => {
    const tensor = bench.input('weight', norms);
    const weight = (at: number) => ({ tensor, at, width: headDim, epsilon: EPSILON });
    return { query: weight(3), key: weight(headDim + 7), heads, kvHeads };
  };
  const qkv = random.normal(tokens * stride, 0.3);
  return {
    rows: { width: stride, capacity },
    // What lies in raw: the heads without the values.
    rawRows: { width: (heads + kvHeads) * headDim, capacity, halves },
    rawOf: (qkv: Float32Array) => qkv.filter((_, i) => i % stride < (heads + kvHeads) * headDim),
    qkv: halves ? inF16(qkv) : qkv,
    d: random.normal(tokens * stride),
    reference: { heads, kvHeads, query, key, epsilon: EPSILON },
    weights,
  };
}

const forwardCase = (shape: Shape): KernelCase => ({
  name: `head_norm ${title(shape)}`,
  shaderFiles: ['head_norm.wgsl', ...files(shape)],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { rows, rawRows, rawOf, qkv, reference, weights } = inputs(shape, seed);
      const tensor = bench.inoutRows('qkv', qkv, { ...rows, halves: shape.halves });
      const raw = bench.output('raw', rawRows.capacity * rawRows.width, shape.halves);
      headNorm(bench.plan, { qkv: tensor, raw, ...weights(bench) });
      await bench.run();
      const before = placeReference(Float64Array.from(rawOf(qkv)), rawRows);
      const normed = headNormReference(Float64Array.from(qkv), reference);
      const error = worst(await bench.error(tensor, normed), await bench.error(raw, before));
      return { error, tolerance: shape.halves ? HALVES : F32 };
    }),
});

const backwardCase = (shape: Shape): KernelCase => ({
  name: `head_norm_backward ${title(shape)}`,
  shaderFiles: ['head_norm_backward.wgsl', ...files(shape)],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { rows, rawRows, rawOf, qkv, d, reference, weights } = inputs(shape, seed);
      const tensor = bench.inoutRows('d_qkv', d, rows);
      const raw = bench.inputRows('raw', rawOf(qkv), rawRows);
      headNormBackward(bench.plan, { qkv: tensor, raw, ...weights(bench) });
      await bench.run();
      const gradient = headNormBackwardReference(Float64Array.from(qkv), reference, Float64Array.from(d));
      return { error: await bench.error(tensor, gradient), tolerance: F32 };
    }),
});

const SHAPES: readonly Shape[] = [
  { tokens: 1, heads: 1, kvHeads: 1, headDim: 2 },
  { tokens: 7, heads: 4, kvHeads: 2, headDim: 24, capacity: 9 },
  { tokens: 63, heads: 3, kvHeads: 1, headDim: 130 },
  { tokens: 65, heads: 2, kvHeads: 2, headDim: 16, capacity: 70 },
  { tokens: 5, heads: 4, kvHeads: 1, headDim: 256 },
  { tokens: 7, heads: 4, kvHeads: 2, headDim: 20, capacity: 9, halves: true },
];

export const cases: KernelCase[] = [...SHAPES.map(forwardCase), ...SHAPES.map(backwardCase)];
