import { doraBackwardReference, doraNormReference, doraReference } from './dora.reference.ts';
import { doraBackward, doraForward, doraNorms } from './dora.ts';
import type { GroupAdapter, LinearGroup } from './matmul_nf4.ts';
import { inF16 } from './testing/float_table.ts';
import { type Bench, F32, HALVES, type KernelCase, withBench, worst } from './testing/harness.ts';
import { floatsTitle, randomGroup, type TestFloats } from './testing/quantized.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly capacity?: number;
  readonly inFeatures: number;
  readonly outFeatures: readonly number[];
  /** 0: the linear has no adapter. */
  readonly ranks: readonly number[];
  readonly doubleQuant?: boolean;
  readonly floats?: TestFloats;
  readonly bias?: boolean;
  readonly residual?: boolean;
  /** Forward something beside z, backward dz − dy too: what dropout needs. */
  readonly beside?: boolean;
  /** Each token has a factor of its own. */
  readonly strengths?: boolean;
  /** In 16 bits: z, or forward z and y. */
  readonly halves?: 'z' | 'z and y';
}

const title = ({
  tokens,
  capacity = tokens,
  inFeatures,
  outFeatures,
  ranks,
  doubleQuant,
  floats,
  bias,
  residual,
  beside,
  strengths,
  halves,
}: Shape) =>
  [
    `${tokens} of ${capacity}, ${outFeatures.join('+')}×${inFeatures} rank ${ranks.join('+')}`,
    ...(floats ? [floatsTitle(floats)] : []),
    ...Object.entries({ double: doubleQuant, bias, residual, beside, strengths }).flatMap(([name, on]) =>
      on ? [name] : [],
    ),
    ...(halves ? [`${halves} halves`] : []),
  ].join(' ');

/** An adapter's run: 3 words of something else, all A, all B, all magnitudes; norms behind 5 of something else. */
function randomAdapter(random: Random, { inFeatures, outFeatures, ranks }: Shape) {
  const columns = ranks.reduce((a, b) => a + b, 0);
  let end = 3 + columns * inFeatures;
  const take = (count: number) => {
    end += count;
    return end - count;
  };
  const bAt = outFeatures.map((out, i) => take(out * ranks[i]));
  const magnitudeAt = outFeatures.map((out, i) => (ranks[i] ? take(out) : 0));
  let [uAt, normAt] = [0, 5];
  const parts = outFeatures.map((out, i) => {
    const rank = ranks[i];
    if (rank === 0) return null;
    uAt += rank;
    normAt += out;
    const dora = { magnitudeAt: magnitudeAt[i], normAt: normAt - out };
    return { uAt: uAt - rank, rank, scale: 1.5 + i, bAt: bAt[i], dora };
  });
  return { parameters: random.normal(end), adapter: { columns, aAt: 3, parts }, normCount: normAt };
}

/** Magnitudes and norms of the group's outputs, and which have an adapter; the factor of one without is 1. */
function outputsOf(
  { outFeatures }: Shape,
  parts: GroupAdapter['parts'],
  parameters: Float32Array,
  norms: Float32Array,
) {
  const pick = (from: Float32Array, at: (part: NonNullable<(typeof parts)[number]>) => number) =>
    outFeatures.flatMap((out, i) => {
      const part = parts[i];
      return part ? [...from.subarray(at(part), at(part) + out)] : new Array<number>(out).fill(1);
    });
  return {
    magnitudes: pick(parameters, (part) => part.dora!.magnitudeAt),
    norms: pick(norms, (part) => part.dora!.normAt),
    adapted: outFeatures.flatMap((out, i) => new Array<boolean>(out).fill(parts[i] !== null)),
  };
}

const kept = ({ halves }: Shape, z: Float32Array<ArrayBuffer>) => (halves ? inF16(z) : z);

