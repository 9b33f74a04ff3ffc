import type { BenchBuffers } from '../bench/buffers.ts';
import type { BenchSize, KernelBench } from '../bench/kernel_bench.ts';
import { align, type Tensor } from '../plan/tensor.ts';
import { forcedShape } from '../tuning/matmul_choices.ts';
import { type GroupAdapter, type LinearGroup, matmulNf4 } from './matmul_nf4.ts';
import { DYNAMIC_MAP, NF4_CODEBOOK } from './nf4_codebook.ts';
import { BLOCK, NESTED_BLOCK } from './nf4_quantize.ts';

/** M×N×K: tokens, outputs and inputs of the linear, whichever way it is multiplied. */
type Shape = readonly [number, number, number];

/** Random codes and scales, laid out as a layer's slab is. */
export function quantizedGroup(buffers: BenchBuffers, outFeatures: number, inFeatures: number): LinearGroup {
  const blocks = Math.ceil((outFeatures * inFeatures) / BLOCK);
  let words = 0;
  const take = (count: number) => {
    const at = words;
    words += align(count * 4) / 4;
    return at;
  };
  take(NF4_CODEBOOK.length + DYNAMIC_MAP.length);
  const codesAt = take((outFeatures * inFeatures) / 8);
  const absmaxAt = take(Math.ceil(blocks / 4));
  const nestedAt = take(1 + Math.ceil(blocks / NESTED_BLOCK));
  // Words that are floats from 1/8 to 1/4 serve as codes, scales and second-level scales alike: nothing overflows.
  const slab = buffers.words('slab', words, 0x007fffff, 0x3e000000);
  const linear = { codesAt, absmaxAt, nestedAt, biasAt: null, inFeatures, outFeatures };
  return { slab, doubleQuant: true, floats: null, linears: [linear], inFeatures, outFeatures };
}

/** The same of a linear that is in bf16. */
export function brainFloatGroup(buffers: BenchBuffers, outFeatures: number, inFeatures: number): LinearGroup {
  const codesAt = align((NF4_CODEBOOK.length + DYNAMIC_MAP.length) * 4) / 4;
  // Halves from 1/8 to 1/4.
  const slab = buffers.words('slab', codesAt + (outFeatures * inFeatures) / 2, 0x007f007f, 0x3e003e00);
  const linear = { codesAt, absmaxAt: null, nestedAt: 0, biasAt: null, inFeatures, outFeatures };
  return { slab, doubleQuant: true, floats: 'BF16', linears: [linear], inFeatures, outFeatures };
}

const RANK = 16;

/** A and B of one linear. */
export function benchAdapter(buffers: BenchBuffers, inFeatures: number, outFeatures: number): GroupAdapter {
  const count = RANK * (inFeatures + outFeatures);
  return {
    parameters: buffers.floats('LoRA matrices', count),
    gradients: buffers.floats('LoRA gradients', count),
    columns: RANK,
    aAt: 0,
    parts: [{ uAt: 0, rank: RANK, scale: 2, bAt: RANK * inFeatures }],
  };
}

function bench(
  size: BenchSize,
  [tokens, outFeatures, inFeatures]: Shape,
  transposed: boolean,
  lora: boolean,
  floats = false,
) {
  const [depth, width] = transposed ? [outFeatures, inFeatures] : [inFeatures, outFeatures];
  const name = `matmul_nf4${floats ? ' of BF16' : ''}${transposed ? ' dX' : ''}${lora ? ` + LoRA r ${RANK}` : ''}`;
  const weights = outFeatures * inFeatures;
  const group = floats ? brainFloatGroup : quantizedGroup;
  return {
    name: `${name} ${tokens}×${outFeatures}×${inFeatures}`,
    size,
    tokens,
    flops: 2 * tokens * weights + (lora ? 2 * tokens * width * RANK : 0),
    // Half a byte a code, a byte a block of 64, four a block of those.
    bytes: 4 * tokens * (depth + width) + weights * (floats ? 2 : 0.5 + 1 / BLOCK + 4 / (BLOCK * NESTED_BLOCK)),
    record(plan, buffers, variant) {
      // Gradients are in f32.
      const own = transposed ? {} : variant;
      const y: Tensor = buffers.activations('y', tokens * width, own);
      matmulNf4(plan, {
        x: { tensor: buffers.activations('x', tokens * depth, own), stride: depth, at: 0 },
        y: { tensor: y, stride: width, at: 0 },
        group: group(buffers, outFeatures, inFeatures),
        transposed,
        lora: lora
          ? { u: buffers.floats('u', tokens * RANK), adapter: benchAdapter(buffers, inFeatures, outFeatures) }
          : undefined,
        shape: forcedShape(variant) ?? undefined,
      });
    },
  } satisfies KernelBench;
}

const FULL: readonly Shape[] = [
  [2048, 4096, 4096],
  [2048, 2048, 2048],
  [2048, 8192, 2048],
  [2048, 2048, 8192],
  [8192, 4096, 4096],
  [512, 2048, 2048],
  [512, 2048, 8192],
  [512, 8192, 2048],
  [512, 1536, 576],
  [512, 576, 1536],
  [512, 576, 576],
];
const WITH_LORA: readonly Shape[] = [
  [2048, 2048, 2048],
  [512, 2048, 2048],
  [512, 1536, 576],
];
const IN_FLOATS: readonly Shape[] = [
  [2048, 2048, 8192],
  [512, 2048, 2048],
];
const SMALL: Shape = [64, 96, 64];

export const benches: readonly KernelBench[] = [
  ...FULL.flatMap((shape) => [bench('full', shape, false, false), bench('full', shape, true, false)]),
  ...WITH_LORA.flatMap((shape) => [bench('full', shape, false, true), bench('full', shape, true, true)]),
  ...IN_FLOATS.flatMap((shape) => [bench('full', shape, false, false, true), bench('full', shape, true, false, true)]),
  bench('small', SMALL, false, false),
  bench('small', SMALL, true, false),
  bench('small', SMALL, false, true),
  bench('small', SMALL, false, false, true),
  bench('small', SMALL, true, false, true),
];
