/** From a prepared run to a model and a trainer on the GPU. */
import type { Gpu } from '../engine/device/gpu.ts';
import type { Precision } from '../engine/kernels/matmul_tile.ts';
import type { Stored } from '../engine/model/decoder.ts';
import { type LoadingProgress, ModelWeights } from '../engine/model/weights.ts';
import type { PageStore } from '../engine/page_store.ts';
import { KEEP_ALL, KEEP_NONE, type KeepLayers } from '../engine/train/kept_layers.ts';
import type { MomentsOptions } from '../engine/train/paging/moments.ts';
import { Trainer, type TrainerOptions } from '../engine/train/trainer.ts';
import type { AdaptedLinear } from '../formats/lora.ts';
import type { AdapterTensor, PeftAdapter } from '../formats/peft.ts';
import type { LoraConfig, QuantizationConfig, TrainingConfig } from '../formats/run_config.ts';
import type { PreparedRun } from './prepare_run.ts';

export interface RunSizes {
  readonly capacity: number;
  readonly positions: number;
  /** Instead of what the run's settings say. */
  readonly keepLayers?: KeepLayers;
  /** Both f32 unless given. */
  readonly precision?: Precision;
  readonly stored?: Stored;
  /** Where pages of a paged optimizer go that fit neither GPU nor host memory. */
  readonly pageStore?: PageStore;
}

/** `stored=` of a bench's variant or a parity case's; without it what goes with the precision, as in the studio. */
export const storedOf = ({ stored }: { readonly stored?: string }, precision: Precision): Stored =>
  stored === 'f16' || stored === 'f32' ? stored : precision;

export interface TrainerSettings {
  readonly lora: LoraConfig;
  readonly training: TrainingConfig;
  readonly adapters: ReadonlyMap<string, AdaptedLinear>;
  readonly adapter: PeftAdapter | null;
}

export function trainerOptions(model: ModelWeights, run: TrainerSettings, sizes: RunSizes): TrainerOptions {
  const { lora, training, adapters, adapter } = run;
  return {
    model,
    lora: { adapters, dora: lora.use_dora, dropout: lora.lora_dropout },
    adapter: adapter && ownBuffers(adapter.tensors),
    seed: training.seed,
    init: lora.init_lora_weights,
    capacity: sizes.capacity,
    positions: sizes.positions,
    keepLayers: sizes.keepLayers ?? keepLayers(training),
    precision: sizes.precision ?? 'f32',
    stored: sizes.stored,
    moments: momentsOptions(training, sizes.pageStore ?? null),
    // A run from the command line computes the same whatever was measured before.
    tune: null,
    optimizer: {
      beta1: training.adam_beta1,
      beta2: training.adam_beta2,
      epsilon: training.adam_epsilon,
      weightDecay: training.weight_decay,
      maxGradNorm: training.max_grad_norm,
      loraPlusRatio: training.loraplus_lr_ratio,
    },
  };
}

/** Bytes of a page: docs/paged-optimizer.md has how larger and smaller ones do. */
const PAGE_BYTES = 4 * 2 ** 20;

/** How `optim` says that the moments are kept. */
export function momentsOptions(training: TrainingConfig, store: PageStore | null): MomentsOptions {
  const { optim, optimizer_memory_budget: gpuBytes, optimizer_host_memory_budget: hostBytes } = training;
  const bits = optim.endsWith('8bit') ? 8 : 32;
  if (!optim.startsWith('paged')) return { bits, paging: null };
  const all = Number.POSITIVE_INFINITY;
  // Some pages at least fit any budget.
  const pageBytes = training.optimizer_page_size ?? Math.min(PAGE_BYTES, Math.floor((gpuBytes ?? all) / 4));
  return { bits, paging: { pageBytes, gpuBytes: gpuBytes ?? all, hostBytes: hostBytes ?? all, store } };
}

/** As the settings say. */
export function keepLayers({ gradient_checkpointing, activation_memory_budget }: TrainingConfig): KeepLayers {
  if (gradient_checkpointing) return KEEP_NONE;
  return activation_memory_budget === undefined ? KEEP_ALL : { bytes: activation_memory_budget };
}

export const quantizationOptions = (quantization: QuantizationConfig) => ({
  quantType: quantization.bnb_4bit_quant_type,
  doubleQuant: quantization.bnb_4bit_use_double_quant,
  tablesInBytes: quantization.embeddings_in_8bit,
  budget: quantization.weight_memory_budget,
  hostBudget: quantization.weight_host_memory_budget,
});

/** Loads the model, makes the trainer, runs `use` and disposes of both. */
export async function withTrainer<T>(
  gpu: Gpu,
  run: PreparedRun,
  sizes: RunSizes,
  hooks: { readonly signal: AbortSignal; readonly onLoading: (progress: LoadingProgress) => void },
  use: (trainer: Trainer, model: ModelWeights) => Promise<T>,
): Promise<T> {
  const { config, spec, checkpoint, adapters, adapter } = run;
  const model = await ModelWeights.load(gpu, spec, checkpoint, {
    ...quantizationOptions(config.quantization),
    ...hooks,
  });
  try {
    const settings = { lora: config.lora, training: config.training, adapters, adapter };
    const trainer = await Trainer.create(gpu, trainerOptions(model, settings, sizes));
    try {
      return await use(trainer, model);
    } finally {
      trainer.dispose();
    }
  } finally {
    model.dispose();
  }
}

/** The engine takes arrays that own their memory, so that they can be handed to the GPU as they are. */
export function ownBuffers(tensors: ReadonlyMap<string, AdapterTensor>): NonNullable<TrainerOptions['adapter']> {
  return new Map([...tensors].map(([name, { shape, data }]) => [name, { shape, data: new Float32Array(data) }]));
}
