/**
 * Everything a run needs before it asks for a GPU: so that whatever is wrong with the model, the data or the adapter is
 * said at once, and on a machine without one.
 */

import { type Batches, batchesOf, partOf } from '../data/batches.ts';
import type { OpenChat } from '../data/chat_renderer.ts';
import type { Problem } from '../data/files/problem.ts';
import { ProblemLog } from '../data/files/problem_log.ts';
import { readRowSet } from '../data/files/row_set.ts';
import { type PreparedDataset, prepareDataset } from '../data/prepare.ts';
import { splitExamples } from '../data/split.ts';
import { Tokenizer } from '../data/tokenizer.ts';
import { checkCheckpoint } from '../formats/check_checkpoint.ts';
import { type Checkpoint, openCheckpoint } from '../formats/checkpoint.ts';
import { type AdaptedLinear, adaptedLinears } from '../formats/lora.ts';
import { readModelConfig } from '../formats/model_config.ts';
import type { ModelSpec } from '../formats/model_spec.ts';
import { checkAdapter, type PeftAdapter, readPeftAdapter } from '../formats/peft.ts';
import type { RunConfig } from '../formats/run_config.ts';
import { checkPlannedLinears, readPlannedLinears } from '../formats/stored_linears.ts';
import { containedChat } from './contained_chat.ts';
import type { Locator } from './locations.ts';
import type { DataSummary } from './protocol.ts';

export class VocabularyMismatchError extends Error {
  override name = 'VocabularyMismatchError';
}

export interface PreparedRun {
  readonly config: RunConfig;
  /** Of the data as it was read, how it was split, and of the validation files: what tells it from other data. */
  readonly exampleLengths: readonly (Uint32Array | null)[];
  readonly spec: ModelSpec;
  readonly checkpoint: Checkpoint;
  readonly tokenizer: Tokenizer;
  /** The model's chat template, for the rows and for what is generated. */
  readonly openChat: OpenChat;
  readonly adapters: ReadonlyMap<string, AdaptedLinear>;
  readonly adapter: PeftAdapter | null;
  readonly batches: Batches;
  /** Of the validation rows, in file order. */
  readonly evalBatches: Batches | null;
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
  checkPlannedLinears(await readPlannedLinears(folder, spec), spec, checkpoint);
  let adapter: PeftAdapter | null = null;
  if (config.initial_adapter !== undefined) {
    adapter = await readPeftAdapter(locator.folder(config.initial_adapter));
    checkAdapter(adapter, spec, config.lora);
  }
  const tokenizer = await Tokenizer.load(folder);
  const openChat = containedChat(locator.createTemplateWorker);
  const load = async (paths: string | readonly string[]): Promise<PreparedDataset> => {
    const sources = await Promise.all(
      [paths].flat().map((path) => {
        const { folder: directory, name } = locator.file(path);
        return directory.open(name);
      }),
    );
    const problems = new ProblemLog<Problem>();
    const onProblem = (problem: Problem) => problems.add(problem);
    const rows = await readRowSet(sources, { createScratch: locator.createScratch, signal, onProblem });
    const { columns, system_prompt: system, remove_duplicates: removeDuplicates } = config;
    const dataset = await prepareDataset({
      rows,
      problems,
      tokenizer,
      config: config.training,
      openChat,
      mapping: columns && { columns },
      system,
      removeDuplicates,
      strict: true,
      signal,
    });
    checkVocabulary(dataset.summary.highestId, spec);
    return dataset;
  };
  const dataset = await load(config.data);
  const { summary } = dataset;
  const held = config.eval_data === undefined ? config.validation_share : 0;
  const split = splitExamples(dataset.groups, held, config.training.seed);
  const batches = batchesOf(partOf(dataset, split.training), config.training);
  const evaluation = config.eval_data === undefined ? null : await load(config.eval_data);
  const validation = evaluation
    ? partOf(
        evaluation,
        evaluation.lengths.map((_, number) => number),
      )
    : partOf(dataset, split.validation);
  const evalBatches =
    validation.lengths.length === 0
      ? null
      : batchesOf(validation, { ...config.training, train_sampling_strategy: 'sequential' });
  return {
    config,
    exampleLengths: [dataset.lengths, split.training, evaluation?.lengths ?? null],
    spec,
    checkpoint,
    tokenizer,
    openChat,
    adapters,
    adapter,
    batches,
    evalBatches,
    summary: {
      examples: split.training.length,
      trainedTokens: summary.trainedTokens,
      truncated: summary.truncated,
      dropped: summary.dropped,
      droppedCount: summary.droppedCount,
      notes: summary.notes,
      microBatchesPerEpoch: batches.plan.microBatchesPerEpoch,
    },
    capacity: Math.max(batches.plan.mostTokens, evalBatches?.plan.mostTokens ?? 0),
    positions: Math.max(summary.longest, evaluation?.summary.longest ?? 0),
  };
}

/** An id outside the embedding would read another row's numbers and train on them in silence. */
export function checkVocabulary(highestId: number, spec: ModelSpec): void {
  if (highestId < spec.vocabSize) return;
  throw new VocabularyMismatchError(
    `The tokenizer produces the id ${highestId}, but the model has ${spec.vocabSize} embeddings. ` +
      'Use the tokenizer.json that belongs to this model.',
  );
}
