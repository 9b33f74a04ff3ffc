/** All plans of a run over one arena, with as many layers' activations kept as is asked for, or as there is room for. */
import { allocate, OutOfGpuMemoryError } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { GpuMemoryError, readable } from '../device/ledger.ts';
import type { Decoder } from '../model/decoder.ts';
import { Arena, arenaBytes } from '../plan/arena.ts';
import type { Plan } from '../plan/execution.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import { type TuningHooks, tune as tuneKernels } from '../tuning/tune.ts';
import { chooseKeptLayers, type KeepLayers, recomputedLayers } from './kept_layers.ts';
import { evaluationPlan, type OptimizerBuffers, optimizerPlan, trainPlan } from './plans.ts';

export interface PlanSet {
  readonly arena: Arena;
  readonly train: Plan;
  readonly evaluation: Plan;
  readonly optimizer: Plan;
  /** Layers that keep their activations; the others compute them again. */
  readonly keptLayers: number;
}

export interface PlanSetOptions {
  readonly decoder: Decoder;
  readonly optimizer: OptimizerBuffers;
  readonly stepUniform: GPUBuffer;
  /** The most tokens of a micro-batch. */
  readonly capacity: number;
  readonly keep: KeepLayers;
  readonly tune: TuningHooks | null;
  /** Frees memory of the optimizer where it can; true when there is more to plan with. */
  readonly pageMore?: () => Promise<boolean>;
}

/** A run's plans as recorded: what they need is known, nothing is allocated. */
export class PlanRecorder {
  readonly #gpu: Gpu;
  readonly #options: PlanSetOptions;
  readonly #others: readonly [evaluation: PlanBuilder, optimizer: PlanBuilder];
  readonly #train = new Map<number, PlanBuilder>();

  constructor(gpu: Gpu, options: PlanSetOptions) {
    const { decoder, optimizer, capacity } = options;
    const { logRing } = optimizer;
    this.#gpu = gpu;
    this.#options = options;
    this.#others = [evaluationPlan(gpu, decoder, logRing, capacity), optimizerPlan(gpu, decoder, optimizer)];
  }

  /** Training, evaluation, optimizer. */
  builders(kept: number): readonly [PlanBuilder, PlanBuilder, PlanBuilder] {
    const { decoder, optimizer, capacity } = this.#options;
    let train = this.#train.get(kept);
    if (!train) {
      const recomputed = recomputedLayers(decoder.spec.layers.length, kept);
      train = trainPlan(this.#gpu, decoder, optimizer.logRing, capacity, recomputed);
      this.#train.set(kept, train);
    }
    return [train, ...this.#others];
  }

  /** Bytes of the arena, activations and logits, where so many layers keep theirs: exactly what is then allocated. */
  bytes(kept: number): number {
    return arenaBytes(this.builders(kept).map((builder) => builder.layout()));
  }

  /** Makes the arena and the parameters' buffers on a device that only counts. */
  allocate(kept: number): void {
    const { ledger } = this.#gpu;
    new Arena(ledger, layoutsOf(this.builders(kept)));
    for (const builder of this.builders(kept)) builder.allocateParameters();
  }
}

/** How many layers keep their activations where memory is as `keep` says. */
export function keptLayersWithin(gpu: Gpu, recorder: PlanRecorder, layers: number, keep: KeepLayers): number {
  if ('layers' in keep) return Math.min(layers, keep.layers);
  const budget = 'bytes' in keep ? keep.bytes : keep.totalBytes - gpu.ledger.total();
  return chooseKeptLayers(layers, budget, (kept) => recorder.bytes(kept));
}

/** What a retry may need of what there was no room for. */
const LESS = 0.75;

/**
 * Where the device has no room for the layers that {@link KeepLayers} asks for, moments are paged if they may be, then fewer
 * layers are kept, down to none.
 *
 * @throws GpuMemoryError when there is no room even then.
 */
export async function makePlans(gpu: Gpu, options: PlanSetOptions): Promise<PlanSet> {
  const { decoder, stepUniform, keep, tune } = options;
  const layers = decoder.spec.layers.length;
  let recorder = new PlanRecorder(gpu, options);
  // Recording asks for variants; what asks is then measured, and recorded with what was learned.
  recorder.builders(layers);
  if (tune && (await tuneKernels(gpu, tune))) recorder = new PlanRecorder(gpu, options);
  const bytes = (kept: number) => recorder.bytes(kept);
  let keptLayers = keptLayersWithin(gpu, recorder, layers, keep);
  for (;;) {
    const builders = recorder.builders(keptLayers);
    try {
      const arena = await allocate(gpu, () => new Arena(gpu.ledger, layoutsOf(builders)));
      const [train, evaluation, optimizer] = await Promise.all(builders.map((b) => b.finish(arena, stepUniform)));
      return { arena, train, evaluation, optimizer, keptLayers };
    } catch (error) {
      if (!(error instanceof OutOfGpuMemoryError)) throw error;
      // Paging costs less than computing layers twice.
      if (await options.pageMore?.()) {
        recorder = new PlanRecorder(gpu, options);
        continue;
      }
      if (keptLayers === 0) throw noRoom(bytes(0), error);
      keptLayers = chooseKeptLayers(keptLayers - 1, LESS * bytes(keptLayers), bytes);
    }
  }
}

const layoutsOf = (builders: readonly PlanBuilder[]) => builders.map((builder) => builder.layout());

/** The optimizer's plan again, over the arena that it had: for other pages. */
export async function replaceOptimizer(gpu: Gpu, plans: PlanSet, options: PlanSetOptions): Promise<PlanSet> {
  const optimizer = await optimizerPlan(gpu, options.decoder, options.optimizer).finish(
    plans.arena,
    options.stepUniform,
  );
  plans.optimizer.dispose();
  return { ...plans, optimizer };
}

const noRoom = (bytes: number, cause: Error) =>
  new GpuMemoryError(
    `A step needs ${readable(bytes)} of GPU memory beside the model, with every layer computed again for the backward ` +
      'pass, and the GPU has no room for it. Lower max_length or per_device_train_batch_size, close other programs ' +
      'that use the GPU, or pick a smaller model.',
    { cause },
  );
