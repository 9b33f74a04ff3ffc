import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Capabilities } from '../device/capabilities.ts';
import {
  ALL_TILES,
  chooseShape,
  DEEP,
  hasMatrices,
  isMatrix,
  LARGE,
  MATRIX_BYTES,
  MATRIX_TALL,
  MEDIUM,
  SMALL,
  SOFTWARE,
  splitDepth,
  TALL,
  tileBytes,
  tileThreads,
} from './matmul_tile.ts';

const device = (workgroupStorageBytes: number, software = false): Capabilities => ({
  name: 'test',
  features: [],
  software,
  subgroupSize: 32,
  workgroupStorageBytes,
  enabled: [],
  subgroupMatrixConfigs: [],
  maxBindingBytes: 2 ** 30,
  maxBufferBytes: 2 ** 30,
});

/** Of quantized weights, beside the tiles. */
const TABLES = 272 * 4;

test('every tile is made of whole blocks and at most 256 invocations', () => {
  for (const [name, tile] of Object.entries(ALL_TILES)) {
    const { TILE_M, TILE_N, TILE_K } = tile;
    expect(tileThreads(tile), name).toBeLessThanOrEqual(256);
    const parts = isMatrix(tile)
      ? [TILE_M / (tile.MAT_M * tile.SUB_M), TILE_N / (tile.MAT_N * tile.SUB_N), TILE_K / tile.MAT_K]
      : [TILE_M / (4 * tile.RM), TILE_N / (4 * tile.RN), TILE_K / 4];
    for (const ratio of [tileThreads(tile), ...parts]) {
      expect(Number.isInteger(ratio), name).toBe(true);
    }
  }
});

test('the choice fits WebGPU’s default workgroup memory, and its parts make up the depth', () => {
  const size = fc.integer({ min: 1, max: 200_000 });
  fc.assert(
    fc.property(
      size,
      fc.array(size, { minLength: 1, maxLength: 3 }),
      size,
      fc.boolean(),
      (rows, widths, depth, software) => {
        const shape = chooseShape(rows, widths, depth, device(16384, software), 'f32');
        expect(tileBytes(shape.tile) + TABLES).toBeLessThanOrEqual(16384);
        const part = splitDepth(depth, shape);
        expect(part % shape.tile.TILE_K).toBe(0);
        expect(part * shape.splits).toBeGreaterThanOrEqual(depth);
      },
    ),
  );
});

test.each([
  ['a large output', 2048, [4096], 4096, device(32768), LARGE, 1],
  ['the same where there is room for deep steps', 2048, [4096], 4096, device(49152), DEEP, 1],
  ['the head’s gradient, which large tiles would waste', 640, [576], 49152, device(49152), MEDIUM, 12],
  ['few large tiles over a long depth', 512, [2048], 2048, device(32768), LARGE, 2],
  ['an output that large tiles would waste', 2048, [576], 576, device(32768), MEDIUM, 2],
  ['few small tiles', 512, [576], 1536, device(32768), MEDIUM, 5],
  ['the same at the default limits', 512, [576], 1536, device(16384), SMALL, 5],
  ['a large output at the default limits', 2048, [4096], 4096, device(16384), TALL, 1],
  ['a CPU as GPU', 2048, [4096], 4096, device(32768, true), SOFTWARE, 1],
])('%s', (_, rows, widths, depth, capabilities, tile, splits) => {
  expect(chooseShape(rows, widths, depth, capabilities, 'f32')).toEqual({ tile, splits });
});

const MATRICES = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
const matrixDevice = (componentType: string, resultComponentType: string, size: number, subgroupSize = 32) => ({
  ...device(49152),
  enabled: MATRICES,
  subgroupSize,
  subgroupMatrixConfigs: [{ componentType, resultComponentType, M: size, N: size, K: size }],
});

test('matrices need the features, f16 with f32 sums, 16 × 16 blocks, subgroups of 32 and room', () => {
  const able = matrixDevice('f16', 'f32', 16);
  expect(hasMatrices(able)).toBe(true);
  for (const feature of MATRICES) {
    expect(hasMatrices({ ...able, enabled: MATRICES.filter((one) => one !== feature) }), feature).toBe(false);
  }
  expect(hasMatrices(matrixDevice('f16', 'f16', 16))).toBe(false);
  expect(hasMatrices(matrixDevice('f32', 'f32', 8))).toBe(false);
  expect(hasMatrices(matrixDevice('f16', 'f32', 16, 16))).toBe(false);
  expect(hasMatrices({ ...able, workgroupStorageBytes: 16384 })).toBe(false);
});

test('in f16 every shape gets a matrix tile that fits, in f32 none does', () => {
  const size = fc.integer({ min: 1, max: 25_000 }).map((n) => n * 8);
  fc.assert(
    fc.property(size, fc.array(size, { minLength: 1, maxLength: 3 }), size, (rows, widths, depth) => {
      const able = matrixDevice('f16', 'f32', 16);
      const shape = chooseShape(rows, widths, depth, able, 'f16');
      expect(isMatrix(shape.tile)).toBe(true);
      expect(splitDepth(depth, shape) * shape.splits).toBeGreaterThanOrEqual(depth);
      expect(isMatrix(chooseShape(rows, widths, depth, able, 'f32').tile)).toBe(false);
    }),
  );
  // The tall one is for measuring alone, which asks what fits.
  for (const tile of Object.values(ALL_TILES).filter(isMatrix)) {
    if (tile === MATRIX_TALL) continue;
    for (const alongK of [true, false]) expect(tileBytes(tile, alongK) + TABLES).toBeLessThanOrEqual(MATRIX_BYTES);
  }
});
