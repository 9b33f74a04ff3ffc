/** A short measurement of the tiles and splits that may be fastest for a plan's matmuls. On zeros: their times compare as others' do. */
import type { Gpu } from '../device/gpu.ts';
import { packUniform, STEP_FIELDS, uniformBytes } from '../kernels/kernel.ts';
import { matmulDense } from '../kernels/matmul_dense.ts';
import { matmulNf4 } from '../kernels/matmul_nf4.ts';
import {
  ALL_TILES,
  isMatrix,
  type MatmulShape,
  SOFTWARE,
  TABLE_BYTES,
  type Tile,
  tileBytes,
} from '../kernels/matmul_tile.ts';
import { Arena } from '../plan/arena.ts';
import { PlanBuilder } from '../plan/plan.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import type { MatmulProblem } from './matmul_choices.ts';

/** Milliseconds a sample should take, and the measurements of all problems together: what they leave stays by rule. */
const SAMPLE_MS = 3;
const BUDGET_MS = 2500;

/** Bytes of operands and partial sums that may be allocated for measuring; they are freed before a plan's own. */
const MOST_SCRATCH_BYTES = 256 * 2 ** 20;

const widthOf = ({ widths }: MatmulProblem) => widths.reduce((sum, width) => sum + width, 0);
const weightBytes = (problem: MatmulProblem) =>
  // Half a byte a weight and its scales, or two bytes.
  problem.depth * widthOf(problem) * (problem.op.startsWith('matmul_nf4') ? 0.75 : 2) + 8192;
const scratchBytes = (problem: MatmulProblem) =>
  problem.rows * (problem.depth + 4 * widthOf(problem)) * 4 + weightBytes(problem);

/** Shapes worth measuring: those that waste little and fill a GPU of any size in one to some rounds. */
export function candidates(problem: MatmulProblem, storageBytes: number): MatmulShape[] {
  const { op, rows, widths, depth, precision } = problem;
  const alongK = !op.endsWith('dx');
  const shapes: MatmulShape[] = [];
  for (const tile of Object.values<Tile>(ALL_TILES)) {
    if (tile === SOFTWARE || isMatrix(tile) !== (precision === 'f16')) continue;
    // Blocks that hasMatrices has asked the device for.
    if (isMatrix(tile) && tile.MAT_N !== 16) continue;
    if (tileBytes(tile, alongK) + TABLE_BYTES > storageBytes) continue;
    const tiles = Math.ceil(rows / tile.TILE_M) * widths.reduce((sum, w) => sum + Math.ceil(w / tile.TILE_N), 0);
    if ((tiles * tile.TILE_M * tile.TILE_N) / (rows * widthOf(problem)) > 1.34) continue;
    for (const splits of [1, 2, 3, 4, 6, 8, 12, 16]) {
      const workgroups = tiles * splits;
      if (splits > 1 && (depth / splits < 128 || workgroups > 1600)) continue;
      if (workgroups >= 48 || splits === 1) shapes.push({ tile, splits });
    }
  }
  return shapes;
}

/** Told when a measurement begins and has ended; an aborted one ends early, with what it knows by then. */
export interface TuningHooks {
  readonly onMeasure?: () => void;
  readonly onDone?: () => void;
  readonly signal?: AbortSignal;
}

/**
 * Measures the device's unmeasured problems and keeps the best shape of each. Returns whether anything was learned: then
 * plans must be recorded again. Does nothing where a CPU plays the GPU.
 */
export async function tuneMatmuls(gpu: Gpu, { onMeasure, onDone, signal }: TuningHooks = {}): Promise<boolean> {
  if (gpu.capabilities.software) return false;
  // What costs most first; what would need much memory beside the model stays by rule.
  const cost = (problem: MatmulProblem) => problem.rows * problem.depth * widthOf(problem);
  const problems = gpu.matmulChoices
    .unmeasured()
    .filter((problem) => scratchBytes(problem) <= MOST_SCRATCH_BYTES)
    .sort((a, b) => cost(b) - cost(a));
  if (problems.length === 0) return false;
  onMeasure?.();
  const started = performance.now();
  const bench = new MatmulBench(gpu, problems);
  let learned = false;
  try {
    for (const problem of problems) {
      const shapes = candidates(problem, gpu.capabilities.workgroupStorageBytes);
      await bench.compile(problem, shapes);
      let best: { shape: MatmulShape; ms: number } | null = null;
      for (const shape of shapes) {
        if (signal?.aborted || performance.now() - started > BUDGET_MS) return learned;
        const ms = await bench.time(problem, shape, best?.ms ?? null);
        if (!best || ms < best.ms) best = { shape, ms };
      }
      if (best) {
        gpu.matmulChoices.set(problem, best.shape);
        learned = true;
      }
    }
    return learned;
  } finally {
    bench.dispose();
    onDone?.();
  }
}

