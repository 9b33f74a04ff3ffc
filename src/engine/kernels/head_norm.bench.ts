import type { BenchBuffers } from '../bench/buffers.ts';
import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { headNorm, headNormBackward } from './head_norm.ts';

interface Heads {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

const title = (tokens: number, { heads, kvHeads, headDim }: Heads) => `${tokens}, ${heads}/${kvHeads}×${headDim}`;

function options(buffers: BenchBuffers, tokens: number, { heads, kvHeads, headDim }: Heads) {
  const tensor = buffers.floats('weights', 2 * headDim);
  const weight = (at: number) => ({ tensor, at, width: headDim, epsilon: 1e-6 });
  return {
    qkv: buffers.floats('qkv', tokens * (heads + 2 * kvHeads) * headDim),
    raw: buffers.floats('raw', tokens * (heads + kvHeads) * headDim),
    heads,
    kvHeads,
    query: weight(0),
    key: weight(headDim),
  };
}

function benchesOf(size: BenchSize, tokens: number, shape: Heads): KernelBench[] {
  const values = tokens * (shape.heads + shape.kvHeads) * shape.headDim;
  const common = { size, tokens, bytes: 4 * 3 * values };
  return [
    {
      ...common,
      name: `head_norm ${title(tokens, shape)}`,
      flops: 4 * values,
      record: (plan, buffers) => headNorm(plan, options(buffers, tokens, shape)),
    },
    {
      ...common,
      name: `head_norm_backward ${title(tokens, shape)}`,
      flops: 8 * values,
      record: (plan, buffers) => headNormBackward(plan, options(buffers, tokens, shape)),
    },
  ];
}

/** Qwen3-0.6B, Gemma-3-270m. */
export const benches: readonly KernelBench[] = [
  ...benchesOf('full', 2048, { heads: 16, kvHeads: 8, headDim: 128 }),
  ...benchesOf('full', 2048, { heads: 4, kvHeads: 1, headDim: 256 }),
  ...benchesOf('small', 64, { heads: 2, kvHeads: 1, headDim: 16 }),
];
