import { softCapSlope } from './soft_cap.reference.ts';

export interface CrossEntropyReference {
  /** [T, 2]: negative log likelihood, and 1 where the target is the likeliest token. */
  readonly loss: Float64Array<ArrayBuffer>;
  /** [T, vocab]: the gradient of Σ nll · `inverseTrainedTokens`. */
  readonly gradient: Float64Array<ArrayBuffer>;
}

/**
 * nll = log Σ exp(logits) − logits[target]; d logits = (softmax − onehot) / N. A target below 0 is not trained. With `cap`
 * the logits are soft-capped ones, and the gradient is that of what they were before.
 */
export function crossEntropyReference(
  logits: ArrayLike<number>,
  targets: ArrayLike<number>,
  vocab: number,
  inverseTrainedTokens: number,
  cap: number | null = null,
): CrossEntropyReference {
  const loss = new Float64Array(targets.length * 2);
  const gradient = new Float64Array(targets.length * vocab);
  for (let t = 0; t < targets.length; t++) {
    if (targets[t] < 0) continue;
    const row = Float64Array.from({ length: vocab }, (_, c) => logits[t * vocab + c]);
    const top = row.reduce((a, b) => Math.max(a, b));
    const sum = row.reduce((total, x) => total + Math.exp(x - top), 0);
    const wanted = row[targets[t]];
    loss[2 * t] = Math.log(sum) + (top - wanted);
    loss[2 * t + 1] = wanted === top ? 1 : 0;
    row.forEach((x, c) => {
      const onehot = c === targets[t] ? 1 : 0;
      gradient[t * vocab + c] =
        (Math.exp(x - top) / sum - onehot) * inverseTrainedTokens * (cap === null ? 1 : softCapSlope(x, cap));
    });
  }
  return { loss, gradient };
}
