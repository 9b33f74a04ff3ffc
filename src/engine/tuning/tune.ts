/** A short measurement of the variants that may be fastest for a plan's kernels. On zeros: their times compare as others' do. */
import type { Gpu } from '../device/gpu.ts';
import { packUniform, STEP_FIELDS, uniformBytes } from '../kernels/kernel.ts';
import { Arena } from '../plan/arena.ts';
import { PlanBuilder } from '../plan/plan.ts';
import { attentionTuning } from './attention_tuning.ts';
import { fastest } from './fastest.ts';
import { matmulTuning } from './matmul_tuning.ts';
import type { TunedProblem } from './measured_choices.ts';
import { Scratch } from './scratch.ts';
import type { Tuning } from './tuning.ts';

/** Milliseconds for the measurements of all problems together: what they leave stays by rule. */
const BUDGET_MS = 3000;

/** Bytes of operands and partial sums that may be allocated for measuring; they are freed before a plan's own. */
const MOST_SCRATCH_BYTES = 256 * 2 ** 20;

/** Told when a measurement begins and has ended; an aborted one ends early, with what it knows by then. */
export interface TuningHooks {
  readonly onMeasure?: () => void;
  readonly onDone?: () => void;
  readonly signal?: AbortSignal;
  /** Milliseconds for all problems together, {@link BUDGET_MS} by default. */
  readonly budget?: number;
}

/** A problem to measure, whatever kernels it is about; resolves with whether it was measured to the end. */
interface Task {
  readonly cost: number;
  measure(bench: TuningBench, expired: () => boolean): Promise<boolean>;
}

/**
 * Measures the device's unmeasured problems and keeps the best variant of each. Returns whether anything was learned: then
 * plans must be recorded again. Does nothing where a CPU plays the GPU.
 */
export async function tune(
  gpu: Gpu,
  { onMeasure, onDone, signal, budget = BUDGET_MS }: TuningHooks = {},
): Promise<boolean> {
  if (gpu.capabilities.software) return false;
  const tasks = [...tasksOf(gpu, matmulTuning), ...tasksOf(gpu, attentionTuning)].sort((a, b) => b.cost - a.cost);
  if (tasks.length === 0) return false;
  onMeasure?.();
  const started = performance.now();
  const expired = () => signal?.aborted === true || performance.now() - started > budget;
  const bench = new TuningBench(gpu);
  let learned = false;
  try {
    for (const task of tasks) {
      if (!(await task.measure(bench, expired))) break;
      learned = true;
    }
    return learned;
  } finally {
    bench.dispose();
    onDone?.();
  }
}

/** What is not measured yet; what would need much memory beside the model stays by rule. */
function tasksOf<P extends TunedProblem, C>(gpu: Gpu, tuning: Tuning<P, C>): Task[] {
  const choices = tuning.choices(gpu);
  return choices
    .unmeasured()
    .filter((problem) => tuning.scratchBytes(problem) <= MOST_SCRATCH_BYTES)
    .map((problem) => ({
      cost: tuning.cost(problem),
      async measure(bench, expired) {
        if (expired()) return false;
        const candidates = tuning.candidates(problem, gpu);
        if (candidates.length === 1) {
          choices.set(problem, candidates[0]);
          return true;
        }
        const recorders = candidates.map(
          (choice) => (plan: PlanBuilder) => tuning.record(plan, problem, choice, bench.scratch),
        );
        const best = await bench.fastest(problem.rows, recorders, expired);
        if (best !== null) choices.set(problem, candidates[best]);
        return best !== null;
      },
    }));
}

type Record = (plan: PlanBuilder) => void;

class TuningBench {
  readonly scratch: Scratch;
  readonly #gpu: Gpu;
  readonly #step: GPUBuffer;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.scratch = new Scratch(gpu);
    this.#step = gpu.ledger.create({
      label: 'tuning step',
      size: uniformBytes(STEP_FIELDS),
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      category: 'staging',
    });
  }

  /** The index of the fastest; null where the time was over before all were measured. */
  async fastest(rows: number, recorders: readonly Record[], expired: () => boolean): Promise<number | null> {
    // All pipelines at once: drivers compile in parallel.
    await Promise.all(recorders.map((record) => this.#builder(rows, record, 1).compile()));
    const sample = (i: number, repeats: number) => this.#sample(rows, recorders[i], repeats);
    return fastest(recorders.length, sample, expired);
  }

  dispose(): void {
    this.scratch.dispose();
    this.#gpu.ledger.destroy(this.#step);
  }

  async #sample(rows: number, record: Record, repeats: number): Promise<number> {
    const gpu = this.#gpu;
    const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
    const values = Object.fromEntries(Object.keys(STEP_FIELDS).map((field) => [field, 1]));
    packUniform(STEP_FIELDS, { ...values, tokens: rows }, data, 0);
    gpu.device.queue.writeBuffer(this.#step, 0, data.buffer);
    const builder = this.#builder(rows, record, repeats);
    const arena = new Arena(gpu.ledger, [builder.layout()]);
    const plan = await builder.finish(arena, this.#step);
    try {
      const { gpu: ms, wall } = await plan.time(rows);
      return (ms ?? wall) / repeats;
    } finally {
      plan.dispose();
      arena.dispose();
    }
  }

  #builder(rows: number, record: Record, repeats: number): PlanBuilder {
    const plan = new PlanBuilder(this.#gpu, rows);
    for (let i = 0; i < repeats; i++) record(plan);
    return plan;
  }
}
