/**
 * `group_by_length` as transformers has it (trainer_pt_utils.get_length_grouped_indices): a random order is cut into
 * stretches of some fifty batches, each stretch is sorted by length, longest first, so that a batch holds rows of about the
 * same length; the longest row of all comes first, so that a lack of memory shows at once.
 */

/** Batches of one stretch. */
const BATCHES_TOGETHER = 50;

/** `order` is a random order of the rows; the result is another order of them. */
export function lengthGrouped(lengths: ArrayLike<number>, batchSize: number, order: Uint32Array): Uint32Array {
  const batches = Math.max(1, Math.min(Math.floor(order.length / (batchSize * 4)), BATCHES_TOGETHER));
  const stretch = batches * batchSize;
  const grouped = new Uint32Array(order.length);
  let longest = 0;
  for (let begin = 0; begin < order.length; begin += stretch) {
    const sorted = order.slice(begin, begin + stretch).sort((a, b) => lengths[b] - lengths[a]);
    grouped.set(sorted, begin);
    if (lengths[sorted[0]] > lengths[grouped[longest]]) longest = begin;
  }
  if (grouped.length > 0) [grouped[0], grouped[longest]] = [grouped[longest], grouped[0]];
  return grouped;
}
