import { afterAll, beforeAll, expect, test } from 'vitest';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import type { AttentionProblem } from './attention_choices.ts';
import { attentionCandidates } from './attention_tuning.ts';
import type { MatmulProblem } from './matmul_choices.ts';
import { candidates } from './matmul_tuning.ts';
import { tune } from './tune.ts';

const MATMULS: readonly MatmulProblem[] = [
  { op: 'matmul_nf4', rows: 64, widths: [64, 32], depth: 64, precision: 'f32' },
  { op: 'matmul_dense_dx', rows: 64, widths: [64], depth: 300, precision: 'f32' },
];

let gpu: Gpu;
beforeAll(async () => {
  const real = await acquireGpu(navigator.gpu);
  // Software is not measured: this one says that it is none, within the workgroup memory of the smaller tiles.
  gpu = { ...real, capabilities: { ...real.capabilities, software: false, workgroupStorageBytes: 16384 } };
});
afterAll(() => gpu.dispose());

test('measures what plans asked for, once, and leaves no buffer behind', async () => {
  const told: string[] = [];
  const hooks = { onMeasure: () => told.push('measure'), onDone: () => told.push('done') };
  expect(await tune(gpu, hooks), 'nothing was asked for').toBe(false);
  for (const problem of MATMULS) gpu.matmulChoices.choose(problem, gpu.capabilities);
  expect(await tune(gpu, hooks)).toBe(true);
  expect(told).toEqual(['measure', 'done']);
  // The budget may end before the last one.
  expect(gpu.matmulChoices.unmeasured().length).toBeLessThan(MATMULS.length);
  expect(Object.keys(gpu.matmulChoices.kept()).length).toBeGreaterThan(0);
  const first = gpu.matmulChoices.choose(MATMULS[1], gpu.capabilities);
  expect(candidates(MATMULS[1], 16384)).toContainEqual(first);
  expect(gpu.ledger.leaks()).toEqual([]);
  gpu.check();
}, 120_000);

test('a pass of attention is measured like a matmul', async () => {
  gpu.matmulChoices.restore(
    Object.fromEntries(gpu.matmulChoices.unmeasured().map((p) => [gpu.matmulChoices.key(p), ['SMALL', 1]])),
  );
  const sizes = { rows: 64, heads: 2, kvHeads: 1, window: null, precision: 'f32' } as const;
  const gradient: AttentionProblem = { ...sizes, pass: 'backward_key_value', headDim: 8 };
  const only: AttentionProblem = { ...sizes, pass: 'forward', headDim: 136 };
  for (const problem of [gradient, only]) gpu.attentionChoices.choose(problem, gpu.capabilities);
  expect(await tune(gpu, { budget: 100_000 })).toBe(true);
  expect(gpu.attentionChoices.unmeasured()).toEqual([]);
  const learned = gpu.attentionChoices.choose(gradient, gpu.capabilities);
  expect(attentionCandidates(gradient, gpu.capabilities)).toContainEqual(learned);
  expect(gpu.ledger.leaks()).toEqual([]);
  gpu.check();
}, 120_000);

test('stops when it is asked to, and frees what it had', async () => {
  const problem: MatmulProblem = { op: 'matmul_nf4_dx', rows: 64, widths: [64], depth: 64, precision: 'f32' };
  gpu.matmulChoices.choose(problem, gpu.capabilities);
  expect(await tune(gpu, { signal: AbortSignal.abort() })).toBe(false);
  expect(gpu.matmulChoices.unmeasured()).toContainEqual(problem);
  expect(gpu.ledger.leaks()).toEqual([]);
}, 60_000);
