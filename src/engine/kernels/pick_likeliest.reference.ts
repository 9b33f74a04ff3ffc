/** For each row of `vocab` logits its likeliest token, the first of equals; `vocab` where none is a number. */
export function pickLikeliestReference(logits: ArrayLike<number>, vocab: number): number[] {
  return Array.from({ length: logits.length / vocab }, (_, row) => {
    let best = vocab;
    for (let i = 0; i < vocab; i++) {
      const logit = logits[row * vocab + i];
      if (!Number.isNaN(logit) && (best === vocab || logit > logits[row * vocab + best])) best = i;
    }
    return best;
  });
}
