import { afterAll, beforeAll, expect, test } from 'vitest';
import { acquireGpu, type Gpu } from '../device/gpu.ts';
import type { MatmulProblem } from './matmul_choices.ts';
import { candidates, tuneMatmuls } from './tune_matmuls.ts';

const PROBLEMS: readonly MatmulProblem[] = [
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
  expect(await tuneMatmuls(gpu, hooks), 'nothing was asked for').toBe(false);
  for (const problem of PROBLEMS) gpu.matmulChoices.shape(problem, gpu.capabilities);
  expect(await tuneMatmuls(gpu, hooks)).toBe(true);
  expect(told).toEqual(['measure', 'done']);
  // The budget may end before the last one.
  expect(gpu.matmulChoices.unmeasured().length).toBeLessThan(PROBLEMS.length);
  expect(Object.keys(gpu.matmulChoices.kept()).length).toBeGreaterThan(0);
  const first = gpu.matmulChoices.shape(PROBLEMS[1], gpu.capabilities);
  expect(candidates(PROBLEMS[1], 16384)).toContainEqual(first);
  expect(gpu.ledger.leaks()).toEqual([]);
  gpu.check();
}, 120_000);

test('stops when it is asked to, and frees what it had', async () => {
  const problem: MatmulProblem = { op: 'matmul_nf4_dx', rows: 64, widths: [64], depth: 64, precision: 'f32' };
  gpu.matmulChoices.shape(problem, gpu.capabilities);
  expect(await tuneMatmuls(gpu, { signal: AbortSignal.abort() })).toBe(false);
  expect(gpu.matmulChoices.unmeasured()).toContainEqual(problem);
  expect(gpu.ledger.leaks()).toEqual([]);
}, 60_000);
