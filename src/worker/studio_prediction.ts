/** How much GPU memory a run with these settings would take, over a model that need not be downloaded yet. */
import { assumedMemoryBytes } from '../engine/device/allocation.ts';
import type { Capabilities } from '../engine/device/capabilities.ts';
import { MOST_SEQUENCES } from '../engine/generate/generator.ts';
import { KEEP_ALL } from '../engine/train/kept_layers.ts';
import { type ModelMemory, type PredictedMemory, predictMemory } from '../engine/train/predict_memory.ts';
import { adaptedLinears } from '../formats/lora.ts';
import type { LoraConfig, QuantizationConfig, TrainingConfig } from '../formats/run_config.ts';
import { contextFor } from './studio_generate.ts';
import type { InspectedModel } from './studio_model.ts';
import type { SampleSettings } from './studio_protocol.ts';
import { keepLayers, momentsOptions } from './trainer_options.ts';

/** The memory of a model that is to be loaded with these settings. */
export function heldAs(
  { memory, stored }: Pick<InspectedModel, 'memory' | 'stored'>,
  quantization: QuantizationConfig,
): ModelMemory {
  const doubleQuant = stored ? memory.doubleQuant : quantization.bnb_4bit_use_double_quant;
  return { ...memory, doubleQuant, tableDtype: quantization.embeddings_in_8bit ? 'I8' : memory.tableDtype };
}

/**
 * An upper bound where the rows are not known: batches are taken to be as long as max_length, or as the longest row.
 * Throws the named errors of `adaptedLinears` and `predictMemory`.
 */
export function predictStudioRun(
  capabilities: Capabilities,
  model: ModelMemory,
  {
    lora,
    training,
    samples = null,
  }: { readonly lora: LoraConfig; readonly training: TrainingConfig; readonly samples?: SampleSettings | null },
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
