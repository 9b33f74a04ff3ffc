/**
 * Tile shapes of the matmul family (shaders/common/matmul_tile.wgsl, matmul_matrix_tile.wgsl), and which one a shape
 * gets.
 */
import type { Capabilities } from '../device/capabilities.ts';
import { numbers } from './kernel.ts';

interface TileSize {
  /** Rows and columns of outputs a workgroup, and the depth of one step. */
  readonly TILE_M: number;
  readonly TILE_N: number;
  readonly TILE_K: number;
}

/** Each invocation multiplies in f32. */
export interface RegisterTile extends TileSize {
  /** Blocks of four rows and of four columns an invocation. */
  readonly RM: number;
  readonly RN: number;
  /** Reads a step's operands while the one before is multiplied. */
  readonly PREFETCH: boolean;
}

/** Subgroups multiply blocks of [MAT_M, MAT_K] and [MAT_K, MAT_N] at once: operands rounded to f16, sums in f32. */
export interface MatrixTile extends TileSize {
  readonly MAT_M: number;
  readonly MAT_N: number;
  readonly MAT_K: number;
  /** Operands stay in f32. */
  readonly WIDE: boolean;
  /** Blocks of rows and of columns a subgroup. */
  readonly SUB_M: number;
  readonly SUB_N: number;
}

export type Tile = RegisterTile | MatrixTile;
export const isMatrix = (tile: Tile): tile is MatrixTile => 'SUB_M' in tile;

/** Where there is room: 128 × 128 in steps twice as deep, so that barriers are half as many. */
export const DEEP: RegisterTile = { TILE_M: 128, TILE_N: 128, TILE_K: 32, RM: 2, RN: 2, PREFETCH: true };
export const LARGE: RegisterTile = { TILE_M: 128, TILE_N: 128, TILE_K: 16, RM: 2, RN: 2, PREFETCH: true };
export const TALL: RegisterTile = { TILE_M: 128, TILE_N: 64, TILE_K: 16, RM: 2, RN: 2, PREFETCH: true };
export const MEDIUM: RegisterTile = { TILE_M: 64, TILE_N: 64, TILE_K: 32, RM: 2, RN: 1, PREFETCH: true };
/** MEDIUM in the workgroup memory that WebGPU always gives. */
export const SMALL: RegisterTile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, RM: 2, RN: 1, PREFETCH: true };
/** Few invocations with many outputs each: twice as fast as the others where a CPU plays the GPU. */
export const SOFTWARE: RegisterTile = { TILE_M: 64, TILE_N: 64, TILE_K: 16, RM: 2, RN: 2, PREFETCH: false };

const SQUARE = { MAT_M: 16, MAT_N: 16, MAT_K: 16, WIDE: false } as const;
export const MATRIX_LARGE: MatrixTile = { ...SQUARE, TILE_M: 128, TILE_N: 128, TILE_K: 32, SUB_M: 4, SUB_N: 4 };
/** Half as many reads of weights, with more workgroup memory than {@link MATRIX_BYTES}: chosen where it was measured. */
export const MATRIX_TALL: MatrixTile = { ...SQUARE, TILE_M: 256, TILE_N: 128, TILE_K: 32, SUB_M: 4, SUB_N: 4 };
export const MATRIX_MEDIUM: MatrixTile = { ...SQUARE, TILE_M: 64, TILE_N: 64, TILE_K: 64, SUB_M: 2, SUB_N: 2 };
export const MATRIX_SMALL: MatrixTile = { ...SQUARE, TILE_M: 64, TILE_N: 64, TILE_K: 32, SUB_M: 4, SUB_N: 2 };
/** MATRIX_LARGE of blocks half as wide, for devices that have no others; never chosen where there are. */
export const MATRIX_HALF: MatrixTile = { ...MATRIX_LARGE, MAT_N: 8, SUB_N: 8 };
/** For Apple's matrices of f32. Untested: compiled only, chosen only when forced. */
export const MATRIX_APPLE: MatrixTile = {
  ...{ MAT_M: 8, MAT_N: 8, MAT_K: 8, WIDE: true },
  ...{ TILE_M: 64, TILE_N: 64, TILE_K: 32, SUB_M: 8, SUB_N: 4 },
};
export const ALL_TILES = {
  DEEP,
  LARGE,
  TALL,
  MEDIUM,
  SMALL,
  SOFTWARE,
  MATRIX_TALL,
  MATRIX_LARGE,
  MATRIX_MEDIUM,
  MATRIX_SMALL,
  MATRIX_HALF,
  MATRIX_APPLE,
} as const;

