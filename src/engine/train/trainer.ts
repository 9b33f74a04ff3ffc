/** One training run's state on the GPU: adapter, optimizer and plans over a loaded model. Knows no files and no page. */
import { allocate, OutOfGpuMemoryError } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { MOMENT_BLOCK, momentPageBytes } from '../kernels/adamw.ts';
import { LOG_FIELDS } from '../kernels/cross_entropy.ts';
import { NO_UPDATE, packUniform, STEP_FIELDS, type StepValues, uniformBytes } from '../kernels/kernel.ts';
import type { Precision } from '../kernels/matmul_tile.ts';
import type { BoundAdapter, Decoder, Stored } from '../model/decoder.ts';
import { startDora } from '../model/dora.ts';
import { initialLora, type LoraInit, type LoraOptions, loraRuns } from '../model/lora.ts';
import type { ModelWeights } from '../model/weights.ts';
import { Arena } from '../plan/arena.ts';
import type { Plan } from '../plan/execution.ts';
import type { DispatchTime } from '../plan/profile.ts';
import type { ArenaTensor, BufferTensor } from '../plan/tensor.ts';
import type { TokenBatch } from '../token_batch.ts';
import type { TuningHooks } from '../tuning/tune.ts';
import { FlatState, type TensorValues } from './flat_state.ts';
import type { KeepLayers } from './kept_layers.ts';
import type { CapturedPage } from './paging/host_tier.ts';
import { Moments, type MomentsOptions, type PagingFigures } from './paging/moments.ts';
import type { TierBudgets } from './paging/pages.ts';
import { makePlans, type PlanSet, type PlanSetOptions, replaceOptimizer } from './plan_set.ts';
import { logitsPlan } from './plans.ts';
import { allocateInputs, allocateRun, LOG_SLOTS } from './run_buffers.ts';
import {
  bankBytes,
  copyParameters,
  PARAMETERS,
  ParameterPages,
  type RestoredPage,
  SnapshotMismatchError,
  type TrainerSnapshot,
  type TrainerState,
} from './snapshot.ts';

export interface OptimizerOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly maxGradNorm: number;
  /** LoRA+: the learning rate of B is this times A's. */
  readonly loraPlusRatio: number;
}

export interface TrainerOptions {
  /** Loaded weights; they outlive the trainer and are not disposed with it. */
  readonly model: ModelWeights;
  readonly lora: LoraOptions;
  /** Values by `model.layers.0.self_attn.q_proj.lora_A`; null starts as PEFT does, from `seed`. */
  readonly adapter: ReadonlyMap<string, TensorValues> | null;
  readonly seed: number;
  readonly init: LoraInit;
  /** The most tokens a micro-batch will have; one with more is planned for when it comes. */
  readonly capacity: number;
  /** The highest position + 1. */
  readonly positions: number;
  /** Layers that keep their activations for the backward pass; fewer where the device has no room for them. */
  readonly keepLayers: KeepLayers;
  /** What matmuls round their operands to; `f16` where the device multiplies matrices (see `gradient_check.ts`). */
  readonly precision: Precision;
  /** What linears and attention read and write lies in memory as; f32 unless given. */
  readonly stored?: Stored;
  /** Measures which variants are fastest where that is not known yet; null: they are chosen by rule. */
  readonly tune: TuningHooks | null;
  readonly optimizer: OptimizerOptions;
  /** How the moments are kept, and where. */
  readonly moments: MomentsOptions;
}

/** What the GPU logged of one optimizer step. */
export interface StepLog {
  /** From 1. */
  readonly step: number;
  /** Σ negative log likelihood over the window's trained tokens. */
  readonly lossSum: number;
  /** Trained tokens whose target was the likeliest. */
  readonly hits: number;
  /** Before clipping. */
  readonly gradNorm: number;
  readonly trainedTokens: number;
  readonly learningRate: number;
}

/** On the GPU as far as there is room and the budget; what may be paged is, where there is not. */
async function makeMoments(gpu: Gpu, { banks }: FlatState, options: MomentsOptions): Promise<Moments> {
  let { paging } = options;
  for (;;) {
    try {
      return await allocate(gpu, () => new Moments(gpu, banks, { ...options, paging }));
    } catch (error) {
      if (!(error instanceof OutOfGpuMemoryError) || !paging) throw error;
      const elements = banks.reduce((sum, bank) => sum + bank.elements, 0);
      const all = (momentPageBytes(options.bits, MOMENT_BLOCK) * elements) / MOMENT_BLOCK;
      paging = { ...paging, gpuBytes: Math.floor(Math.min(all, paging.gpuBytes) / 2) };
      // Less than two pages are refused: then it is this that failed.
      if (paging.gpuBytes < 2 * paging.pageBytes) throw error;
    }
  }
}

