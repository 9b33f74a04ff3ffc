/**
 * Variants of the attention kernels (shaders/common/attention_tile.wgsl, attention_matrix.wgsl), and which one a shape
 * gets.
 */
import type { Capabilities } from '../device/capabilities.ts';
import type { Precision } from './matmul_tile.ts';

/** Each invocation multiplies in f32. */
export interface AttentionTile {
  /** Invocations across a tile's columns and its rows. */
  readonly TX: number;
  readonly TY: number;
  /** Blocks of four rows and of four columns an invocation. */
  readonly RM: number;
  readonly RN: number;
  /** Steps of the inner loops written out, at most all: faster on a GPU, slower to compile. */
  readonly UNROLL: number;
  /** Whether the next step's operands are read before the last are multiplied: hides latency, doubles code. */
  readonly PREFETCH: boolean;
}

export const ATTENTION_VARIANTS = {
  /** 128 × 64 scores, 8 × 8 an invocation: the fewest reads of workgroup memory, the most registers. */
  WIDE: { TX: 8, TY: 16, RM: 2, RN: 2, UNROLL: 16, PREFETCH: true },
  /** 128 × 64, 8 × 4 an invocation. */
  TALL: { TX: 16, TY: 16, RM: 2, RN: 1, UNROLL: 16, PREFETCH: true },
  /** 64 × 64, 8 × 4 an invocation. */
  LARGE: { TX: 16, TY: 8, RM: 2, RN: 1, UNROLL: 16, PREFETCH: true },
  /** 64 × 64, 4 × 4 an invocation: half the registers, twice the warps. */
  MEDIUM: { TX: 16, TY: 16, RM: 1, RN: 1, UNROLL: 16, PREFETCH: true },
  /** 32 × 64, 4 × 4 an invocation: more workgroups, for short batches; also for heads too wide for the others' registers. */
  SMALL: { TX: 16, TY: 8, RM: 1, RN: 1, UNROLL: 16, PREFETCH: true },
  /** 64 × 64, 4 × 8 an invocation: heads of up to 32 dimensions leave no output column idle. */
  NARROW: { TX: 8, TY: 16, RM: 1, RN: 2, UNROLL: 16, PREFETCH: true },
  /** 32 × 16, 4 × 4 an invocation, few invocations and little code: for a CPU that plays the GPU and has to compile. */
  SOFTWARE: { TX: 4, TY: 8, RM: 1, RN: 1, UNROLL: 1, PREFETCH: false },
  /** 16 × 64, the same for wide heads, whose outputs would be too much code an invocation. */
  SOFTWARE_WIDE: { TX: 16, TY: 4, RM: 1, RN: 1, UNROLL: 1, PREFETCH: false },
} as const satisfies Record<string, AttentionTile>;

/** Subgroups multiply 16 × 16 blocks at once: operands rounded to f16, sums in f32. */
export const ATTENTION_MATRIX = 'matrix';
export type AttentionVariant = AttentionTile | typeof ATTENTION_MATRIX;

/** The tile's rows: queries, or keys where gradients of keys are made. */
export const attentionRows = (variant: AttentionVariant) =>
  variant === ATTENTION_MATRIX ? 64 : 4 * variant.RM * variant.TY;

/** Whether heads are whole blocks and few enough for a subgroup's registers. */
export const matrixHeads = (headDim: number) => headDim % 16 === 0 && headDim <= 128;

/** Workgroup memory that WebGPU always gives, less what bounds and row figures take. */
const TILE_BYTES = 16384 - 2048;

/** Score sets and output sets of a kernel: how many products of each kind it makes a tile. */
export interface AttentionSets {
  readonly SCORES: number;
  readonly OUTS: number;
}

/** A kernel's constants: the variant's, and what follows from it and the head's dimensions. */
export function attentionConstants(headDim: number, variant: AttentionVariant, sets: AttentionSets) {
  return variant === ATTENTION_MATRIX ? matrixConstants(headDim, sets) : attentionTileConstants(headDim, variant, sets);
}

function matrixConstants(headDim: number, { SCORES, OUTS }: AttentionSets) {
  return {
    HEAD_DIM: headDim,
    BLOCKS: headDim / 16,
    /** What a workgroup's own rows are multiplied by: keys, or values too. */
    SETS: SCORES,
    TILES: 2,
    /** Blocks of a subgroup in workgroup memory: forward, two of keys at a time. */
    SCORES: 2,
    WEIGHTS: SCORES === 1 ? 2 : OUTS,
  };
}

