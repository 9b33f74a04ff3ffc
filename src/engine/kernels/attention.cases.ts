import { attentionBackwardReference, attentionForwardReference } from './attention.reference.ts';
import { type AttentionShape, attentionBackward, attentionForward } from './attention.ts';
import { randomDocuments } from './testing/documents.ts';
import { type CaseResult, F32, type KernelCase, placeReference, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

const common = ['common/attention.wgsl'];

interface Shape {
  readonly tokens: number;
  readonly capacity?: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly window?: number;
  readonly documents?: number;
  /** Size of queries and keys: large ones make the softmax sharp. */
  readonly deviation?: number;
}

const title = (shape: Shape) => {
  const { tokens, capacity = tokens, heads, kvHeads, headDim, window, documents = 1 } = shape;
  const notes = [window ? `window ${window}` : '', documents > 1 ? `${documents} documents` : ''].filter(Boolean);
  return [`${tokens} of ${capacity}, ${heads}/${kvHeads} × ${headDim}`, ...notes].join(' ');
};

function inputs(shape: Shape, seed: number) {
  const { tokens, capacity = tokens, heads, kvHeads, headDim, window = null, documents = 1, deviation = 1 } = shape;
  const random = new Random(seed);
  const stride = (heads + 2 * kvHeads) * headDim;
  const attention: AttentionShape = { heads, kvHeads, headDim, scale: Math.fround(1 / Math.sqrt(headDim)), window };
  return {
    attention,
    capacity,
    stride,
    qkv: random.normal(tokens * stride, deviation),
    documents: randomDocuments(random, tokens, documents),
    dO: random.normal(tokens * heads * headDim),
  };
}

const forwardCase = (shape: Shape): KernelCase => ({
  name: `attention_forward ${title(shape)}`,
  shaderFiles: ['attention_forward.wgsl', ...common],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench): Promise<CaseResult> => {
      const { tokens, heads, headDim } = shape;
      const { attention, capacity, stride, qkv, documents } = inputs(shape, seed);
      const o = bench.output('o', capacity * heads * headDim);
      const lse = bench.output('lse', heads * capacity);
      attentionForward(bench.plan, {
        shape: attention,
        qkv: bench.inputRows('qkv', qkv, { width: stride, capacity }),
        documents: bench.input('documents', documents, 2 * (capacity - tokens)),
        o,
        lse,
      });
      await bench.run();
      const reference = attentionForwardReference(qkv, documents, attention);
      const lseRows = { width: tokens, capacity: heads, stride: capacity };
      return {
        error: worst(await bench.error(o, reference.o), await bench.error(lse, placeReference(reference.lse, lseRows))),
        tolerance: F32,
      };
    }),
});

const backwardCase = (shape: Shape): KernelCase => ({
  name: `attention_backward ${title(shape)}`,
  shaderFiles: [
    'attention_backward_query.wgsl',
    'attention_backward_key_value.wgsl',
    'common/indexing.wgsl',
    ...common,
  ],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench): Promise<CaseResult> => {
      const { tokens, heads, headDim } = shape;
      const { attention, capacity, stride, qkv, documents, dO } = inputs(shape, seed);
      const forward = attentionForwardReference(qkv, documents, attention);
      const oRows = { width: heads * headDim, capacity };
      const lseRows = { width: tokens, capacity: heads, stride: capacity };
      const delta = bench.output('delta', heads * capacity);
      const dQkv = bench.output('d_qkv', capacity * stride);
      attentionBackward(bench.plan, {
        shape: attention,
        qkv: bench.inputRows('qkv', qkv, { width: stride, capacity }),
        documents: bench.input('documents', documents, 2 * (capacity - tokens)),
        o: bench.inputRows('o', Float32Array.from(forward.o), oRows),
        lse: bench.inputRows('lse', Float32Array.from(forward.lse), lseRows),
        dO: bench.inputRows('d_o', dO, oRows),
        delta,
        dQkv,
      });
      await bench.run();
      const sums = Float64Array.from({ length: heads * tokens }, (_, i) => {
        const at = ((i % tokens) * heads + Math.floor(i / tokens)) * headDim;
        return dO.subarray(at, at + headDim).reduce((sum, x, d) => sum + x * forward.o[at + d], 0);
      });
      return {
        error: worst(
          await bench.error(delta, placeReference(sums, lseRows)),
          await bench.error(dQkv, attentionBackwardReference(qkv, documents, attention, dO)),
        ),
        tolerance: F32,
      };
    }),
});

const SHAPES: readonly Shape[] = [
  { tokens: 1, heads: 1, kvHeads: 1, headDim: 16 },
  { tokens: 7, heads: 3, kvHeads: 1, headDim: 8, capacity: 9 },
  { tokens: 63, heads: 4, kvHeads: 2, headDim: 24, documents: 5 },
  { tokens: 65, heads: 2, kvHeads: 2, headDim: 16, capacity: 70, window: 10, deviation: 3 },
  { tokens: 130, heads: 6, kvHeads: 2, headDim: 8, documents: 3, window: 33, capacity: 131 },
  { tokens: 65, heads: 2, kvHeads: 1, headDim: 64, documents: 2 },
  { tokens: 40, heads: 1, kvHeads: 1, headDim: 128, window: 1 },
  { tokens: 100, heads: 2, kvHeads: 1, headDim: 16, documents: 40 },
];

export const cases: KernelCase[] = [
  ...SHAPES.map(forwardCase),
  ...SHAPES.map(backwardCase),
  forwardCase({ tokens: 1000, heads: 1, kvHeads: 1, headDim: 8, documents: 4 }),
  backwardCase({ tokens: 300, heads: 1, kvHeads: 1, headDim: 8 }),
];
