import { attentionBackwardReference, attentionForwardReference } from './attention.reference.ts';
import { type AttentionShape, attentionBackward, attentionForward } from './attention.ts';
import { ATTENTION_MATRIX, ATTENTION_VARIANTS, type AttentionPass } from './attention_variant.ts';
import { ropeReference } from './rope.reference.ts';
import { randomDocuments } from './testing/documents.ts';
import { inF16 } from './testing/float_table.ts';
import {
  type Bench,
  type CaseResult,
  F16_SOFTMAX,
  F32,
  HALVES,
  type KernelCase,
  placeReference,
  TINY,
  withBench,
  worst,
} from './testing/harness.ts';
import { Random } from './testing/random.ts';

const common = [
  'common/attention.wgsl',
  'common/attention_tile.wgsl',
  'common/attention_query_rows.wgsl',
  'common/attention_scores.wgsl',
  'common/soft_cap.wgsl',
];

const matrix = [
  'common/attention_scores.wgsl',
  'common/soft_cap.wgsl',
  'common/attention.wgsl',
  'common/attention_matrix.wgsl',
  'common/matrices.wgsl',
];

/** What a pass is made of. */
function files({ variant, halves }: Shape, pass: AttentionPass): string[] {
  const stored = halves ? ['common/halves.wgsl'] : [];
  if (variant === ATTENTION_MATRIX) {
    const gradient = pass === 'forward' ? [] : ['common/attention_matrix_gradient.wgsl'];
    return [`attention_matrix_${pass}.wgsl`, ...matrix, ...gradient, ...stored];
  }
  return [
    `attention_${pass}.wgsl`,
    ...stored,
    ...(pass === 'forward' ? [] : ['common/attention_gradient.wgsl']),
    ...common,
  ];
}

interface Shape {
  readonly tokens: number;
  readonly capacity?: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly window?: number;
  readonly documents?: number;
  readonly softCap?: number;
  /** Size of queries and keys: large ones make the softmax sharp. */
  readonly deviation?: number;
  /** The shape's and device's own by default. */
  readonly variant?: keyof typeof ATTENTION_VARIANTS | typeof ATTENTION_MATRIX;
  readonly prefetch?: boolean;
  /** qkv and o are in 16 bits. */
  readonly halves?: boolean;
}

interface BackwardShape extends Shape {
  /** Splits the gradients of keys and values. */
  readonly parts?: number;
  /** Dimensions of a head that RoPE turned. */
  readonly rotary?: number;
}

const title = (shape: BackwardShape) => {
  const { tokens, capacity = tokens, heads, kvHeads, headDim, window, documents = 1 } = shape;
  const { variant, prefetch, parts, rotary, softCap, halves } = shape;
  const notes = [
    window ? `window ${window}` : '',
    documents > 1 ? `${documents} documents` : '',
    variant,
    prefetch ? 'prefetch' : '',
    parts ? `${parts} parts` : '',
    rotary ? `${rotary} rotated` : '',
    softCap ? `capped at ${softCap}` : '',
    halves ? 'halves' : '',
  ].filter(Boolean);
  return [`${tokens} of ${capacity}, ${heads}/${kvHeads} × ${headDim}`, ...notes].join(' ');
};

/** A forced variant, its loops not written out and without its prefetch unless asked for: compiled in a third of the time. */
const forced = ({ variant, prefetch = false }: Shape) =>
  variant === ATTENTION_MATRIX
    ? { variant }
    : variant
      ? { variant: { ...ATTENTION_VARIANTS[variant], UNROLL: prefetch ? 2 : 1, PREFETCH: prefetch } }
      : {};

const gradientUnit = ({ variant }: Shape) => (variant === ATTENTION_MATRIX ? TINY : 1);

function inputs(shape: Shape, seed: number) {
  const { tokens, capacity = tokens, heads, kvHeads, headDim, window = null, documents = 1, deviation = 1 } = shape;
  const { softCap, halves } = shape;
  const random = new Random(seed);
  const stride = (heads + 2 * kvHeads) * headDim;
  const attention: AttentionShape = {
    heads,
    kvHeads,
    headDim,
    scale: Math.fround(1 / Math.sqrt(headDim)),
    window,
    softCap,
  };
  const qkv = random.normal(tokens * stride, deviation);
  return {
    attention,
    capacity,
    stride,
    qkv: halves ? inF16(qkv) : qkv,
    documents: randomDocuments(random, tokens, documents),
    dO: random.normal(tokens * heads * headDim, gradientUnit(shape)),
  };
}