export class Trainer {
  readonly #gpu: Gpu;
  readonly #options: TrainerOptions;
  #decoder: Decoder;
  readonly #buffers: readonly GPUBuffer[];
  readonly #stepUniform: GPUBuffer;
  readonly #logRing: BufferTensor;
  readonly #moments: Moments;
  #planOptions: PlanSetOptions;
  /** Null when there was no room for what a longer batch needs: then the trainer can be read, and no more. */
  #planSet: PlanSet | null;
  #positions: number;
  #probe: { plan: Plan; arena: Arena; logits: ArenaTensor; capacity: number } | null = null;
  /** Of plans that longer batches have replaced. */
  #earlierDispatches: ReadonlyMap<string, number> = new Map();
  #steps = 0;
  #pending: { slot: number; log: Omit<StepLog, 'lossSum' | 'hits' | 'gradNorm'> }[] = [];
  #logged: StepLog[] = [];

  private constructor(
    gpu: Gpu,
    options: TrainerOptions,
    parts: {
      decoder: Decoder;
      buffers: readonly GPUBuffer[];
      stepUniform: GPUBuffer;
      logRing: BufferTensor;
      plans: PlanSet;
      planOptions: PlanSetOptions;
    },
  ) {
    this.#gpu = gpu;
    this.#options = options;
    this.#positions = options.positions;
    this.#decoder = parts.decoder;
    this.#buffers = parts.buffers;
    this.#stepUniform = parts.stepUniform;
    this.#logRing = parts.logRing;
    this.#planSet = parts.plans;
    this.#planOptions = parts.planOptions;
    this.#moments = parts.planOptions.optimizer.moments;
  }

  /**
   * Places the adapter beside the model and makes all plans.
   *
   * @throws GpuMemoryError; whatever was allocated is freed.
   */
  static async create(gpu: Gpu, options: TrainerOptions): Promise<Trainer> {
    const { capacity, model } = options;
    const { spec } = model;
    const before = new Set(gpu.ledger.buffers());
    try {
      const runs = loraRuns(spec, options.lora);
      const tensors = runs.flat();
      const state = await allocate(gpu, () => new FlatState(gpu, runs));
      const values = options.adapter ?? initialLora(tensors, options.seed, options.init);
      for (const { name } of tensors) {
        const tensor = values.get(name);
        if (!tensor) throw new Error(`the initial adapter has no ${name}`);
        state.write(name, tensor.data);
      }
      const moments = await makeMoments(gpu, state, options.moments);
      const { loraPlusRatio } = options.optimizer;
      const run = allocateRun(gpu, state, moments, { ...options, loraPlusRatio });
      const { decoder, optimizer, stepUniform, buffers } = run;
      await startDora(gpu, decoder, stepUniform, options.adapter === null);
      const { keepLayers: keep, tune } = options;
      const pageMore = () => moments.lowerByHalf();
      const planOptions = { decoder, optimizer, stepUniform, capacity, keep, tune, pageMore };
      const plans = await makePlans(gpu, planOptions);
      gpu.check();
      return new Trainer(gpu, options, {
        decoder,
        buffers,
        stepUniform,
        logRing: optimizer.logRing,
        plans,
        planOptions,
      });
    } catch (error) {
      for (const left of gpu.ledger.buffers()) if (!before.has(left)) gpu.ledger.destroy(left);
      throw error;
    }
  }