export function attentionTileConstants(headDim: number, variant: AttentionTile, sets: AttentionSets) {
  const { TX, TY, RM, RN } = variant;
  const threads = TX * TY;
  const vectors = Math.ceil(headDim / 4);
  const depth = [16, 8].find((n) => vectors % (n / 4) === 0) ?? 4;
  const outWidth = Math.ceil(vectors / TX) * TX;
  const bytes = (span: number) =>
    16 * (Math.max(depth, span, TX) * RM * TY + Math.max(depth, span) * Math.max(RN * TX, outWidth));
  const span = [16, 8].find((n) => bytes(n) <= TILE_BYTES) ?? 4;
  return {
    HEAD_DIM: headDim,
    ...variant,
    ...sets,
    UNROLL: Math.min(variant.UNROLL, depth, span),
    /** Blocks of four dimensions of the outputs an invocation. */
    RD: outWidth / TX,
    /** Dimensions a step of the scores' product, and columns a step of the outputs'. */
    DEPTH: depth,
    SPAN: span,
    /** Rows of the left operand's tile: sums over TX invocations pass through it too. */
    A_DEPTH: Math.max(depth, span, TX),
    /** 4 × 4 blocks, and vectors, that an invocation fetches a step. */
    FETCH: Math.ceil(((RM * TY + RN * TX) * (depth / 4)) / threads),
    ROW_FETCH: Math.ceil((span * outWidth) / threads),
    /** Heads begin at whole vectors: read and written four elements at a time. */
    ALIGNED: headDim % 4 === 0,
  };
}

/** Workgroups that keep a large GPU busy: two for each of an H200's 132 multiprocessors. */
const ENOUGH_WORKGROUPS = 264;

/** The kernels that a choice is made for. */
export type AttentionPass = 'forward' | 'backward_query' | 'backward_key_value';

interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/**
 * The variant for a pass. `capacity` is the most tokens of a batch, not one batch's, so that a run keeps its variant and
 * with it its summation order.
 */
export function chooseAttentionVariant(
  pass: AttentionPass,
  { heads, headDim }: Heads,
  capacity: number,
  { software }: Pick<Capabilities, 'software'>,
  precision: Precision,
): AttentionVariant {
  if (precision === 'f16' && matrixHeads(headDim)) return ATTENTION_MATRIX;
  const { SOFTWARE, SOFTWARE_WIDE, NARROW, LARGE, MEDIUM, SMALL } = ATTENTION_VARIANTS;
  if (software) return headDim > 64 ? SOFTWARE_WIDE : SOFTWARE;
  if (headDim <= 32) return NARROW;
  if (headDim > 128) return SMALL;
  if (pass === 'backward_key_value') {
    // Four sets of registers: eight rows of them fit only a head of 64. Too few workgroups are split, not made smaller.
    return headDim > 64 ? MEDIUM : LARGE;
  }
  if (heads * Math.ceil(capacity / attentionRows(LARGE)) < ENOUGH_WORKGROUPS) return SMALL;
  return pass === 'forward' && headDim <= 64 ? NARROW : LARGE;
}

/**
 * Parts of the queries a query head's gradients of keys and values are made in, each by its own workgroup; null where
 * one workgroup sums over all queries of all of the group's heads. The partial sums are at most
 * ENOUGH_WORKGROUPS · heads / kvHeads tiles: 34 MB for Llama-3.2-1B at 2,048 tokens, 9 MB for SmolLM2-135M.
 */
export function chooseAttentionParts(
  { heads, kvHeads }: Heads,
  capacity: number,
  variant: AttentionVariant,
  { software }: Pick<Capabilities, 'software'>,
): number | null {
  const tiles = Math.ceil(capacity / attentionRows(variant));
  if (software || kvHeads * tiles >= ENOUGH_WORKGROUPS) return null;
  const parts = Math.min(Math.ceil(tiles / 2), Math.ceil(ENOUGH_WORKGROUPS / (heads * tiles)));
  return parts === 1 && heads === kvHeads ? null : parts;
}