const forwardCase = (shape: Shape): KernelCase => ({
  name: `attention_forward ${title(shape)}`,
  shaderFiles: files(shape, 'forward'),
  matrices: shape.variant === ATTENTION_MATRIX,
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench): Promise<CaseResult> => {
      const { tokens, heads, headDim } = shape;
      const { attention, capacity, stride, qkv, documents } = inputs(shape, seed);
      const o = bench.output('o', capacity * heads * headDim, shape.halves);
      const lse = bench.output('lse', heads * capacity);
      attentionForward(bench.plan, {
        shape: attention,
        qkv: bench.inputRows('qkv', qkv, { width: stride, capacity, halves: shape.halves }),
        documents: bench.input('documents', documents, 2 * (capacity - tokens)),
        o,
        lse,
        ...forced(shape),
      });
      await bench.run();
      const reference = attentionForwardReference(qkv, documents, attention);
      const lseRows = { width: tokens, capacity: heads, stride: capacity };
      return {
        error: worst(
          (await bench.error(o, reference.o)) / (shape.halves ? HALVES / F32 : 1),
          await bench.error(lse, placeReference(reference.lse, lseRows)),
        ),
        tolerance: shape.variant === ATTENTION_MATRIX ? F16_SOFTMAX : F32,
      };
    }),
});

/** Angles of one RoPE table, and what a plan binds of them. */
function ropeInputs(bench: Bench, { tokens, capacity = tokens, rotary = 0 }: BackwardShape, seed: number) {
  const half = rotary / 2;
  const spec = {
    inverseFrequencies: Array.from({ length: half }, (_, i) => Math.fround(100 ** (-i / half))),
    attentionScaling: 1.25,
    long: null,
  };
  const positions = new Random(seed + 1).integers(tokens, 0, 50);
  const table = (f: (angle: number) => number) =>
    Float32Array.from({ length: 50 * half }, (_, i) => {
      return f(Math.fround(Math.floor(i / half) * spec.inverseFrequencies[i % half])) * spec.attentionScaling;
    });
  return {
    spec,
    positions,
    rope: {
      tables: {
        cosines: bench.input('cosines', table(Math.cos)),
        sines: bench.input('sines', table(Math.sin)),
        half,
      },
      positions: bench.input('positions', positions, capacity - tokens),
    },
  };
}

const backwardCase = (shape: BackwardShape): KernelCase => ({
  name: `attention_backward ${title(shape)}`,
  shaderFiles: [
    ...files(shape, 'backward_query'),
    ...files(shape, 'backward_key_value'),
    ...(shape.parts ? ['attention_backward_sum.wgsl'] : []),
  ],
  matrices: shape.variant === ATTENTION_MATRIX,
  run: (gpu, seed) =>
    withBench(
      gpu,
      { ...shape, step: { inverse_trained_tokens: gradientUnit(shape) } },
      async (bench): Promise<CaseResult> => {
        const { tokens, heads, headDim } = shape;
        const { attention, capacity, stride, qkv, documents, dO } = inputs(shape, seed);
        const forward = attentionForwardReference(qkv, documents, attention);
        const o = shape.halves ? inF16(Float32Array.from(forward.o)) : forward.o;
        const oRows = { width: heads * headDim, capacity };
        const lseRows = { width: tokens, capacity: heads, stride: capacity };
        const turned = shape.rotary ? ropeInputs(bench, shape, seed) : null;
        const delta = bench.output('delta', heads * capacity);
        const dQkv = bench.output('d_qkv', capacity * stride);
        attentionBackward(bench.plan, {
          shape: attention,
          qkv: bench.inputRows('qkv', qkv, { width: stride, capacity, halves: shape.halves }),
          documents: bench.input('documents', documents, 2 * (capacity - tokens)),
          o: bench.inputRows('o', Float32Array.from(o), { ...oRows, halves: shape.halves }),
          lse: bench.inputRows('lse', Float32Array.from(forward.lse), lseRows),
          dO: bench.inputRows('d_o', dO, oRows),
          delta,
          dQkv,
          ...forced(shape),
          ...(shape.variant || shape.parts ? { parts: shape.parts ?? null } : {}),
          ...(turned ? { rope: turned.rope } : {}),
        });
        await bench.run();
        const sums = Float64Array.from({ length: heads * tokens }, (_, i) => {
          const at = ((i % tokens) * heads + Math.floor(i / tokens)) * headDim;
          return dO.subarray(at, at + headDim).reduce((sum, x, d) => sum + x * o[at + d], 0);
        });
        const gradient = attentionBackwardReference(qkv, documents, attention, dO, shape.halves ? o : null);
        const rotated = { stride, heads: heads + shape.kvHeads, headDim };
        return {
          error: worst(
            await bench.error(delta, placeReference(sums, lseRows)),
            await bench.error(
              dQkv,
              turned ? ropeReference(gradient, turned.positions, turned.spec, rotated, true) : gradient,
            ),
          ),
          tolerance: shape.variant === ATTENTION_MATRIX ? F16_SOFTMAX : F32,
        };
      },
    ),
});

