/**
 * A micro-batch as the engine sees it: a flat run of tokens without padding. Attention never crosses a document, so
 * rows do not matter and a padded batch costs only its real tokens.
 */
export interface TokenBatch {
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