function setUp(bench: Bench, shape: Shape, seed: number) {
  const random = new Random(seed);
  const { parameters, adapter, normCount } = randomAdapter(random, shape);
  const { slab, group, weight, bias } = randomGroup(random, { doubleQuant: false, ...shape });
  const bound: LinearGroup = { ...group, slab: bench.input('slab', slab) };
  const width = group.outFeatures;
  const rows = { width, capacity: shape.capacity ?? shape.tokens };
  return { random, parameters, adapter, normCount, group: bound, weight, bias, width, rows };
}

const normCase = (shape: Shape): KernelCase => ({
  name: `dora_norm ${title(shape)}`,
  shaderFiles: ['dora_norm.wgsl', 'common/nf4.wgsl', ...(shape.floats ? ['common/float_dtypes.wgsl'] : [])],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { parameters, adapter, normCount, group, weight } = setUp(bench, shape, seed);
      const before = new Float32Array(normCount).fill(-1);
      const norms = bench.inout('norms', before);
      const bindings = bench.input('lora', parameters);
      doraNorms(bench.plan, { group, adapter: { ...adapter, parameters: bindings, gradients: bindings }, norms });
      await bench.run();
      const reference = Float64Array.from(before);
      const { inFeatures } = shape;
      let begin = 0;
      for (const [i, out] of shape.outFeatures.entries()) {
        const part = adapter.parts[i];
        if (part) {
          const { rank, scale, bAt, uAt } = part;
          const aAt = adapter.aAt + uAt * inFeatures;
          const a = parameters.subarray(aAt, aAt + rank * inFeatures);
          const b = parameters.subarray(bAt, bAt + out * rank);
          const rows = weight.subarray(begin * inFeatures, (begin + out) * inFeatures);
          reference.set(doraNormReference(rows, { a, b, rank, scale }), part.dora.normAt);
        }
        begin += out;
      }
      return { error: await bench.error(norms, reference), tolerance: F32 };
    }),
});

const forwardCase = (shape: Shape): KernelCase => ({
  name: `dora_forward ${title(shape)}`,
  shaderFiles: [
    ...['dora_forward.wgsl', 'common/dora.wgsl', 'common/indexing.wgsl', 'common/number.wgsl'],
    ...(shape.halves ? ['common/halves.wgsl'] : []),
  ],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { random, parameters, adapter, normCount, group, bias, width, rows } = setUp(bench, shape, seed);
      const norms = random.uniform(normCount, 0.5, 3);
      const z = kept(shape, random.normal(shape.tokens * width));
      const residual = shape.residual ? random.normal(shape.tokens * width) : undefined;
      const beside = shape.beside ? random.normal(shape.tokens * width) : undefined;
      const outputs = outputsOf(shape, adapter.parts, parameters, norms);
      const lacksZ = (i: number) => beside !== undefined && !outputs.adapted[i % width];
      const bound = bench.input('lora', parameters);
      const y = bench.output('y', rows.capacity * width, shape.halves === 'z and y');
      const strengths = random.uniform(shape.tokens, 0, 1).map((value, t) => (t < 2 ? t : value));
      doraForward(bench.plan, {
        group,
        adapter: { ...adapter, parameters: bound, gradients: bound },
        norms: bench.input('norms', norms),
        z: bench.inputRows(
          'z',
          z.map((value, i) => (lacksZ(i) ? Number.NaN : value)),
          { ...rows, halves: shape.halves !== undefined },
        ),
        y,
        residual: residual && bench.inputRows('residual', residual, rows),
        beside: beside && bench.inputRows('beside', beside, rows),
        strength: shape.strengths ? bench.input('strength', strengths) : undefined,
      });
      await bench.run();
      const scaled = doraReference(z, outputs.magnitudes, outputs.norms);
      const factor = (t: number) => (shape.strengths ? strengths[t] : 1);
      const products = scaled.map((value, i) => z[i] + factor(Math.floor(i / width)) * (value - z[i]));
      const added = (i: number) => (beside?.[i] ?? 0) + (bias?.[i % width] ?? 0) + (residual?.[i] ?? 0);
      const whole = products.map((value, i) => (lacksZ(i) ? 0 : value) + added(i));
      return { error: await bench.error(y, whole), tolerance: shape.halves === 'z and y' ? HALVES : F32 };
    }),
});

