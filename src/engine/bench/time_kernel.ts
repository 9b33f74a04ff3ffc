/** Times one kernel at one shape: through a plan, with as many repeats a sample as make it long enough. */
import type { Gpu } from '../device/gpu.ts';
import { packUniform, STEP_FIELDS, type StepValues, uniformBytes } from '../kernels/kernel.ts';
import { Arena } from '../plan/arena.ts';
import type { Plan } from '../plan/execution.ts';
import { PlanBuilder } from '../plan/plan.ts';
import { BenchBuffers } from './buffers.ts';
import type { KernelBench } from './kernel_bench.ts';
import { type Summary, summarize } from './statistics.ts';
import type { VariantChoice } from './variant_choice.ts';

export interface KernelTiming {
  /** Of one op, however many dispatches that is. */
  readonly milliseconds: Summary;
  /** Ops a sample. */
  readonly repeats: number;
  /** Timestamps of the GPU, or the clock from submit to the end. */
  readonly timer: 'gpu' | 'clock';
  /** The op's dispatches: kernel and what its variant fixes. */
  readonly dispatches: readonly { readonly kernel: string; readonly variant: string }[];
}

export interface TimingOptions {
  readonly variant: VariantChoice;
  readonly samples: number;
  /** Milliseconds a sample takes at least. */
  readonly sampleMs: number;
  /** Milliseconds of work before the first sample: an idle GPU lowers its clock. */
  readonly warmUpMs: number;
}

/** A recording of more ops than this takes longer to make than to run. */
const MOST_REPEATS = 1000;

/** What AdamW and the loss read of a step; the rest does not matter for speed. */
const STEP: StepValues = {
  tokens: 0,
  inverse_trained_tokens: 1e-3,
  log_slot: 0,
  micro_batch: 0,
  seed: 0,
  number: 0,
  decay: 1,
  step_size: 1e-4,
  second_decay: 1,
  second_step_size: 1e-4,
  inverse_sqrt_bias_correction2: 1,
  beta1: 0.9,
  beta2: 0.999,
  one_minus_beta1: 0.1,
  one_minus_beta2: 0.001,
  epsilon: 1e-8,
  max_grad_norm: 1,
};

/** @throws ShaderError, GpuMemoryError and whatever the device reports; nothing stays allocated. */
export async function timeKernel(gpu: Gpu, bench: KernelBench, options: TimingOptions): Promise<KernelTiming> {
  const { tokens } = bench;
  const before = new Set(gpu.ledger.buffers());
  const buffers = new BenchBuffers(gpu);
  try {
    const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
    packUniform(STEP_FIELDS, { ...STEP, tokens }, data, 0);
    const step = gpu.ledger.create({
      label: 'step',
      size: data.byteLength,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      category: 'activations',
    });
    gpu.device.queue.writeBuffer(step, 0, data.buffer);

    const withPlan = async <T>(repeats: number, use: (plan: Plan) => Promise<T>): Promise<T> => {
      const builder = new PlanBuilder(gpu, tokens);
      for (let i = 0; i < repeats; i++) bench.record(builder, buffers, options.variant);
      const arena = new Arena(gpu.ledger, [builder.layout()]);
      const plan = await builder.finish(arena, step);
      const result = await use(plan);
      plan.dispose();
      arena.dispose();
      return result;
    };
    const time = async (plan: Plan) => {
      const { gpu: onGpu, wall } = await plan.time(tokens);
      return { milliseconds: onGpu ?? wall, timer: onGpu === null ? ('clock' as const) : ('gpu' as const) };
    };

    const { dispatches, once } = await withPlan(1, async (plan) => {
      await plan.run(tokens);
      const timed = await plan.profile(tokens);
      gpu.check();
      const first = await plan.time(tokens);
      const second = await plan.time(tokens);
      return {
        dispatches: timed.map(({ kernel }) => ({
          kernel: kernel.name,
          variant: Object.entries(kernel.constants)
            .map(([name, value]) => `${name}=${value}`)
            .join(' '),
        })),
        // Timestamps may be rounded to nothing: the clock then says how many repeats to try.
        once: Math.min(first.wall, second.wall),
      };
    });
    // Twice: what a submit costs hides how short the op is.
    let repeats = repeatsFor(options.sampleMs, once, 1);
    if (repeats > 1) {
      const several = await withPlan(repeats, async (plan) => {
        await plan.run(tokens);
        return Math.min((await time(plan)).milliseconds, (await time(plan)).milliseconds);
      });
      repeats = repeatsFor(options.sampleMs, several, repeats);
    }
    return await withPlan(repeats, async (plan) => {
      const started = performance.now();
      let last = await time(plan);
      while (performance.now() - started < options.warmUpMs) last = await time(plan);
      const samples: number[] = [];
      for (let i = 0; i < options.samples; i++) {
        last = await time(plan);
        samples.push(last.milliseconds / repeats);
      }
      gpu.check();
      return { milliseconds: summarize(samples), repeats, timer: last.timer, dispatches };
    });
  } finally {
    for (const buffer of gpu.ledger.buffers()) if (!before.has(buffer)) gpu.ledger.destroy(buffer);
  }
}

/** How many ops reach `wanted` milliseconds when `repeats` of them took `milliseconds`. */
export function repeatsFor(wanted: number, milliseconds: number, repeats: number): number {
  const more = Math.ceil((wanted * repeats) / Math.max(1e-3, milliseconds));
  return Math.max(1, Math.min(MOST_REPEATS, more));
}
