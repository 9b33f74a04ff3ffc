import { matmulReference } from './matmul_dense.reference.ts';
import { linearReference } from './matmul_nf4.reference.ts';
import type { GroupAdapter } from './matmul_nf4.ts';
import type { MatvecShape } from './matvec.ts';
import { matvecNf4 } from './matvec_nf4.ts';
import { type KernelCase, MATMUL, withBench } from './testing/harness.ts';
import { floatsTitle, randomGroup, type TestFloats } from './testing/quantized.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly capacity?: number;
  readonly inFeatures: number;
  readonly outFeatures: readonly number[];
  /** Of each linear; 0: it has no adapter. */
  readonly ranks?: readonly number[];
  readonly doubleQuant?: boolean;
  readonly floats?: TestFloats;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly cut?: MatvecShape;
}

/** An adapter's run: 3 words of something else, all A (not read here), then each B. */
function randomAdapter(random: Random, { inFeatures, outFeatures }: Shape, ranks: readonly number[]) {
  const columns = ranks.reduce((a, b) => a + b, 0);
  let [end, uAt] = [3 + columns * inFeatures, 0];
  const parts = outFeatures.map((out, i) => {
    const rank = ranks[i];
    if (rank === 0) return null;
    end += out * rank;
    uAt += rank;
    return { uAt: uAt - rank, rank, scale: 1.5 + i, bAt: end - out * rank };
  });
  const adapter: Omit<GroupAdapter, 'parameters' | 'gradients'> = { columns, aAt: 3, parts };
  return { adapter, parameters: random.normal(end) };
}

const matvecCase = (shape: Shape): KernelCase => {
  const { tokens, capacity = tokens, inFeatures, outFeatures, ranks, doubleQuant = false, cut } = shape;
  const notes = [
    doubleQuant ? 'double' : '',
    floatsTitle(shape.floats),
    ranks ? `rank ${ranks.join('+')}` : '',
    shape.bias ? 'bias' : '',
    shape.residual ? 'residual' : '',
    cut ? `${cut.team}×${cut.perTeam}` : '',
  ].filter(Boolean);
  return {
    name: ['matvec_nf4', `${tokens} of ${capacity}, ${outFeatures.join('+')}×${inFeatures}`, ...notes].join(' '),
    shaderFiles: [
      ...['matvec_nf4.wgsl', 'common/matvec.wgsl', 'common/nf4.wgsl'],
      ...(shape.floats ? ['common/float_dtypes.wgsl'] : []),
    ],
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const { slab, group, weight, bias } = randomGroup(random, {
          inFeatures,
          outFeatures,
          doubleQuant,
          floats: shape.floats,
          bias: shape.bias,
        });
        const width = group.outFeatures;
        const x = random.normal(tokens * inFeatures);
        const residual = shape.residual ? random.normal(tokens * width, 10) : undefined;
        const lora = ranks && randomAdapter(random, shape, ranks);
        const u = lora && random.normal(tokens * lora.adapter.columns, 5);
        // A base row, a tuned one, then something between.
        const strength = Float32Array.from({ length: tokens }, (_, t) => (t < 2 ? t : random.next()));
        const y = bench.output('y', capacity * width);
        const parameters = lora && bench.input('lora', lora.parameters);
        matvecNf4(bench.plan, {
          x: bench.inputRows('x', x, { width: inFeatures, capacity }),
          y,
          group: { ...group, slab: bench.input('slab', slab) },
          lora:
            lora && u && parameters
              ? {
                  u: bench.inputRows('u', u, { width: lora.adapter.columns, capacity }),
                  adapter: { ...lora.adapter, parameters, gradients: parameters },
                  strength: bench.input('strength', strength),
                }
              : undefined,
          residual: residual && bench.inputRows('residual', residual, { width, capacity }),
          shape: cut,
        });
        await bench.run();
        const reference = linearReference({ x, weight, depth: inFeatures, width, bias, residual });
        if (lora && u) addLowRank(reference, lora, { u, strength, outFeatures });
        return { error: await bench.error(y, reference), tolerance: MATMUL };
      }),
  };
};

function addLowRank(
  y: Float64Array,
  { adapter, parameters }: ReturnType<typeof randomAdapter>,
  { u, strength, outFeatures }: { u: Float32Array; strength: Float32Array; outFeatures: readonly number[] },
) {
  const width = outFeatures.reduce((a, b) => a + b, 0);
  let begin = 0;
  for (const [i, out] of outFeatures.entries()) {
    const part = adapter.parts[i];
    for (let t = 0; part && t < strength.length; t++) {
      const own = u.subarray(t * adapter.columns + part.uAt, t * adapter.columns + part.uAt + part.rank);
      const low = matmulReference(own, parameters.subarray(part.bAt, part.bAt + out * part.rank), part.rank, out);
      for (const [n, value] of low.entries()) y[t * width + begin + n] += strength[t] * part.scale * value;
    }
    begin += out;
  }
}

export const cases: KernelCase[] = (
  [
    { tokens: 1, inFeatures: 32, outFeatures: [1] },
    { tokens: 2, inFeatures: 96, outFeatures: [33], doubleQuant: true, bias: true },
    // Eighteen runs in two rounds of nine; nineteen in two, the last not whole.
    { tokens: 2, capacity: 3, inFeatures: 576, outFeatures: [40, 9], ranks: [5, 16], doubleQuant: true, bias: true },
    { tokens: 3, inFeatures: 608, outFeatures: [17, 20, 7], ranks: [4, 0, 3], residual: true },
    // A second block of double quantization, several outputs a team, more than four rows.
    {
      tokens: 7,
      capacity: 8,
      inFeatures: 320,
      outFeatures: [70],
      ranks: [20],
      doubleQuant: true,
      cut: { team: 5, perTeam: 4 },
    },
    // Linears that are not in 4 bits, alone and beside others.
    { tokens: 2, inFeatures: 96, outFeatures: [33], floats: { dtype: 'F16', of: [0] }, bias: true },
    {
      ...{ tokens: 3, capacity: 4, inFeatures: 160, outFeatures: [17, 40, 9], ranks: [4, 5, 0], residual: true },
      ...{ doubleQuant: true, floats: { dtype: 'BF16', of: [0, 2] } },
    },
    { tokens: 2, inFeatures: 128, outFeatures: [20, 33], doubleQuant: true, floats: { dtype: 'F32', of: [1] } },
    { tokens: 4, inFeatures: 64, outFeatures: [65, 100], bias: true, residual: true, cut: { team: 2, perTeam: 2 } },
  ] satisfies Shape[]
).map(matvecCase);
