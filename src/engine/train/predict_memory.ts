/** How much GPU memory a run will take, before anything is downloaded or allocated. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import type { Capabilities } from '../device/capabilities.ts';
import { dryGpu } from '../device/dry_gpu.ts';
import type { MemoryCategory } from '../device/ledger.ts';
import { reserveGenerator } from '../generate/generator.ts';
import type { Precision } from '../kernels/matmul_tile.ts';
import { type LoraOptions, loraRuns } from '../model/lora.ts';
import { ModelWeights } from '../model/weights.ts';
import type { FloatDtype } from '../weight_source.ts';
import { FlatState } from './flat_state.ts';
import type { KeepLayers } from './kept_layers.ts';
import { keptLayersWithin, PlanRecorder } from './plan_set.ts';
import { allocateRun } from './run_buffers.ts';

export interface ModelMemory {
  readonly spec: ModelSpec;
  readonly doubleQuant: boolean;
  /** Of the embedding and the head, as the checkpoint has them. */
  readonly tableDtype: FloatDtype;
}

export interface RunMemory {
  readonly lora: LoraOptions;
  /** The most tokens a micro-batch will have. */
  readonly capacity: number;
  readonly positions: number;
  readonly precision: Precision;
  readonly keep: KeepLayers;
  readonly loraPlusRatio: number;
  /** What is generated between steps: so many texts at a time, of so many tokens, after prompts of so many together. */
  readonly samples?: { readonly sequences: number; readonly context: number; readonly promptTokens: number } | null;
}

export interface PredictedMemory {
  /** Bytes. */
  readonly bytes: Readonly<Record<MemoryCategory, number>>;
  readonly total: number;
  /** Layers that keep their activations. */
  readonly keptLayers: number;
}

/**
 * The ledger's bytes while a run trains: the same code asks a device that only counts for the same buffers, so that it
 * is right to the byte where the device at hand has these capabilities and no measured choice of variants. Staging while
 * weights load, and what reading back takes, is not in it.
 *
 * @param run null: the model alone
 * @throws GpuMemoryError, RangeError where the device's limits forbid what the run needs in one piece.
 */
export function predictMemory(capabilities: Capabilities, model: ModelMemory, run: RunMemory | null): PredictedMemory {
  const gpu = dryGpu(capabilities);
  const weights = ModelWeights.blank(gpu, model.spec, model.doubleQuant, model.tableDtype);
  let keptLayers = 0;
  if (run) {
    const state = new FlatState(gpu, loraRuns(model.spec, run.lora));
    const { decoder, optimizer, stepUniform } = allocateRun(gpu, state, { ...run, model: weights });
    const { capacity, keep } = run;
    const recorder = new PlanRecorder(gpu, { decoder, optimizer, stepUniform, capacity, keep, tune: null });
    keptLayers = keptLayersWithin(gpu, recorder, model.spec.layers.length, keep);
    recorder.allocate(keptLayers);
    if (run.samples) {
      const { promptTokens, ...sizes } = run.samples;
      reserveGenerator(gpu, { model: weights, adapter: decoder, ...sizes }, promptTokens);
    }
  }
  return { bytes: gpu.ledger.byCategory(), total: gpu.ledger.total(), keptLayers };
}
