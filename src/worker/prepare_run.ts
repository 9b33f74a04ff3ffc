/**
 * Everything a run needs before it asks for a GPU: so that whatever is wrong with the model, the data or the adapter is
 * said at once, and on a machine without one.
 */
import type { Example } from '../data/batch.ts';
import { type BatchPlan, planBatches } from '../data/batching.ts';
import { type PreparedDataset, prepareDataset } from '../data/prepare.ts';
import { Tokenizer } from '../data/tokenizer.ts';
import { checkCheckpoint } from '../formats/check_checkpoint.ts';
import { type Checkpoint, openCheckpoint } from '../formats/checkpoint.ts';
import { type AdaptedLinear, adaptedLinears } from '../formats/lora.ts';
import { readModelConfig } from '../formats/model_config.ts';
import type { ModelSpec } from '../formats/model_spec.ts';
import { checkAdapter, type PeftAdapter, readPeftAdapter } from '../formats/peft.ts';
import type { RunConfig } from '../formats/run_config.ts';
import { containedChat } from './contained_chat.ts';
import type { Locator } from './locations.ts';
import type { DataSummary } from './protocol.ts';

export class VocabularyMismatchError extends Error {
  override name = 'VocabularyMismatchError';
}

export interface PreparedRun {
  readonly config: RunConfig;
  readonly spec: ModelSpec;
  readonly checkpoint: Checkpoint;
  readonly tokenizer: Tokenizer;
  readonly adapters: ReadonlyMap<string, AdaptedLinear>;
  readonly adapter: PeftAdapter | null;
  readonly plan: BatchPlan;
  readonly evalPlan: BatchPlan | null;
  readonly summary: DataSummary;
  /** Most tokens that a micro-batch of any epoch can have. */
  readonly capacity: number;
  /** Highest position + 1. */
  readonly positions: number;
}

/** Rejects with the named errors of `formats` and `data`; the first thing that is wrong, in the order it is used. */
export async function prepareRun(config: RunConfig, locator: Locator, signal: AbortSignal): Promise<PreparedRun> {
  const folder = locator.folder(config.model);
  const spec = await readModelConfig(folder);
  const adapters = adaptedLinears(spec, config.lora);
  const checkpoint = await openCheckpoint(folder, spec.tensors.olderPrefixes);
  checkCheckpoint(spec, checkpoint);
  let adapter: PeftAdapter | null = null;
  if (config.initial_adapter !== undefined) {
    adapter = await readPeftAdapter(locator.folder(config.initial_adapter));
    checkAdapter(adapter, spec, config.lora);
  }
  const tokenizer = await Tokenizer.load(folder);
  const openChat = containedChat(locator.createTemplateWorker);
  const load = async (path: string): Promise<PreparedDataset> => {
    const { folder: directory, name } = locator.file(path);
    const source = await directory.open(name);
    const dataset = await prepareDataset({ source, tokenizer, config: config.training, openChat, signal });
    checkVocabulary(dataset.examples, spec);
    return dataset;
  };
  const { examples, summary } = await load(config.data);
  const plan = planBatches(examples, config.training);
  const evaluation = config.eval_data === undefined ? null : await load(config.eval_data);
  // Rows in file order: evaluation visits each once.
  const evalPlan =
    evaluation && planBatches(evaluation.examples, { ...config.training, train_sampling_strategy: 'sequential' });
  const plans = evalPlan ? [plan, evalPlan] : [plan];
  return {
    config,
    spec,
    checkpoint,
    tokenizer,
    adapters,
    adapter,
    plan,
    evalPlan,
    summary: {
      examples: summary.examples,
      trainedTokens: summary.trainedTokens,
      truncated: summary.truncated,
      dropped: summary.dropped.map(({ line, reason }) => ({ line, reason })),
      notes: summary.notes,
      microBatchesPerEpoch: plan.microBatchesPerEpoch,
    },
    capacity: Math.max(...plans.map((one) => mostTokens(one, config.training.per_device_train_batch_size))),
    positions: Math.max(summary.longest, evaluation?.summary.longest ?? 0),
  };
}

/** The longest rows together: an upper bound in whatever order an epoch has them. */
export function mostTokens(plan: BatchPlan, batchSize: number): number {
  const lengths = plan
    .epoch(0)
    .flat()
    .map((row) => row.reduce((sum, example) => sum + example.ids.length, 0));
  lengths.sort((a, b) => b - a);
  return lengths.slice(0, batchSize).reduce((sum, length) => sum + length, 0);
}

/** An id outside the embedding would read another row's numbers and train on them in silence. */
function checkVocabulary(examples: readonly Example[], spec: ModelSpec): void {
  for (const { ids } of examples) {
    const id = ids.find((one) => one >= spec.vocabSize);
    if (id === undefined) continue;
    throw new VocabularyMismatchError(
      `The tokenizer produces the id ${id}, but the model has ${spec.vocabSize} embeddings. ` +
        'Use the tokenizer.json that belongs to this model.',
    );
  }
}
