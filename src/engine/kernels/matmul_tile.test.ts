import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Capabilities } from '../device/gpu.ts';
import {
  ALL_TILES,
  chooseTile,
  FLAT_8,
  FLAT_16,
  LARGE,
  NARROW_8,
  NARROW_16,
  SMALL,
  SOFTWARE,
  type Tile,
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

/** Both operands' tiles, and the tables of quantized weights. */
const memory = ({ TILE_M, TILE_N, TILE_K }: Tile) => (TILE_M + TILE_N) * TILE_K * 4 + 272 * 4;

test('every tile is made of whole blocks and at most 256 invocations', () => {
  for (const [name, { TILE_M, TILE_N, TILE_K, RM, RN }] of Object.entries(ALL_TILES)) {
    const threads = (TILE_M * TILE_N) / (16 * RM * RN);
    expect(threads, name).toBeLessThanOrEqual(256);
    for (const ratio of [threads, TILE_M / (4 * RM), TILE_N / (4 * RN), TILE_K / 4]) {
      expect(Number.isInteger(ratio), name).toBe(true);
    }
  }
});

test('the choice fits WebGPU’s default workgroup memory', () => {
  const size = fc.integer({ min: 1, max: 200_000 });
  fc.assert(
    fc.property(size, size, fc.boolean(), (rows, columns, software) => {
      expect(memory(chooseTile(rows, columns, device(16384, software)))).toBeLessThanOrEqual(16384);
    }),
  );
});

test.each([
  ['a large output', 2048, 4096, device(32768), LARGE],
  ['too few workgroups', 128, 128, device(32768), SMALL],
  ['a low-rank output of 8', 2048, 8, device(32768), NARROW_8],
  ['a low-rank output of 16', 2048, 16, device(32768), NARROW_16],
  ['a gradient 8 high', 8, 4096, device(32768), FLAT_8],
  ['a gradient 13 high', 13, 4096, device(32768), FLAT_16],
  ['a CPU as GPU', 2048, 4096, device(32768, true), SOFTWARE],
])('%s', (_, rows, columns, capabilities, tile) => {
  expect(chooseTile(rows, columns, capabilities)).toBe(tile);
});