/** Buffers as large as the largest problem needs, shared by all. */
class MatmulBench {
  readonly #gpu: Gpu;
  readonly #step: GPUBuffer;
  readonly #x: BufferTensor;
  readonly #weight: BufferTensor;
  readonly #y: BufferTensor;

  constructor(gpu: Gpu, problems: readonly MatmulProblem[]) {
    this.#gpu = gpu;
    const most = (bytes: (problem: MatmulProblem) => number) => Math.max(...problems.map(bytes));
    const buffer = (label: string, size: number, usage: GPUBufferUsageFlags) =>
      gpu.ledger.create({ label, size, usage: usage | GPUBufferUsage.COPY_DST, category: 'staging' });
    const storage = (label: string, bytes: number) =>
      bufferTensor(label, buffer(label, Math.ceil(bytes / 256) * 256, GPUBufferUsage.STORAGE));
    this.#step = buffer('tuning step', uniformBytes(STEP_FIELDS), GPUBufferUsage.UNIFORM);
    this.#x = storage(
      'tuning x',
      most(({ rows, depth }) => rows * depth * 4),
    );
    this.#y = storage(
      'tuning y',
      most((problem) => problem.rows * widthOf(problem) * 4),
    );
    this.#weight = storage('tuning weight', most(weightBytes));
  }

  /** All pipelines at once: drivers compile in parallel. */
  async compile(problem: MatmulProblem, shapes: readonly MatmulShape[]): Promise<void> {
    await Promise.all(shapes.map((shape) => this.#record(problem, shape, 1).compile()));
  }

  /** Milliseconds; a shape that is clearly slower than the best so far is not measured twice. */
  async time(problem: MatmulProblem, shape: MatmulShape, best: number | null): Promise<number> {
    const one = await this.#sample(problem, shape, 1);
    if (best !== null && one > 1.6 * best) return one;
    const repeats = Math.max(1, Math.min(32, Math.round(SAMPLE_MS / Math.max(one, 0.01))));
    const samples = [await this.#sample(problem, shape, repeats), await this.#sample(problem, shape, repeats)];
    return Math.min(...samples);
  }

  dispose(): void {
    for (const buffer of [this.#step, this.#x.buffer, this.#y.buffer, this.#weight.buffer])
      this.#gpu.ledger.destroy(buffer);
  }

  #record(problem: MatmulProblem, shape: MatmulShape, repeats: number): PlanBuilder {
    const { op, rows, widths, depth } = problem;
    const plan = new PlanBuilder(this.#gpu, rows);
    const width = widthOf(problem);
    const x = { tensor: this.#x, stride: depth, at: 0 };
    const y = { tensor: this.#y, stride: width, at: 0 };
    for (let i = 0; i < repeats; i++) {
      if (op === 'matmul_nf4' || op === 'matmul_nf4_dx') {
        const transposed = op === 'matmul_nf4_dx';
        const outputs = transposed ? [depth] : widths;
        const inFeatures = transposed ? width : depth;
        let codesAt = 512;
        const linears = outputs.map((outFeatures) => {
          const linear = { codesAt, absmaxAt: 512, nestedAt: 512, biasAt: null, inFeatures, outFeatures };
          codesAt += Math.ceil((inFeatures * outFeatures) / 8);
          return linear;
        });
        const group = {
          slab: this.#weight,
          doubleQuant: true,
          floats: null,
          linears,
          inFeatures,
          outFeatures: outputs.reduce((sum, w) => sum + w, 0),
        };
        matmulNf4(plan, { x, y, group, transposed, shape });
      } else {
        const transposed = op === 'matmul_dense_dx';
        matmulDense(plan, { x, y, weight: this.#weight, dtype: 'BF16', depth, width, transposed, shape });
      }
    }
    return plan;
  }

  async #sample(problem: MatmulProblem, shape: MatmulShape, repeats: number): Promise<number> {
    const gpu = this.#gpu;
    const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
    const values = Object.fromEntries(Object.keys(STEP_FIELDS).map((field) => [field, 1]));
    packUniform(STEP_FIELDS, { ...values, tokens: problem.rows }, data, 0);
    gpu.device.queue.writeBuffer(this.#step, 0, data.buffer);
    const builder = this.#record(problem, shape, repeats);
    const arena = new Arena(gpu.ledger, [builder.layout()]);
    const plan = await builder.finish(arena, this.#step);
    try {
      const { gpu: ms, wall } = await plan.time(problem.rows);
      return (ms ?? wall) / repeats;
    } finally {
      plan.dispose();
      arena.dispose();
    }
  }
}
