/** Tile shapes of the matmul family (shaders/common/matmul_tile.wgsl), and which one a shape gets. */
import type { Capabilities } from '../device/gpu.ts';

export interface Tile extends Readonly<Record<string, number>> {
  /** Rows and columns of outputs a workgroup, and the depth of one step. */
  readonly TILE_M: number;
  readonly TILE_N: number;
  readonly TILE_K: number;
  /** Blocks of four rows and of four columns an invocation. */
  readonly RM: number;
  readonly RN: number;
  /** Steps of the inner loop written out: faster on a GPU, slower to compile. */
  readonly UNROLL: number;
}

export const LARGE: Tile = { TILE_M: 128, TILE_N: 128, TILE_K: 16, RM: 2, RN: 2, UNROLL: 4 };
export const MEDIUM: Tile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, RM: 1, RN: 1, UNROLL: 4 };
export const SMALL: Tile = { TILE_M: 32, TILE_N: 32, TILE_K: 32, RM: 1, RN: 1, UNROLL: 4 };
/** Few invocations with many outputs each: twice as fast as the others where a CPU plays the GPU. */
export const SOFTWARE: Tile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, RM: 2, RN: 2, UNROLL: 1 };
/** For the low-rank side of LoRA: outputs only 8 or 16 wide, or high. */
export const NARROW_8: Tile = { TILE_M: 128, TILE_N: 8, TILE_K: 16, RM: 2, RN: 1, UNROLL: 1 };
export const NARROW_16: Tile = { TILE_M: 64, TILE_N: 16, TILE_K: 32, RM: 2, RN: 1, UNROLL: 1 };
export const FLAT_8: Tile = { TILE_M: 8, TILE_N: 128, TILE_K: 16, RM: 1, RN: 2, UNROLL: 1 };
export const FLAT_16: Tile = { TILE_M: 16, TILE_N: 64, TILE_K: 32, RM: 1, RN: 2, UNROLL: 1 };
export const ALL_TILES = { LARGE, MEDIUM, SMALL, SOFTWARE, NARROW_8, NARROW_16, FLAT_8, FLAT_16 } as const;

/** Both tiles and the quantization tables. */
const workgroupBytes = (tile: Tile) => (tile.TILE_M + tile.TILE_N) * tile.TILE_K * 4 + (16 + 256) * 4;

/** Workgroups that keep a large GPU busy: below this a smaller tile is faster than a better one. */
const ENOUGH_WORKGROUPS = 96;

/**
 * The largest tile that fits the device's workgroup memory and still makes enough workgroups; a thin one for thin
 * outputs. `rows` is the plan's capacity, not one batch's, so that a run keeps its variant and with it its summation
 * order.
 */
export function chooseTile(rows: number, columns: number, capabilities: Capabilities): Tile {
  if (columns <= 16) return columns <= 8 ? NARROW_8 : NARROW_16;
  if (rows <= 16) return rows <= 8 ? FLAT_8 : FLAT_16;
  if (capabilities.software) return SOFTWARE;
  for (const tile of [LARGE, MEDIUM]) {
    const groups = Math.ceil(rows / tile.TILE_M) * Math.ceil(columns / tile.TILE_N);
    if (workgroupBytes(tile) <= capabilities.workgroupStorageBytes && groups >= ENOUGH_WORKGROUPS) return tile;
  }
  return SMALL;
}
