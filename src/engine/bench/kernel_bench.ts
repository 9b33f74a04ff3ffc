/** What `<op>.bench.ts` says of a kernel: at which shapes it is timed, and what those cost at least. */
import type { PlanBuilder } from '../plan/plan.ts';
import type { BenchBuffers } from './buffers.ts';
import type { VariantChoice } from './variant_choice.ts';

/** `small` shapes end in seconds where a CPU plays the GPU; `full` ones are those of real models on a GPU. */
export type BenchSize = 'small' | 'full';

export interface KernelBench {
  /** The op, then the shape: `matmul_nf4 512×1536×576`, M×N×K where it multiplies. `--only` looks into it. */
  readonly name: string;
  readonly size: BenchSize;
  /** T of the micro-batch, and the capacity of the plan. */
  readonly tokens: number;
  /** Floating-point operations of the textbook's algorithm, not of what the kernel happens to do. */
  readonly flops: number;
  /** The least that must move: every operand once. */
  readonly bytes: number;
  /** Records the op once. Called several times over the same buffers, so that a sample is long enough. */
  record(plan: PlanBuilder, buffers: BenchBuffers, variant: VariantChoice): void;
}