  /** Enqueues one optimizer step over an accumulation window. Its figures come with {@link readLog}. */
  async step(window: readonly TokenBatch[], learningRate: number): Promise<void> {
    if (this.#pending.length === LOG_SLOTS) await this.#drainLog();
    this.#moments.begin();
    const plans = await this.#plansFor(window);
    const { optimizer } = this.#options;
    const slot = this.#steps % LOG_SLOTS;
    const step = ++this.#steps;
    const trainedTokens = window.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const second = learningRate * optimizer.loraPlusRatio;
    const update: typeof NO_UPDATE = {
      decay: 1 - learningRate * optimizer.weightDecay,
      step_size: learningRate / (1 - optimizer.beta1 ** step),
      second_decay: 1 - second * optimizer.weightDecay,
      second_step_size: second / (1 - optimizer.beta1 ** step),
      inverse_sqrt_bias_correction2: 1 / Math.sqrt(1 - optimizer.beta2 ** step),
      beta1: optimizer.beta1,
      beta2: optimizer.beta2,
      one_minus_beta1: 1 - optimizer.beta1,
      one_minus_beta2: 1 - optimizer.beta2,
      epsilon: optimizer.epsilon,
      max_grad_norm: optimizer.maxGradNorm,
    };
    this.#decoder.state.clearGradients();
    for (const [i, batch] of window.entries()) {
      this.#writeBatch(batch, { ...update, log_slot: slot, micro_batch: i, inverse_trained_tokens: 1 / trainedTokens });
      await plans.train.run(batch.ids.length);
    }
    await plans.optimizer.run(1);
    this.#pending.push({ slot, log: { step, trainedTokens, learningRate } });
  }

  /** Figures of the steps enqueued since the last call; waits for the GPU. */
  async readLog(): Promise<StepLog[]> {
    await this.#drainLog();
    this.#gpu.check();
    return this.#logged.splice(0);
  }

  /** Σ negative log likelihood and trained tokens over batches, with the adapter as it stands. */
  async evaluate(
    batches: Iterable<TokenBatch> | AsyncIterable<TokenBatch>,
  ): Promise<{ lossSum: number; tokens: number }> {
    let tokens = 0;
    let first = true;
    for await (const batch of batches) {
      const values = { ...NO_UPDATE, log_slot: LOG_SLOTS, micro_batch: first ? 0 : 1, inverse_trained_tokens: 0 };
      const plans = await this.#plansFor([batch]);
      this.#writeBatch(batch, values);
      await plans.evaluation.run(batch.ids.length);
      tokens += batch.trainedTokens;
      first = false;
    }
    if (first) return { lossSum: 0, tokens: 0 };
    const line = await readBuffer(this.#gpu, this.#logRing.buffer, LOG_SLOTS * LOG_FIELDS * 4, LOG_FIELDS * 4);
    return { lossSum: new Float32Array(line)[0], tokens };
  }

  /** Logits [T, vocab] of one batch. */
  async logits(batch: TokenBatch): Promise<Float32Array> {
    const tokens = batch.ids.length;
    await this.#plansFor([batch]);
    if (!this.#probe || this.#probe.capacity < tokens) {
      this.#disposeProbe();
      const capacity = Math.min(this.#planOptions.capacity, Math.ceil(tokens / 64) * 64);
      const { plan, logits } = logitsPlan(this.#gpu, this.#decoder, capacity);
      const arena = await this.#withRoom(() => new Arena(this.#gpu.ledger, [plan.layout()]));
      this.#probe = { plan: await plan.finish(arena, this.#stepUniform), arena, logits, capacity };
    }
    const { plan, logits } = this.#probe;
    this.#writeBatch(batch, { ...NO_UPDATE, log_slot: LOG_SLOTS, micro_batch: 0, inverse_trained_tokens: 0 });
    await plan.run(tokens);
    const { buffer, offset } = plan.locate(logits);
    return new Float32Array(await readBuffer(this.#gpu, buffer, offset, tokens * this.#decoder.spec.vocabSize * 4));
  }

  /** Gradients of one batch's mean loss. The adapter and the moments stay as they are. */
  async gradients(batch: TokenBatch): Promise<Map<string, TensorValues>> {
    const plans = await this.#plansFor([batch]);
    this.#decoder.state.clearGradients();
    const inverse = 1 / batch.trainedTokens;
    this.#writeBatch(batch, { ...NO_UPDATE, log_slot: LOG_SLOTS, micro_batch: 0, inverse_trained_tokens: inverse });
    await plans.train.run(batch.ids.length);
    return this.#decoder.state.read('gradients');
  }

  /**
   * Every dispatch of one step over one batch, timed, at a learning rate of zero: for the bench. Counts as no step, but
   * the moments are lost.
   */
  async profile(batch: TokenBatch): Promise<DispatchTime[]> {
    const plans = await this.#plansFor([batch]);
    this.#decoder.state.clearGradients();
    const inverse = 1 / batch.trainedTokens;
    this.#writeBatch(batch, { ...NO_UPDATE, log_slot: LOG_SLOTS, micro_batch: 0, inverse_trained_tokens: inverse });
    const train = await plans.train.profile(batch.ids.length);
    return [...train, ...(await plans.optimizer.profile(1))];
  }

  /** The adapter where it lies, for what generates with it as it stands. It goes with the trainer. */
  get adapter(): BoundAdapter {
    const { state, lora, doraNorms } = this.#decoder;
    return { state, lora: { ...lora, dropout: 0 }, doraNorms };
  }

  /** Where the moments lie and what moved so far; null where all of them stay on the GPU. */
  get paging(): PagingFigures | null {
    return this.#moments.paged ? this.#moments.figures() : null;
  }

  /** Leaves the optimizer less memory from the next step on. Between two steps. */
  async lowerOptimizerBudgets(budgets: TierBudgets): Promise<void> {
    await this.#moments.lower(budgets);
    await this.#replaceOptimizer();
  }

  readAdapter(): Promise<Map<string, TensorValues>> {
    return this.#decoder.state.read('parameters');
  }

  /** The trained state after the steps enqueued so far. Between two steps; the caller disposes of it. */
  async snapshot(): Promise<TrainerSnapshot> {
    const { state, ropes } = this.#decoder;
    const parameters = await copyParameters(this.#gpu, state.banks);
    const moments = await this.#moments.capture();
    return {
      state: {
        steps: this.#steps,
        ropeLengths: ropes.map(({ length }) => length),
        bankBytes: bankBytes(state.banks),
        planned: { tokens: this.capacity, positions: this.#positions },
        zeroPages: moments.flatMap(({ name, version, bytes }) => (version || bytes ? [] : [name])),
      },
      async *pages() {
        yield* parameters.pages();
        for (const { name, bytes } of moments) if (bytes) yield { page: name, bytes };
      },
      versions: moments.flatMap(({ version }) => version ?? []),
      dispose: parameters.dispose,
    };
  }

  /**
   * Goes on from a snapshot, of a trainer with the same options, before the first step: from here on all figures are what they
   * would have been. Moments may come as versions of the run's store that are held for the trainer.
   *
   * @throws SnapshotMismatchError, and what `pages` throws; the trainer is then fit for nothing.
   */
  async restore(state: TrainerState, pages: AsyncIterable<RestoredPage>): Promise<void> {
    const { state: flat } = this.#decoder;
    const fits = state.ropeLengths.length === this.#decoder.ropes.length;
    if (`${state.bankBytes}` !== `${bankBytes(flat.banks)}` || !fits) {
      throw new SnapshotMismatchError('an adapter of another size');
    }
    const parameters = new ParameterPages(this.#gpu, flat.banks);
    const moments: CapturedPage[] = state.zeroPages.map((name) => ({ name, version: null, bytes: null }));
    for await (const { page, bytes, version } of pages) {
      if (page.startsWith(PARAMETERS)) parameters.write(page, bytes);
      else moments.push({ name: page, version, bytes });
    }
    parameters.finish();
    await this.#moments.restore(moments);
    if (state.planned) await this.#plansOf(state.planned.tokens, state.planned.positions);
    const { ropes } = this.#decoder;
    for (const [i, rope] of ropes.entries()) rope.remember(state.ropeLengths[i]);
    // Of A and B as they are now; the magnitudes came with the pages.
    await startDora(this.#gpu, this.#decoder, this.#stepUniform, false);
    this.#steps = state.steps;
  }

  /** How many of the model's layers keep their activations; the others compute them again. */
  get keptActivations(): { readonly layers: number; readonly of: number } {
    return { layers: this.#planSet?.keptLayers ?? 0, of: this.#decoder.spec.layers.length };
  }

  /** The most tokens that a micro-batch has room for: grows with longer ones. */
  get capacity(): number {
    return this.#planOptions.capacity;
  }

  /** Dispatches by kernel since the start or the last reset. */
  get dispatchCounts(): ReadonlyMap<string, number> {
    const counts = new Map(this.#earlierDispatches);
    for (const plan of this.#plans()) {
      for (const [name, n] of plan.dispatchCounts) counts.set(name, (counts.get(name) ?? 0) + n);
    }
    return counts;
  }

  resetDispatchCounts(): void {
    this.#earlierDispatches = new Map();
    for (const plan of this.#plans()) plan.dispatchCounts.clear();
  }

  dispose(): void {
    this.#disposePlans();
    for (const { buffer } of Object.values(this.#decoder.inputs)) this.#gpu.ledger.destroy(buffer);
    for (const buffer of this.#buffers) this.#gpu.ledger.destroy(buffer);
    for (const rope of this.#decoder.ropes) rope.dispose();
    this.#moments.dispose();
    this.#decoder.state.dispose();
    if (this.#decoder.doraNorms) this.#gpu.ledger.destroy(this.#decoder.doraNorms.tensor.buffer);
  }

  /** Allocates; where there is no room, moments make some by being paged. */
  async #withRoom<T>(make: () => T): Promise<T> {
    for (;;) {
      try {
        return await allocate(this.#gpu, make);
      } catch (error) {
        if (!(error instanceof OutOfGpuMemoryError) || !(await this.#moments.lowerByHalf())) throw error;
        await this.#replaceOptimizer();
      }
    }
  }

  async #replaceOptimizer(): Promise<void> {
    if (this.#planSet) this.#planSet = await replaceOptimizer(this.#gpu, this.#planSet, this.#planOptions);
  }

  /**
   * The plans, made anew where a batch is longer than any before: moments are paged then, and layers computed twice, as far
   * as the room for it takes. Between two micro-batches.
   *
   * @throws GpuMemoryError where there is no room even then.
   */
  #plansFor(batches: readonly TokenBatch[]): Promise<PlanSet> {
    return this.#plansOf(Math.max(...batches.map(({ ids }) => ids.length)), Math.max(...batches.map(lengthOf)));
  }

  async #plansOf(tokens: number, positions: number): Promise<PlanSet> {
    if (this.#planSet && tokens <= this.capacity && positions <= this.#positions) return this.#planSet;
    const capacity = Math.max(tokens, this.capacity);
    const { inputs, ropes } = this.#decoder;
    // All that depends on the length goes first: there may be no room for both.
    this.#earlierDispatches = this.dispatchCounts;
    this.#disposePlans();
    const decoder = await this.#withRoom(() => ({
      ...this.#decoder,
      inputs: allocateInputs(this.#gpu, capacity),
      ropes: positions > this.#positions ? ropes.map((rope) => rope.longer(positions)) : ropes,
    }));
    for (const { buffer } of Object.values(inputs)) this.#gpu.ledger.destroy(buffer);
    if (decoder.ropes !== ropes) for (const rope of ropes) rope.dispose();
    this.#decoder = decoder;
    this.#positions = Math.max(positions, this.#positions);
    // Nothing is measured in the middle of a run.
    this.#planOptions = { ...this.#planOptions, decoder, capacity, tune: null };
    this.#planSet = await makePlans(this.#gpu, this.#planOptions);
    return this.#planSet;
  }

  #plans(): Plan[] {
    const { train, evaluation, optimizer } = this.#planSet ?? {};
    return [train, evaluation, optimizer, this.#probe?.plan].filter((plan) => plan !== undefined);
  }

  #disposePlans(): void {
    this.#disposeProbe();
    for (const plan of this.#plans()) plan.dispose();
    this.#planSet?.arena.dispose();
    this.#planSet = null;
  }

  #disposeProbe(): void {
    this.#probe?.plan.dispose();
    this.#probe?.arena.dispose();
    this.#probe = null;
  }

  #writeBatch(batch: TokenBatch, values: Omit<StepValues, 'tokens' | 'seed' | 'number'>): void {
    const tokens = batch.ids.length;
    const { queue } = this.#gpu.device;
    const { inputs } = this.#decoder;
    const write = (tensor: BufferTensor, data: Uint32Array | Int32Array) =>
      queue.writeBuffer(tensor.buffer, tensor.offset, data as Uint32Array<ArrayBuffer>);
    write(inputs.ids, batch.ids);
    write(inputs.targets, batch.targets);
    write(inputs.positions, batch.positions);
    write(inputs.documents, batch.documents);
    const length = lengthOf(batch);
    for (const rope of this.#decoder.ropes) rope.fit(length);
    const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
    packUniform(STEP_FIELDS, { ...values, tokens, seed: this.#options.seed, number: this.#steps }, data, 0);
    queue.writeBuffer(this.#stepUniform, 0, data.buffer);
  }

  async #drainLog(): Promise<void> {
    if (this.#pending.length === 0) return;
    const pending = this.#pending.splice(0);
    const ring = new Float32Array(await readBuffer(this.#gpu, this.#logRing.buffer, 0, LOG_SLOTS * LOG_FIELDS * 4));
    for (const { slot, log } of pending) {
      const [lossSum, hits, gradNorm] = ring.subarray(slot * LOG_FIELDS);
      this.#logged.push({ ...log, lossSum, hits, gradNorm });
    }
  }
}

/** The highest position of a batch + 1. */
const lengthOf = ({ positions }: TokenBatch) => positions.reduce((most, position) => Math.max(most, position + 1), 0);
