import { dropoutComplementReference, dropoutReference } from './dropout.reference.ts';
import { dropout, dropoutExpand } from './dropout.ts';
import { matmulTransposedReference } from './matmul_dense.reference.ts';
import { inF16 } from './testing/float_table.ts';
import { EXACT, HALVES, type KernelCase, MATMUL, placeReference, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly tokens: number;
  readonly capacity?: number;
  readonly width: number;
  readonly probability: number;
  readonly rank: number;
  /** Of dropout the complement; of the gradient with an addend. */
  readonly more?: boolean;
  /** Columns before and after x, or du. */
  readonly margins?: readonly [number, number];
  /** Of dropout alone: x and y are in 16 bits. */
  readonly halves?: boolean;
}

const STATE = { seed: 123, step: 9, microBatch: 2 };
const STEP = { seed: STATE.seed, number: STATE.step, micro_batch: STATE.microBatch };
const title = ({ tokens, capacity = tokens, width, probability, rank, margins }: Shape) =>
  `${tokens} of ${capacity} × ${width}, p ${probability}, rank ${rank}${margins ? ' columns' : ''}`;

const dropoutCase = (shape: Shape): KernelCase => ({
  name: `dropout ${title(shape)}${shape.more ? ' complement' : ''}${shape.halves ? ' halves' : ''}`,
  shaderFiles: [
    ...['dropout.wgsl', 'common/philox.wgsl', 'common/indexing.wgsl'],
    ...(shape.halves ? ['common/halves.wgsl'] : []),
  ],
  run: (gpu, seed) =>
    withBench(gpu, { ...shape, step: STEP }, async (bench) => {
      const { tokens, width, probability, capacity = tokens, margins: [before, after] = [0, 0], more, halves } = shape;
      const drawn = new Random(seed).normal(tokens * width);
      const x = halves ? inF16(drawn) : drawn;
      const mask = { probability, module: 77, width };
      const rows = { width, capacity, stride: before + width + after, at: before, halves };
      const y = bench.output('y', capacity * width, halves);
      const columns = { tensor: bench.inputRows('x', x, rows), stride: rows.stride, at: before };
      dropout(bench.plan, { mask, x: columns, y, complement: more });
      await bench.run();
      const factors = (more ? dropoutComplementReference : dropoutReference)(STATE, mask, tokens);
      const expected = Float32Array.from(x, (value, i) => Math.fround(value * factors[i]));
      if (halves) return { error: await bench.error(y, expected), tolerance: HALVES };
      // −0 where a negative number is dropped.
      const words = new Uint32Array(expected.buffer);
      return { error: await bench.wrongWords(y, words), tolerance: EXACT };
    }),
});

const expandCase = (shape: Shape): KernelCase => ({
  name: `dropout_expand ${title(shape)}${shape.more ? ' addend' : ''}`,
  shaderFiles: ['dropout_expand.wgsl', 'common/philox.wgsl', 'common/indexing.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, { ...shape, step: STEP }, async (bench) => {
      const { tokens, width, probability, rank, capacity = tokens, margins: [before, after] = [0, 0], more } = shape;
      const random = new Random(seed);
      const mask = { probability, module: 77, width };
      const [du, lora, old] = [tokens * rank, 5 + rank * width, tokens * width].map((count) => random.normal(count));
      const rows = { width: rank, capacity, stride: before + rank + after, at: before };
      const dx = bench.inoutRows('dx', old, { width, capacity });
      const addend = more ? random.normal(tokens * width) : undefined;
      dropoutExpand(bench.plan, {
        mask,
        du: { tensor: bench.inputRows('du', du, rows), stride: rows.stride, at: before },
        lora: bench.input('lora', lora),
        aAt: 5,
        rank,
        dx,
        addend: addend && bench.inputRows('addend', addend, { width, capacity }),
      });
      await bench.run();
      const factors = dropoutReference(STATE, mask, tokens);
      const product = matmulTransposedReference(du, lora.subarray(5), rank, width);
      const reference = product.map((value, i) => old[i] + factors[i] * (value + (addend?.[i] ?? 0)));
      return { error: await bench.error(dx, placeReference(reference, { width, capacity })), tolerance: MATMUL };
    }),
});

const SHAPES: readonly Shape[] = [
  { tokens: 1, width: 1, probability: 0.5, rank: 1 },
  { tokens: 7, width: 65, probability: 0.3, rank: 3, capacity: 9, margins: [1, 2] },
  { tokens: 40, width: 100, probability: 0.05, rank: 16, margins: [4, 8] },
  { tokens: 7, width: 65, probability: 0.3, rank: 3, capacity: 9, margins: [1, 2], more: true },
];

export const cases: KernelCase[] = [
  ...[dropoutCase, expandCase].flatMap((make) => SHAPES.map(make)),
  dropoutCase({ tokens: 7, width: 68, probability: 0.3, rank: 3, capacity: 9, margins: [4, 8], halves: true }),
  dropoutCase({ tokens: 5, width: 36, probability: 0.2, rank: 3, more: true, halves: true }),
];
