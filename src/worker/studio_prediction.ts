/** How much memory and disk a run with these settings would take, over a model that need not be downloaded yet. */
import { assumedMemoryBytes } from '../engine/device/allocation.ts';
import type { Capabilities } from '../engine/device/capabilities.ts';
import { GpuMemoryError } from '../engine/device/ledger.ts';
import { MOST_SEQUENCES } from '../engine/generate/generator.ts';
import { WeightBudgetError } from '../engine/model/weights.ts';
import { KEEP_ALL } from '../engine/train/kept_layers.ts';
import { OptimizerBudgetError } from '../engine/train/paging/pages.ts';
import { type ModelMemory, type PredictedMemory, predictMemory } from '../engine/train/predict_memory.ts';
import { adaptedLinears } from '../formats/lora.ts';
import type { LoraConfig, QuantizationConfig, TrainingConfig } from '../formats/run_config.ts';
import { contextFor } from './studio_generate.ts';
import type { InspectedModel } from './studio_model.ts';
import type { MemoryRemedy, SampleSettings } from './studio_protocol.ts';
import { keepLayers, momentsOptions } from './trainer_options.ts';

/** The memory of a model that is to be loaded with these settings. */
export function heldAs(
  { memory, stored }: Pick<InspectedModel, 'memory' | 'stored'>,
  quantization: QuantizationConfig,
): ModelMemory {
  const doubleQuant = stored ? memory.doubleQuant : quantization.bnb_4bit_use_double_quant;
  const tableDtype = quantization.embeddings_in_8bit ? 'I8' : memory.tableDtype;
  const { weight_memory_budget: budget, weight_host_memory_budget: hostBudget } = quantization;
  return { ...memory, doubleQuant, tableDtype, budget, ...(hostBudget !== undefined && { hostBudget }) };
}

/** What a run is predicted from, beside the model. */
export interface PredictedRun {
  readonly lora: LoraConfig;
  readonly training: TrainingConfig;
  readonly samples?: SampleSettings | null;
}

/** Bytes of its weights in the cache. */
export const cachedModelBytes = (capabilities: Capabilities, model: ModelMemory): number =>
  predictMemory(capabilities, { ...model, budget: undefined }, null).bytes.weights;

/**
 * An upper bound where the rows are not known: batches are taken to be as long as max_length, or as the longest row.
 * Throws the named errors of `adaptedLinears` and `predictMemory`.
 */
export function predictStudioRun(
  capabilities: Capabilities,
  model: ModelMemory,
  { lora, training, samples = null }: PredictedRun,
  longest: number | null,
): PredictedMemory {
  const positions = training.packing
    ? training.max_length
    : Math.min(training.max_length, longest ?? training.max_length);
  return predictMemory(capabilities, model, {
    lora: { adapters: adaptedLinears(model.spec, lora), dora: lora.use_dora, dropout: lora.lora_dropout },
    capacity: positions * training.per_device_train_batch_size,
    positions,
    precision: 'f32',
    keep: studioKeepLayers(capabilities, training),
    loraPlusRatio: training.loraplus_lr_ratio,
    moments: momentsOptions(training, null),
    samples: samples && sampleSizes(samples),
  });
}

/** Tokens that a sample prompt is taken to have with its template: it is not tokenized before a model is loaded. */
const PROMPT_TOKENS = 48;

function sampleSizes({ prompts, max_new_tokens }: SampleSettings) {
  const sequences = Math.min(MOST_SEQUENCES, prompts.length);
  return { sequences, context: contextFor(PROMPT_TOKENS + max_new_tokens), promptTokens: sequences * PROMPT_TOKENS };
}

/** Where nobody has said what may be used: no more than a page may count on. */
export function studioKeepLayers(capabilities: Capabilities, training: TrainingConfig) {
  const keep = keepLayers(training);
  return keep === KEEP_ALL ? { totalBytes: assumedMemoryBytes(capabilities.maxBufferBytes) } : keep;
}

const floorMegabytes = (bytes: number) => Math.floor(bytes / 1e6) * 1e6;

/** Parameters of dispatches and what else is not counted when layers that keep their activations fill the room. */
const SLACK = 1.02;

/** GPU memory through which pages leave it. */
const WAY_OUT_BYTES = 34e6;

/** Pages of 4 MiB that the moments keep on the GPU at least, when a budget is chosen for them here. */
const LEAST_MOMENTS_BYTES = 16 * 2 ** 20;

/**
 * Where a run needs more than a page may count on: the settings with which it would not, the cheapest first. Moments leave the
 * GPU, else layers are streamed, else both. Null where it fits; `settings` null where nothing of that is enough.
 */
export function memoryRemedy(
  capabilities: Capabilities,
  model: ModelMemory,
  run: PredictedRun,
  longest: number | null,
  predicted: PredictedMemory,
): MemoryRemedy | null {
  const room = assumedMemoryBytes(capabilities.maxBufferBytes);
  const over = (memory: PredictedMemory | null) => (memory ? memory.total - SLACK * room : Number.POSITIVE_INFINITY);
  if (over(predicted) <= 0) return null;
  const predict = (settings: Settings): PredictedMemory | null => {
    const { weight_memory_budget: budget = model.budget, ...moments } = settings;
    const training = { ...run.training, ...moments };
    try {
      return predictStudioRun(capabilities, { ...model, budget }, { ...run, training }, longest);
    } catch (error) {
      const known = [WeightBudgetError, OptimizerBudgetError, GpuMemoryError].some((kind) => error instanceof kind);
      if (known) return null;
      throw error;
    }
  };
  const paged = (by: number): Settings => {
    const { optim, optimizer_memory_budget: before = Number.POSITIVE_INFINITY } = run.training;
    const bytes = Math.max(LEAST_MOMENTS_BYTES, floorMegabytes(predicted.bytes.optimizer - by - WAY_OUT_BYTES));
    return {
      optim: optim.endsWith('8bit') ? 'paged_adamw_8bit' : 'paged_adamw_32bit',
      optimizer_memory_budget: Math.min(before, bytes),
    };
  };
  const streamed = (by: number): Settings => ({
    weight_memory_budget: floorMegabytes(predicted.bytes.weights - by),
  });
  const least = paged(Number.POSITIVE_INFINITY);
  const candidates = [
    () => paged(over(predicted)),
    () => streamed(over(predicted)),
    () => ({ ...least, ...streamed(over(predict(least))) }),
  ];
  for (const candidate of candidates) {
    const settings = candidate();
    if (!((settings.weight_memory_budget ?? 1) > 0)) continue;
    if (over(predict(settings)) <= 0) return { neededBytes: predicted.total, roomBytes: room, settings };
  }
  return { neededBytes: predicted.total, roomBytes: room, settings: null };
}

type Settings = NonNullable<MemoryRemedy['settings']>;
