/** Tile shapes of the matmul family (shaders/common/matmul_tile.wgsl), and which one a shape gets. */
import type { Capabilities } from '../device/gpu.ts';

export interface Tile {
  /** Rows and columns of outputs a workgroup, and the depth of one step. */
  readonly TILE_M: number;
  readonly TILE_N: number;
  readonly TILE_K: number;
  /** Blocks of four rows and of four columns an invocation. */
  readonly RM: number;
  readonly RN: number;
  /** Reads a step's operands while the one before is multiplied. */
  readonly PREFETCH: boolean;
}

export const LARGE: Tile = { TILE_M: 128, TILE_N: 128, TILE_K: 16, RM: 2, RN: 2, PREFETCH: true };
export const TALL: Tile = { TILE_M: 128, TILE_N: 64, TILE_K: 16, RM: 2, RN: 1, PREFETCH: true };
export const MEDIUM: Tile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, RM: 2, RN: 1, PREFETCH: true };
export const SMALL: Tile = { TILE_M: 32, TILE_N: 64, TILE_K: 32, RM: 1, RN: 1, PREFETCH: true };
/** Few invocations with many outputs each: twice as fast as the others where a CPU plays the GPU. */
export const SOFTWARE: Tile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, RM: 2, RN: 2, PREFETCH: false };
export const ALL_TILES = { LARGE, TALL, MEDIUM, SMALL, SOFTWARE } as const;

/** Invocations a workgroup. */
export const tileThreads = (tile: Tile) => (tile.TILE_M * tile.TILE_N) / (16 * tile.RM * tile.RN);

/** Bytes of workgroup memory for both operands. */
export const tileBytes = (tile: Tile) => (tile.TILE_M + tile.TILE_N) * tile.TILE_K * 4;

/**
 * The constants of a kernel over this tile. A GPU gets its inner loop and its stores written out, which is faster; where
 * a CPU plays the GPU that only takes long to compile.
 */
export function tileConstants(tile: Tile, { software }: Capabilities): Record<string, number | boolean> {
  const blocks = ((tile.TILE_M + tile.TILE_N) * tile.TILE_K) / 16;
  return {
    ...tile,
    UNROLL: software ? 1 : tile.TILE_K,
    STAGES: Math.ceil(blocks / tileThreads(tile)),
    STORE_LOOP: software,
  };
}

/** How a matmul is cut: a tile, and parts of the depth that workgroups of their own sum (1: none). */
export interface MatmulShape {
  readonly tile: Tile;
  readonly splits: number;
}

/** Workgroups that keep a large GPU busy: below this a smaller tile, or a split depth, is faster than a better one. */
const ENOUGH_WORKGROUPS = 128;
/** Quantization tables beside the tiles. */
const TABLE_BYTES = (16 + 256) * 4;

/**
 * The largest tile that fits the device's workgroup memory and still makes enough workgroups. `rows` is the plan's
 * capacity, not one batch's, so that a run keeps its variant and with it its summation order.
 *
 * @param widths columns of the products that are computed side by side
 */
export function chooseShape(
  rows: number,
  widths: readonly number[],
  depth: number,
  capabilities: Capabilities,
): MatmulShape {
  if (capabilities.software) return { tile: SOFTWARE, splits: 1 };
  const workgroups = (tile: Tile) =>
    Math.ceil(rows / tile.TILE_M) * widths.reduce((sum, width) => sum + Math.ceil(width / tile.TILE_N), 0);
  const fitting = [LARGE, TALL, MEDIUM].filter(
    (tile) => tileBytes(tile) + TABLE_BYTES <= capabilities.workgroupStorageBytes,
  );
  const tile = fitting.find((candidate) => workgroups(candidate) >= ENOUGH_WORKGROUPS) ?? MEDIUM;
  const splits = Math.min(Math.floor(ENOUGH_WORKGROUPS / workgroups(tile)), Math.floor(depth / (8 * tile.TILE_K)), 8);
  return { tile, splits: Math.max(1, splits) };
}

/** Depth of each part: whole steps of the tile. */
export const splitDepth = (depth: number, { tile, splits }: MatmulShape) =>
  Math.ceil(depth / splits / tile.TILE_K) * tile.TILE_K;
