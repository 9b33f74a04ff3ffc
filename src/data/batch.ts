/** Tokens on their way to the engine: examples become rows of documents, rows become micro-batches. */

/** A tokenized training example. `labels[i]` is `ids[i]` where the token is trained, else −100. */
export interface Example {
  readonly ids: readonly number[];
  readonly labels: readonly number[];
}

/** One row of a batch: one document, or several when packed. */
export type Row = readonly Example[];

/** `per_device_train_batch_size` rows (fewer at the end of an epoch). */
export type MicroBatch = readonly Row[];

export const IGNORE_INDEX = -100;

/**
 * A micro-batch as PyTorch sees it: right-padded to the longest row (input = pad id, label −100, position 0,
 * segment 0). Segments count documents from 1; the first label of each document is −100.
 */
export interface PaddedBatch {
  readonly input_ids: number[][];
  readonly labels: number[][];
  readonly position_ids: number[][];
  readonly segments: number[][];
}