/** Lanes a subgroup where matrices are multiplied. */
const SUBGROUP = 32;

/** Invocations a workgroup. */
export const tileThreads = (tile: Tile) =>
  isMatrix(tile)
    ? (SUBGROUP * tile.TILE_M * tile.TILE_N) / (tile.MAT_M * tile.MAT_N * tile.SUB_M * tile.SUB_N)
    : (tile.TILE_M * tile.TILE_N) / (16 * tile.RM * tile.RN);

/** Bytes of workgroup memory for both operands, with a vector of padding a row; `alongK`: B lies along the depth. */
export function tileBytes(tile: Tile, alongK = false): number {
  const { TILE_M, TILE_N, TILE_K } = tile;
  if (!isMatrix(tile)) return (TILE_M + TILE_N + 8) * TILE_K * 4;
  const bytes = tile.WIDE ? 4 : 2;
  const row = TILE_K * bytes + 16;
  const across = tile.MAT_N * bytes;
  return TILE_M * row + (alongK ? TILE_N * row : (TILE_N / tile.MAT_N) * TILE_K * (across + (across > 16 ? 16 : 0)));
}

/** What a plan's matmuls round their operands to. Sums are in f32 either way. */
export type Precision = 'f32' | 'f16';

/** Workgroup memory that no matrix tile passes: with more, two workgroups no longer share a multiprocessor. */
export const MATRIX_BYTES = 24 * 1024;

/** Whether a device multiplies 16 × 16 blocks of f16 with sums in f32, by subgroups of 32. */
export function hasMatrices(capabilities: Capabilities): boolean {
  const { enabled, subgroupSize, subgroupMatrixConfigs, workgroupStorageBytes } = capabilities;
  return (
    workgroupStorageBytes >= MATRIX_BYTES &&
    ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'].every((f) => enabled.includes(f)) &&
    subgroupSize === SUBGROUP &&
    subgroupMatrixConfigs.some(
      ({ componentType, resultComponentType, M, N, K }) =>
        componentType === 'f16' && resultComponentType === 'f32' && M === 16 && N === 16 && K === 16,
    )
  );
}

/** What a kernel that multiplies matrices must enable. */
export const MATRIX_EXTENSIONS: readonly string[] = ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix'];

export const tileRequirements = (tile: Tile): readonly string[] => (isMatrix(tile) ? MATRIX_EXTENSIONS : []);

/**
 * The constants of a kernel over this tile. A GPU gets its inner loop and its stores written out, which is faster; where
 * a CPU plays the GPU that only takes long to compile.
 *
 * @param run weights that a matrix tile reads at a time
 */
export function tileConstants(tile: Tile, { software }: Capabilities, run: number): Record<string, number | boolean> {
  if (isMatrix(tile)) {
    return {
      ...tile,
      MATRIX: true,
      K_STEPS: tile.TILE_K / tile.MAT_K,
      LOW_STEPS: 16 / tile.MAT_K,
      A_STAGES: (tile.TILE_M * tile.TILE_K) / 8 / tileThreads(tile),
      B_STAGES: Math.ceil((tile.TILE_N * tile.TILE_K) / run / tileThreads(tile)),
      B_RUN: run,
    };
  }
  const blocks = ((tile.TILE_M + tile.TILE_N) * tile.TILE_K) / 16;
  return {
    ...tile,
    MATRIX: false,
    UNROLL: software ? 1 : tile.TILE_K,
    STAGES: Math.ceil(blocks / tileThreads(tile)),
    STORE_LOOP: software,
  };
}

