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

/** A micro-batch whose rows name their examples by number, as a plan knows them. */
export type NumberedBatch = readonly (readonly number[])[];

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

/**
 * A micro-batch as a flat run of T tokens: what the engine takes (the same structure as engine/token_batch.ts, which
 * this room may not import). Rows do not matter to it, since attention never crosses a document.
 */
export interface FlatBatch {
  /** T token ids. */
  readonly ids: Uint32Array;
  /** The id each position must predict (the labels shifted by one), or −1 where nothing is trained. */
  readonly targets: Int32Array;
  /** Position within the document. */
  readonly positions: Uint32Array;
  /** 2·T: for each token the first index of its document and the index after its last, within the flat run. */
  readonly documents: Uint32Array;
  /** How many targets are trained. */
  readonly trainedTokens: number;
}
