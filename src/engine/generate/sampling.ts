/** Choosing a token from logits as transformers' `generate` does: temperature, then top_k, then top_p. */
import { nonFinite } from './generator.ts';

export interface SamplingOptions {
  /** 0 takes the likeliest. */
  readonly temperature: number;
  /** The so many likeliest; 0 for all. */
  readonly top_k: number;
  /** The fewest likeliest whose probabilities add up to it; 1 for all. */
  readonly top_p: number;
}

/** How much less likely the next candidates looked at are. */
const STEP_DOWN = 1 / 64;

/**
 * @param uniform in [0, 1): the same draw gives the same token
 * @throws NonFiniteLogitsError
 */
export function sampleToken(
  logits: Float32Array,
  { temperature, top_k, top_p }: SamplingOptions,
  uniform: number,
): number {
  let best = 0;
  for (let i = 0; i < logits.length; i++) {
    if (Number.isNaN(logits[i])) throw nonFinite();
    if (logits[i] > logits[best]) best = i;
  }
  const top = logits[best];
  if (!Number.isFinite(top)) throw nonFinite();
  if (temperature === 0 || top_k === 1) return best;
  // Relative to the likeliest, which has 1.
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    weights[i] = Math.exp((logits[i] - top) / temperature);
    total += weights[i];
  }
  const most = top_k > 0 ? Math.min(top_k, logits.length) : logits.length;
  if (most === logits.length && top_p >= 1) return drawn(weights, weights.keys(), uniform * total) ?? best;
  const kept = nucleus(weights, most, top_p, total);
  let sum = 0;
  for (const id of kept) sum += weights[id];
  return drawn(weights, kept, uniform * sum) ?? best;
}

/** The first id at which the weights add up to more than `at`. */
function drawn(weights: Float64Array, ids: Iterable<number>, at: number): number | undefined {
  let sum = 0;
  let last: number | undefined;
  for (const id of ids) {
    if (weights[id] === 0) continue;
    sum += weights[id];
    last = id;
    if (sum > at) return id;
  }
  // Rounding may leave the sum short of the draw.
  return last;
}

/** The likeliest ids, best first: `most` of them, and of those the fewest that reach top_p. */
function nucleus(weights: Float64Array, most: number, topP: number, total: number): number[] {
  // Few are needed as a rule: candidates are those above a threshold that falls until there are enough.
  for (let threshold = STEP_DOWN; ; threshold *= STEP_DOWN) {
    const all = threshold < Number.MIN_VALUE;
    const candidates: number[] = [];
    let sum = 0;
    for (let i = 0; i < weights.length; i++) {
      if (!all && weights[i] < threshold) continue;
      candidates.push(i);
      sum += weights[i];
    }
    // With top_k the probabilities are those among the k likeliest.
    const enough = most < weights.length ? candidates.length >= most : sum >= topP * total;
    if (!enough && !all) continue;
    candidates.sort((a, b) => weights[b] - weights[a] || a - b);
    const kept = candidates.slice(0, most);
    if (topP >= 1) return kept;
    const among = most < weights.length ? kept.reduce((part, id) => part + weights[id], 0) : total;
    let part = 0;
    const count = kept.findIndex((id) => {
      part += weights[id];
      return part >= topP * among;
    });
    return count < 0 ? kept : kept.slice(0, count + 1);
  }
}