const SHAPES: readonly Shape[] = [
  // Several heads: one token's lse is a single dot product each, which may come out near zero by chance.
  { tokens: 1, heads: 6, kvHeads: 2, headDim: 16 },
  { tokens: 7, heads: 3, kvHeads: 1, headDim: 8, capacity: 9 },
  { tokens: 63, heads: 4, kvHeads: 2, headDim: 24, documents: 5 },
  { tokens: 65, heads: 2, kvHeads: 2, headDim: 16, capacity: 70, window: 10, deviation: 3 },
  { tokens: 130, heads: 6, kvHeads: 2, headDim: 8, documents: 3, window: 33, capacity: 131 },
  { tokens: 65, heads: 2, kvHeads: 1, headDim: 64, documents: 2 },
  { tokens: 40, heads: 1, kvHeads: 1, headDim: 128, window: 1 },
  { tokens: 100, heads: 2, kvHeads: 1, headDim: 16, documents: 40 },
  // One token less and more than a tile; windows of about a tile; a whole group's worth of query heads.
  { tokens: 31, heads: 3, kvHeads: 1, headDim: 8, window: 17 },
  { tokens: 33, heads: 8, kvHeads: 1, headDim: 8, capacity: 64, window: 16 },
  { tokens: 97, heads: 2, kvHeads: 2, headDim: 8, window: 50, documents: 2, deviation: 3 },
  // Heads that are not whole vectors, and the widest.
  { tokens: 35, heads: 4, kvHeads: 2, headDim: 10, documents: 2, capacity: 36 },
  { tokens: 20, heads: 2, kvHeads: 1, headDim: 7 },
  { tokens: 18, heads: 1, kvHeads: 1, headDim: 80 },
  { tokens: 17, heads: 1, kvHeads: 1, headDim: 256 },
  // Caps that bend the scores, tiles masked and not.
  { tokens: 65, heads: 2, kvHeads: 1, headDim: 16, window: 30, documents: 2, deviation: 2, softCap: 4 },
  { tokens: 19, heads: 2, kvHeads: 2, headDim: 10, capacity: 20, deviation: 3, softCap: 50 },
];

/** One shape on each tile that a GPU may get, with tiles that are masked, seen in part, and seen by all. */
const VARIANTS = (Object.keys(ATTENTION_VARIANTS) as (keyof typeof ATTENTION_VARIANTS)[]).filter(
  (variant) => !variant.startsWith('SOFTWARE'),
);
const acrossTiles = { tokens: 261, capacity: 263, heads: 3, kvHeads: 1, headDim: 16, window: 150, documents: 2 };

/** Heads of whole blocks: one, some, eight; more than one tile either way; what is seen in part and by all. */
const MATRIX_SHAPES: readonly Shape[] = [
  acrossTiles,
  { tokens: 7, heads: 2, kvHeads: 1, headDim: 64, capacity: 9 },
  { tokens: 130, heads: 4, kvHeads: 2, headDim: 64, deviation: 2, documents: 3 },
  { tokens: 100, heads: 2, kvHeads: 2, headDim: 80, softCap: 4, deviation: 2 },
  { tokens: 200, heads: 2, kvHeads: 1, headDim: 128, window: 70, capacity: 210 },
];

/** In 16 bits: by the device's own variant, by one that fetches ahead, by matrices. */
const STORED: readonly Shape[] = [
  { tokens: 65, heads: 4, kvHeads: 2, headDim: 12, documents: 3, window: 33, capacity: 66 },
  { ...acrossTiles, variant: 'SMALL', prefetch: true },
  { tokens: 130, heads: 4, kvHeads: 2, headDim: 64, deviation: 2, documents: 3, variant: ATTENTION_MATRIX },
].map((shape) => ({ ...shape, halves: true }) as Shape);

export const cases: KernelCase[] = [
  ...SHAPES.map(forwardCase),
  ...SHAPES.map(backwardCase),
  forwardCase({ tokens: 1000, heads: 1, kvHeads: 1, headDim: 8, documents: 4 }),
  backwardCase({ tokens: 300, heads: 1, kvHeads: 1, headDim: 8 }),
  ...VARIANTS.map((variant) => ({
    ...forwardCase({ ...acrossTiles, variant, prefetch: variant === 'WIDE' }),
    long: !['WIDE', 'NARROW'].includes(variant),
  })),
  ...VARIANTS.map((variant) => ({
    ...backwardCase({ ...acrossTiles, variant, prefetch: variant === 'SMALL' }),
    long: !['LARGE', 'SMALL'].includes(variant),
  })),
  ...MATRIX_SHAPES.map((shape) => forwardCase({ ...shape, variant: ATTENTION_MATRIX })),
  ...MATRIX_SHAPES.map((shape) => backwardCase({ ...shape, variant: ATTENTION_MATRIX })),
  backwardCase({ ...acrossTiles, variant: ATTENTION_MATRIX, parts: 3, rotary: 16 }),
  backwardCase({ ...acrossTiles, headDim: 8, parts: 3, rotary: 4 }),
  backwardCase({ tokens: 63, heads: 4, kvHeads: 4, headDim: 8, parts: 4 }),
  backwardCase({ tokens: 35, heads: 4, kvHeads: 2, headDim: 10, parts: 2, rotary: 10 }),
  backwardCase({ tokens: 33, heads: 2, kvHeads: 1, headDim: 8, rotary: 8 }),
  backwardCase({ tokens: 40, heads: 4, kvHeads: 2, headDim: 8, parts: 2, deviation: 2, softCap: 3 }),
  ...STORED.map(forwardCase),
  ...STORED.map(backwardCase),
];