const backwardCase = (shape: Shape): KernelCase => ({
  name: `dora_backward ${title(shape)}`,
  shaderFiles: ['dora_backward.wgsl', 'common/dora.wgsl', ...(shape.halves ? ['common/halves.wgsl'] : [])],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { random, parameters, adapter, normCount, group, width, rows } = setUp(bench, shape, seed);
      const norms = random.uniform(normCount, 0.5, 3);
      const [drawn, dy] = [random.normal(shape.tokens * width), random.normal(shape.tokens * width)];
      const z = kept(shape, drawn);
      const old = random.normal(parameters.length);
      const gradients = bench.inout('gradients', old);
      const dz = bench.output('dz', rows.capacity * width);
      const rest = shape.beside ? bench.output('rest', rows.capacity * width) : undefined;
      doraBackward(bench.plan, {
        group,
        adapter: { ...adapter, parameters: bench.input('lora', parameters), gradients },
        norms: bench.input('norms', norms),
        z: bench.inputRows('z', z, { ...rows, halves: shape.halves !== undefined }),
        dy: bench.inputRows('dy', dy, rows),
        dz,
        rest,
      });
      await bench.run();
      const outputs = outputsOf(shape, adapter.parts, parameters, norms);
      const reference = doraBackwardReference(dy, z, outputs.magnitudes, outputs.norms);
      const expected = Float64Array.from(old);
      let begin = 0;
      for (const [i, out] of shape.outFeatures.entries()) {
        const part = adapter.parts[i];
        for (let n = 0; part && n < out; n++) expected[part.dora.magnitudeAt + n] += reference.dMagnitudes[begin + n];
        begin += out;
      }
      return {
        error: worst(
          await bench.error(dz, reference.dz),
          await bench.error(gradients, expected),
          rest
            ? await bench.error(
                rest,
                reference.dz.map((value, i) => value - dy[i]),
              )
            : 0,
        ),
        tolerance: F32,
      };
    }),
});

const SHAPES: readonly Shape[] = [
  { tokens: 1, inFeatures: 8, outFeatures: [1], ranks: [1] },
  { tokens: 7, capacity: 9, inFeatures: 65, outFeatures: [33, 9], ranks: [3, 5], bias: true },
  {
    tokens: 65,
    inFeatures: 100,
    outFeatures: [64, 20, 30],
    ranks: [16, 0, 4],
    doubleQuant: true,
    bias: true,
    residual: true,
  },
  { tokens: 20, inFeatures: 260, outFeatures: [66], ranks: [8], doubleQuant: true, residual: true },
];

const BESIDE: Shape = {
  tokens: 7,
  capacity: 9,
  inFeatures: 64,
  outFeatures: [20, 9, 33],
  ranks: [4, 0, 5],
  bias: true,
  beside: true,
};

const HALVES_SHAPE: Shape = {
  ...{ tokens: 7, capacity: 9, inFeatures: 64, outFeatures: [20, 8, 36], ranks: [4, 0, 5], bias: true, halves: 'z' },
};

export const cases: KernelCase[] = [
  ...[normCase, forwardCase, backwardCase].flatMap((make) => SHAPES.map(make)),
  normCase({
    ...{ tokens: 1, inFeatures: 65, outFeatures: [33, 9, 6], ranks: [3, 5, 2], doubleQuant: true },
    floats: { dtype: 'BF16', of: [0, 2] },
  }),
  forwardCase({ tokens: 7, inFeatures: 64, outFeatures: [20, 9], ranks: [4, 0], bias: true, strengths: true }),
  forwardCase(BESIDE),
  backwardCase(BESIDE),
  forwardCase({ ...HALVES_SHAPE, residual: true }),
  forwardCase({ ...HALVES_SHAPE, beside: true, halves: 'z and y' }),
  forwardCase({ ...HALVES_SHAPE, strengths: true, halves: 'z and y' }),
  backwardCase({ ...HALVES_SHAPE, outFeatures: [20, 8, 38], beside: true }),
];
