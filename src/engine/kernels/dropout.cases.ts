import { dropoutComplementReference, dropoutReference } from './dropout.reference.ts';
import { dropout, dropoutExpand } from './dropout.ts';
import { matmulTransposedReference } from './matmul_dense.reference.ts';
import { EXACT, type KernelCase, MATMUL, placeReference, withBench } from './testing/harness.ts';
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
}

const STATE = { seed: 123, step: 9, microBatch: 2 };
const STEP = { seed: STATE.seed, number: STATE.step, micro_batch: STATE.microBatch };
const title = ({ tokens, capacity = tokens, width, probability, rank, margins }: Shape) =>
  `${tokens} of ${capacity} × ${width}, p ${probability}, rank ${rank}${margins ? ' columns' : ''}`;

const dropoutCase = (shape: Shape): KernelCase => ({
  name: `dropout ${title(shape)}${shape.more ? ' complement' : ''}`,
  shaderFiles: ['dropout.wgsl', 'common/philox.wgsl', 'common/indexing.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, { ...shape, step: STEP }, async (bench) => {
      const { tokens, width, probability, capacity = tokens, margins: [before, after] = [0, 0], more } = shape;
      const x = new Random(seed).normal(tokens * width);
      const mask = { probability, module: 77, width };
      const rows = { width, capacity, stride: before + width + after, at: before };
      const y = bench.output('y', capacity * width);
      const columns = { tensor: bench.inputRows('x', x, rows), stride: rows.stride, at: before };
      dropout(bench.plan, { mask, x: columns, y, complement: more });
      await bench.run();
      const factors = (more ? dropoutComplementReference : dropoutReference)(STATE, mask, tokens);
      const expected = Float32Array.from(x, (value, i) => Math.fround(value * factors[i]));
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

export const cases: KernelCase[] = [dropoutCase, expandCase].flatMap((make) => SHAPES.map(make));
