import { swigluBackwardReference, swigluReference } from './swiglu.reference.ts';
import { type Activation, swiglu, swigluBackward } from './swiglu.ts';
import { inF16 } from './testing/float_table.ts';
import { F32, HALVES, type KernelCase, withBench, worst } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly width: number;
  readonly capacity?: number;
  /** Gates up to ±this, uniformly; normal by default. */
  readonly extreme?: number;
  readonly activation?: Activation;
  /** Gates and products are in 16 bits. */
  readonly halves?: boolean;
}

const title = ({ tokens, width, capacity = tokens, extreme, activation, halves }: Shape) =>
  `${tokens} of ${capacity} × ${width}${extreme ? `, gates to ±${extreme}` : ''}${activation ? `, ${activation}` : ''}${halves ? ' halves' : ''}`;

function gates(random: Random, { tokens, width, extreme, halves }: Shape): Float32Array<ArrayBuffer> {
  const count = tokens * width * 2;
  const values = extreme ? random.uniform(count, -extreme, extreme) : random.normal(count, 2);
  return halves ? inF16(values) : values;
}

/** What of it f16 can hold. */
const stored = (y: Float64Array, { halves }: Shape) =>
  halves ? y.map((value) => Math.max(-65504, Math.min(65504, value))) : y;

const files = ({ halves }: Shape) => [
  ...['common/indexing.wgsl', 'common/activation.wgsl', 'common/number.wgsl'],
  ...(halves ? ['common/halves.wgsl'] : []),
];

const swigluCase = (shape: Shape): KernelCase => ({
  name: `swiglu ${title(shape)}`,
  shaderFiles: ['swiglu.wgsl', ...files(shape)],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { tokens, width, capacity = tokens, activation = 'silu', halves } = shape;
      const gateUp = gates(new Random(seed), shape);
      const y = bench.output('y', capacity * width, halves);
      const rows = { width: 2 * width, capacity, halves };
      swiglu(bench.plan, { activation, gateUp: bench.inputRows('gate_up', gateUp, rows), y, width });
      await bench.run();
      const error = await bench.error(y, stored(swigluReference(gateUp, width, activation), shape));
      return { error, tolerance: halves ? HALVES : F32 };
    }),
});

const swigluBackwardCase = (shape: Shape): KernelCase => ({
  name: `swiglu_backward ${title(shape)}`,
  shaderFiles: ['swiglu_backward.wgsl', ...files(shape)],
  run: (gpu, seed) =>
    withBench(gpu, shape, async (bench) => {
      const { tokens, width, capacity = tokens, activation = 'silu', halves } = shape;
      const random = new Random(seed);
      const gateUp = gates(random, shape);
      const dy = random.normal(tokens * width);
      const dGateUp = bench.output('d_gate_up', capacity * width * 2);
      const activated = bench.output('activated', capacity * width, halves);
      swigluBackward(bench.plan, {
        activation,
        gateUp: bench.inputRows('gate_up', gateUp, { width: 2 * width, capacity, halves }),
        dy: bench.inputRows('dy', dy, { width, capacity }),
        dGateUp,
        activated,
        width,
      });
      await bench.run();
      const error = worst(
        await bench.error(dGateUp, swigluBackwardReference(gateUp, dy, width, activation)),
        (await bench.error(activated, stored(swigluReference(gateUp, width, activation), shape))) /
          (halves ? HALVES / F32 : 1),
      );
      return { error, tolerance: F32 };
    }),
});

const SHAPES: readonly Shape[] = [
  { tokens: 1, width: 1 },
  { tokens: 7, width: 33, capacity: 9 },
  { tokens: 63, width: 130 },
  { tokens: 65, width: 64, extreme: 100, capacity: 70 },
  { tokens: 1000, width: 7 },
  { tokens: 33, width: 68, capacity: 40, activation: 'gelu_tanh' },
  { tokens: 7, width: 33, capacity: 9, activation: 'gelu_tanh' },
  { tokens: 65, width: 64, extreme: 10, activation: 'gelu_tanh' },
  { tokens: 3, width: 130, extreme: 1e15, activation: 'gelu_tanh' },
  { tokens: 33, width: 36, capacity: 35, halves: true },
  { tokens: 9, width: 68, activation: 'gelu_tanh', halves: true },
  // Products that f16 cannot hold.
  { tokens: 5, width: 12, extreme: 1000, halves: true },
];

export const cases: KernelCase[] = [...SHAPES.map(swigluCase), ...SHAPES.map(swigluBackwardCase)];
