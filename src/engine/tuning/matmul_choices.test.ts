import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GPU } from '../device/testing/capabilities.ts';
import {
  chooseShape,
  isMatrix,
  LARGE,
  MATRIX_MEDIUM,
  MEDIUM,
  SMALL,
  SOFTWARE,
  TABLE_BYTES,
  tileBytes,
} from '../kernels/matmul_tile.ts';
import { forcedShape, MatmulChoices, type MatmulProblem } from './matmul_choices.ts';
import { candidates } from './matmul_tuning.ts';
import { roundRows } from './measured_choices.ts';

const PROBLEM: MatmulProblem = { op: 'matmul_nf4', rows: 512, widths: [576, 192, 192], depth: 576, precision: 'f32' };

test('by rule first, as measured afterwards, as forced whatever was measured', () => {
  const choices = new MatmulChoices();
  const byRule = chooseShape(PROBLEM.rows, PROBLEM.widths, PROBLEM.depth, GPU, 'f32');
  expect(choices.choose(PROBLEM, GPU)).toEqual(byRule);
  expect(choices.unmeasured()).toEqual([PROBLEM]);
  choices.set(PROBLEM, { tile: LARGE, splits: 3 });
  expect(choices.unmeasured()).toEqual([]);
  expect(choices.choose(PROBLEM, GPU)).toEqual({ tile: LARGE, splits: 3 });
  expect(choices.choose({ ...PROBLEM, op: 'matmul_nf4_dx' }, GPU)).not.toEqual({ tile: LARGE, splits: 3 });
  choices.force({ tile: SMALL, splits: 1 });
  expect(choices.choose(PROBLEM, GPU)).toEqual({ tile: SMALL, splits: 1 });
  expect(choices.unmeasured()).toEqual([]);
});

test('operands in f16 are another problem: matrix tiles are for them alone, even where one is forced', () => {
  const choices = new MatmulChoices();
  const rounded: MatmulProblem = { ...PROBLEM, precision: 'f16' };
  choices.set(rounded, { tile: MATRIX_MEDIUM, splits: 2 });
  expect(choices.choose(rounded, GPU)).toEqual({ tile: MATRIX_MEDIUM, splits: 2 });
  expect(isMatrix(choices.choose(PROBLEM, GPU).tile)).toBe(false);
  choices.force({ tile: MATRIX_MEDIUM, splits: 1 });
  expect(isMatrix(choices.choose(rounded, GPU).tile)).toBe(true);
  expect(isMatrix(choices.choose(PROBLEM, GPU).tile)).toBe(false);
  expect(candidates(rounded, 49152).every(({ tile }) => isMatrix(tile))).toBe(true);
  expect(candidates(rounded, 49152).length).toBeGreaterThan(0);
});

test('what was kept comes back; what this version does not know is measured again', () => {
  const choices = new MatmulChoices();
  choices.set(PROBLEM, { tile: MEDIUM, splits: 4 });
  const kept = JSON.parse(JSON.stringify(choices.kept()));
  const later = new MatmulChoices();
  later.restore({ ...kept, 'matmul_dense 1×1×1': ['GONE', 1], 'matmul_dense 2×2×2': ['LARGE', 0] });
  expect(later.kept()).toEqual(kept);
  expect(later.choose(PROBLEM, GPU)).toEqual({ tile: MEDIUM, splits: 4 });
});

test('candidates fit the device, waste little and are never software’s', () => {
  const size = fc.integer({ min: 64, max: 20_000 });
  fc.assert(
    fc.property(size, size, size, fc.constantFrom(16384, 32768, 49152), (rows, width, depth, storage) => {
      for (const { tile, splits } of candidates(
        { op: 'matmul_nf4', rows, widths: [width], depth, precision: 'f32' },
        storage,
      )) {
        expect(tile).not.toBe(SOFTWARE);
        expect(tileBytes(tile) + TABLE_BYTES).toBeLessThanOrEqual(storage);
        if (splits > 1) expect(depth / splits).toBeGreaterThanOrEqual(128);
      }
    }),
  );
  const few = candidates(PROBLEM, 49152);
  expect(few.length).toBeGreaterThan(3);
  expect(few.length).toBeLessThan(30);
});

test('forced by name', () => {
  expect(forcedShape({ tile: 'LARGE', splits: '2' })).toEqual({ tile: LARGE, splits: 2 });
  expect(forcedShape({ other: '1' })).toBe(null);
  expect(() => forcedShape({ tile: 'HUGE' })).toThrow(/tile is one of/);
});

test('batches of nearly as many tokens share a choice', () => {
  expect([1, 64, 65, 100, 500, 512, 513, 2000].map(roundRows)).toEqual([64, 64, 96, 128, 512, 512, 768, 2048]);
  const choices = new MatmulChoices();
  choices.set(PROBLEM, { tile: LARGE, splits: 3 });
  expect(choices.choose({ ...PROBLEM, rows: 450 }, GPU)).toEqual({ tile: LARGE, splits: 3 });
});