/** How a kernel over this tile binds its left operand, in 16 bits or not (shaders/common/matmul_left.wgsl). */
export function leftOperand(tile: Tile, aligned: boolean, halves: boolean) {
  const eights = halves && isMatrix(tile) && !tile.WIDE;
  return {
    type: eights ? 'vec8<f16>' : numbers(aligned, halves),
    constants: { A_HALVES: halves, A_EIGHTS: eights },
  } as const;
}

/** How a matmul is cut: a tile, and parts of the depth that workgroups of their own sum (1: none). */
export interface MatmulShape {
  readonly tile: Tile;
  readonly splits: number;
}

/** Quantization tables beside the tiles. */
export const TABLE_BYTES = (16 + 256) * 4;

/**
 * The tile and split that were fastest, or nearly, for shapes like this one on an NVIDIA H200 (docs/performance.md): a
 * large tile where it wastes little and makes enough workgroups, if need be by splitting a long depth; else a smaller one
 * in enough parts. `rows` is the plan's capacity, not one batch's, so that a run keeps its variant and with it its
 * summation order.
 *
 * @param widths columns of the products that are computed side by side
 */
export function chooseShape(
  rows: number,
  widths: readonly number[],
  depth: number,
  capabilities: Capabilities,
  precision: Precision,
): MatmulShape {
  if (precision === 'f16') return chooseMatrixShape(rows, widths, depth);
  if (capabilities.software) return { tile: SOFTWARE, splits: 1 };
  const fits = (tile: Tile) => tileBytes(tile) + TABLE_BYTES <= capabilities.workgroupStorageBytes;
  const workgroups = (tile: Tile) =>
    Math.ceil(rows / tile.TILE_M) * widths.reduce((sum, width) => sum + Math.ceil(width / tile.TILE_N), 0);
  /** Outputs that are computed over those that are wanted. */
  const waste = (tile: Tile) =>
    (workgroups(tile) * tile.TILE_M * tile.TILE_N) / (rows * widths.reduce((sum, width) => sum + width, 0));
  /** Parts that make at least `wanted` workgroups, none shorter than `shortest`. */
  const parts = (tile: Tile, wanted: number, shortest: number) =>
    Math.max(1, Math.min(Math.ceil(wanted / workgroups(tile)), Math.floor(depth / shortest), 16));
  if (fits(LARGE) && waste(LARGE) <= 1.1) {
    const splits = parts(LARGE, 128, 512);
    if (workgroups(LARGE) * splits >= 120) return { tile: fits(DEEP) ? DEEP : LARGE, splits };
  }
  if (fits(TALL) && waste(TALL) <= 1.1 && workgroups(TALL) >= 240) return { tile: TALL, splits: 1 };
  const tile = fits(MEDIUM) ? MEDIUM : SMALL;
  return { tile, splits: parts(tile, depth >= 16384 ? 1024 : 300, 160) };
}

/** The same for operands in f16. */
function chooseMatrixShape(rows: number, widths: readonly number[], depth: number): MatmulShape {
  const workgroups = (tile: Tile) =>
    Math.ceil(rows / tile.TILE_M) * widths.reduce((sum, width) => sum + Math.ceil(width / tile.TILE_N), 0);
  const waste = (tile: Tile) =>
    (workgroups(tile) * tile.TILE_M * tile.TILE_N) / (rows * widths.reduce((sum, width) => sum + width, 0));
  const parts = (tile: Tile, wanted: number, shortest: number) =>
    Math.max(1, Math.min(Math.ceil(wanted / workgroups(tile)), Math.floor(depth / shortest), 16));
  if (waste(MATRIX_LARGE) <= 1.15) {
    // Two workgroups a multiprocessor.
    const splits = parts(MATRIX_LARGE, 200, 384);
    if (workgroups(MATRIX_LARGE) * splits >= 96) return { tile: MATRIX_LARGE, splits };
  }
  return { tile: MATRIX_MEDIUM, splits: parts(MATRIX_MEDIUM, 100, 384) };
}

/** Depth of each part: whole steps of the tile. */
export const splitDepth = (depth: number, { tile, splits }: MatmulShape) =>
  Math.ceil(depth / splits / tile.TILE_K) * tile.TILE_K;
