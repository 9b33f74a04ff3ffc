/** Which part of a training step a dispatch belongs to, by its kernel. */
import type { KernelDefinition } from '../kernels/kernel.ts';

export const KERNEL_GROUPS = [
  'frozen matmul forward',
  'frozen matmul dX',
  'LoRA path',
  'attention',
  'head + cross-entropy',
  'LoRA and head of few rows',
  'norms, activation, RoPE, embedding',
  'optimizer',
  'sums of split matmuls',
  'other',
] as const;
export type KernelGroup = (typeof KERNEL_GROUPS)[number];

type Named = Pick<KernelDefinition, 'name'>;

/** In this order; the first that fits. Recomputed layers count as forward. */
const RULES: readonly (readonly [KernelGroup, (kernel: Named) => boolean])[] = [
  ['frozen matmul dX', ({ name }) => /nf4.*_dx/.test(name)],
  ['frozen matmul forward', ({ name }) => /mat(mul|vec)_nf4|dequantize/.test(name)],
  ['head + cross-entropy', ({ name }) => /cross_entropy|loss|soft_cap/.test(name)],
  ['head + cross-entropy', ({ name }) => /^matmul_dense|^pick_/.test(name)],
  ['LoRA and head of few rows', ({ name }) => /^matvec_dense/.test(name)],
  ['LoRA path', ({ name }) => /low_rank|dora|dropout/.test(name)],
  ['sums of split matmuls', ({ name }) => name === 'matmul_reduce'],
  ['attention', ({ name }) => /attention|^kv_/.test(name)],
  ['optimizer', ({ name }) => /adamw|grad_norm/.test(name)],
  ['norms, activation, RoPE, embedding', ({ name }) => /norm|swiglu|rope|embedding|activation/.test(name)],
];

export const groupOf = (kernel: Named): KernelGroup => RULES.find(([, fits]) => fits(kernel))?.[0] ?? 'other';
