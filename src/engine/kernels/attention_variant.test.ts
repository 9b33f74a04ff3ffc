import { expect, test } from 'vitest';
import { attentionFlops } from './attention.ts';
import {
  ATTENTION_MATRIX,
  ATTENTION_VARIANTS,
  attentionRows,
  attentionTileConstants,
  chooseAttentionParts,
  chooseAttentionVariant,
} from './attention_variant.ts';

const { SOFTWARE, SOFTWARE_WIDE, NARROW, LARGE, MEDIUM, SMALL } = ATTENTION_VARIANTS;
const GPU = { software: false };
const CPU = { software: true };
const SMOLLM2_135M = { heads: 9, kvHeads: 3, headDim: 64 };
const LLAMA_1B = { heads: 32, kvHeads: 8, headDim: 64 };

test.each(Object.entries(ATTENTION_VARIANTS))('%s keeps to the default limits at any head', (_, variant) => {
  const { TX, TY, RM, RN } = variant;
  expect(TX * TY).toBeLessThanOrEqual(256);
  for (let headDim = 1; headDim <= 256; headDim++) {
    const c = attentionTileConstants(headDim, variant, { SCORES: 2, OUTS: 2 });
    const vectors = Math.ceil(headDim / 4);
    // Both tiles, the bounds, and two figures for each row.
    const tiles = c.A_DEPTH * RM * TY + Math.max(c.DEPTH * RN * TX, c.SPAN * c.RD * TX);
    expect(16 * (tiles + 2 * RM * TY) + 8, `${headDim}`).toBeLessThanOrEqual(16384);
    // Whole steps: of the head, of the tile's columns, of the unrolled loops.
    expect((4 * vectors) % c.DEPTH, `${headDim}`).toBe(0);
    expect((4 * RN * TX) % c.SPAN).toBe(0);
    expect([c.DEPTH % c.UNROLL, c.SPAN % c.UNROLL]).toEqual([0, 0]);
    // Everything is fetched, every dimension is held.
    expect(c.FETCH * TX * TY).toBeGreaterThanOrEqual((RM * TY + RN * TX) * (c.DEPTH / 4));
    expect(c.ROW_FETCH * TX * TY).toBeGreaterThanOrEqual(c.SPAN * c.RD * TX);
    expect(c.RD * TX).toBeGreaterThanOrEqual(vectors);
  }
});

test('the tile follows from the pass, the head and the number of workgroups', () => {
  expect(chooseAttentionVariant('forward', SMOLLM2_135M, 512, GPU, 'f32')).toBe(SMALL);
  expect(chooseAttentionVariant('forward', SMOLLM2_135M, 2048, GPU, 'f32')).toBe(NARROW);
  expect(chooseAttentionVariant('backward_query', SMOLLM2_135M, 2048, GPU, 'f32')).toBe(LARGE);
  expect(chooseAttentionVariant('backward_query', LLAMA_1B, 512, GPU, 'f32')).toBe(SMALL);
  expect(chooseAttentionVariant('backward_key_value', SMOLLM2_135M, 512, GPU, 'f32')).toBe(LARGE);
  expect(chooseAttentionVariant('backward_key_value', { ...LLAMA_1B, headDim: 128 }, 512, GPU, 'f32')).toBe(MEDIUM);
  expect(chooseAttentionVariant('forward', { ...LLAMA_1B, headDim: 256 }, 8192, GPU, 'f32')).toBe(SMALL);
  expect(chooseAttentionVariant('forward', { ...LLAMA_1B, headDim: 32 }, 8192, GPU, 'f32')).toBe(NARROW);
  expect(chooseAttentionVariant('forward', SMOLLM2_135M, 512, CPU, 'f32')).toBe(SOFTWARE);
  expect(chooseAttentionVariant('forward', { ...LLAMA_1B, headDim: 128 }, 512, CPU, 'f32')).toBe(SOFTWARE_WIDE);
});

test('matrices where f16 is allowed and heads are whole blocks, not too many', () => {
  for (const headDim of [16, 64, 80, 128]) {
    expect(chooseAttentionVariant('forward', { ...LLAMA_1B, headDim }, 512, GPU, 'f16')).toBe(ATTENTION_MATRIX);
  }
  for (const headDim of [8, 72, 144, 256]) {
    expect(chooseAttentionVariant('forward', { ...LLAMA_1B, headDim }, 512, GPU, 'f16')).not.toBe(ATTENTION_MATRIX);
  }
});

test('gradients of keys and values are split until there are enough workgroups', () => {
  // 3 × 8 workgroups become 9 × 8 × 4.
  expect(chooseAttentionParts(SMOLLM2_135M, 512, LARGE, GPU)).toBe(4);
  // By query head alone: 9 × 32.
  expect(chooseAttentionParts(SMOLLM2_135M, 2048, LARGE, GPU)).toBe(1);
  expect(chooseAttentionParts(SMOLLM2_135M, 8192, LARGE, GPU)).toBe(null);
  // Nothing to split in a batch of one tile without groups.
  expect(chooseAttentionParts({ heads: 4, kvHeads: 4, headDim: 64 }, 64, LARGE, GPU)).toBe(null);
  expect(chooseAttentionParts(SMOLLM2_135M, 512, SOFTWARE, CPU)).toBe(null);
});

test('partial sums stay small', () => {
  for (const shape of [SMOLLM2_135M, LLAMA_1B, { heads: 14, kvHeads: 2, headDim: 64 }]) {
    for (let capacity = 64; capacity <= 16384; capacity += 64) {
      const parts = chooseAttentionParts(shape, capacity, LARGE, GPU) ?? 0;
      const tiles = Math.ceil(capacity / attentionRows(LARGE));
      expect(shape.heads * tiles * parts).toBeLessThanOrEqual(264 * (shape.heads / shape.kvHeads));
    }
  }
});

test('floating-point operations are those of visible pairs', () => {
  const shape = { heads: 2, kvHeads: 1, headDim: 8, scale: 1, window: null };
  // 6 pairs of 3 tokens, a product of 2 · 8 · 2 each.
  expect(attentionFlops(shape, 3)).toEqual({ forward: 384, backwardQuery: 576, backwardKeyValue: 768 });
  // 1 + 2 + 2 pairs.
  expect(attentionFlops({ ...shape, window: 2 }, 3).forward).toBe(320);
  expect(attentionFlops({ ...shape, window: 9 }, 3).forward).toBe(384);
});
