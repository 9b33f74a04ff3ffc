import type { BenchBuffers } from '../bench/buffers.ts';
import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import type { VariantChoice } from '../bench/variant_choice.ts';
import { type AttentionShape, attentionBackward, attentionForward } from './attention.ts';

interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** One document of `tokens`: the longest that a batch of so many tokens can hold, and the most work. */
function inputs(buffers: BenchBuffers, tokens: number, { heads, kvHeads, headDim }: Heads, variant: VariantChoice) {
  const shape: AttentionShape = { heads, kvHeads, headDim, scale: headDim ** -0.5, window: null };
  const width = (heads + 2 * kvHeads) * headDim;
  return {
    shape,
    width,
    qkv: buffers.activations('qkv', tokens * width, variant),
    documents: buffers.values(
      'documents',
      Uint32Array.from({ length: 2 * tokens }, (_, i) => (i % 2) * tokens),
    ),
    o: buffers.activations('o', tokens * heads * headDim, variant),
    // Larger than any row's log Σ exp, so that the backward pass sees probabilities below 1.
    lse: buffers.floats('lse', heads * tokens, 10),
  };
}

/** Both products of the forward pass over the causal half of S×S; five of the backward pass (Dao et al. 2022). */
const products = (tokens: number, { heads, headDim }: Heads) => heads * headDim * tokens * tokens;

function forward(size: BenchSize, tokens: number, heads: Heads): KernelBench {
  const { heads: queries, kvHeads, headDim } = heads;
  return {
    name: `attention forward ${tokens}, ${queries}/${kvHeads}×${headDim}`,
    size,
    tokens,
    flops: 2 * products(tokens, heads),
    bytes: 4 * tokens * (2 * queries + 2 * kvHeads) * headDim,
    record(plan, buffers, variant) {
      const { shape, qkv, documents, o, lse } = inputs(buffers, tokens, heads, variant);
      attentionForward(plan, { shape, qkv, documents, o, lse });
    },
  };
}

function backward(size: BenchSize, tokens: number, heads: Heads): KernelBench {
  const { heads: queries, kvHeads, headDim } = heads;
  return {
    name: `attention backward ${tokens}, ${queries}/${kvHeads}×${headDim}`,
    size,
    tokens,
    flops: 5 * products(tokens, heads),
    bytes: 4 * tokens * (4 * queries + 4 * kvHeads) * headDim,
    record(plan, buffers, variant) {
      const { shape, width, qkv, documents, o, lse } = inputs(buffers, tokens, heads, variant);
      attentionBackward(plan, {
        shape,
        qkv,
        documents,
        o,
        lse,
        dO: buffers.floats('dO', tokens * queries * headDim),
        delta: buffers.floats('delta', queries * tokens),
        dQkv: buffers.floats('dQkv', tokens * width),
      });
    },
  };
}

/** SmolLM2-135M and Llama-3.2-1B. */
const MODELS: readonly Heads[] = [
  { heads: 9, kvHeads: 3, headDim: 64 },
  { heads: 32, kvHeads: 8, headDim: 64 },
];
const LENGTHS = [512, 1024, 2048, 4096, 8192];
const SMALL: Heads = { heads: 4, kvHeads: 2, headDim: 16 };

export const benches: readonly KernelBench[] = [
  ...MODELS.flatMap((heads) =>
    LENGTHS.flatMap((tokens) => [forward('full', tokens, heads), backward('full', tokens, heads)]),
  ),
  forward('small', 64, SMALL),
  backward('small', 64, SMALL),
];
