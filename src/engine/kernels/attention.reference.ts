import { softCapReference, softCapSlope } from './soft_cap.reference.ts';

export interface AttentionReferenceShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly window: number | null;
  /** c in c·tanh(score/c), or null, as by default. */
  readonly softCap?: number | null;
}

/** Where in a row of qkv a query head's query, key and value begin. */
function columns({ heads, kvHeads, headDim }: AttentionReferenceShape, head: number) {
  const kvHead = Math.floor(head / (heads / kvHeads));
  return { q: head * headDim, k: (heads + kvHead) * headDim, v: (heads + kvHeads + kvHead) * headDim };
}

/** The first key that query t sees: the last is t itself. */
function firstKey(documents: ArrayLike<number>, window: number | null, t: number): number {
  return Math.max(documents[2 * t], window === null ? 0 : t - window + 1);
}

/** Calls `visit` with each row's softmax probabilities for keys first … t, and its log Σ exp. */
function forEachRow(
  qkv: ArrayLike<number>,
  documents: ArrayLike<number>,
  shape: AttentionReferenceShape,
  visit: (head: number, t: number, first: number, p: Float64Array, lse: number, scores: Float64Array) => void,
): void {
  const { heads, kvHeads, headDim, scale, window, softCap = null } = shape;
  const stride = (heads + 2 * kvHeads) * headDim;
  const tokens = qkv.length / stride;
  for (let head = 0; head < heads; head++) {
    const { q, k } = columns(shape, head);
    for (let t = 0; t < tokens; t++) {
      const first = firstKey(documents, window, t);
      const scores = new Float64Array(t + 1 - first);
      for (let j = first; j <= t; j++) {
        let dot = 0;
        for (let d = 0; d < headDim; d++) dot += qkv[t * stride + q + d] * qkv[j * stride + k + d];
        scores[j - first] = scale * dot;
      }
      if (softCap !== null) scores.set(softCapReference(scores, softCap));
      const top = scores.reduce((a, b) => Math.max(a, b));
      const sum = scores.reduce((total, s) => total + Math.exp(s - top), 0);
      const lse = top + Math.log(sum);
      visit(
        head,
        t,
        first,
        scores.map((s) => Math.exp(s - lse)),
        lse,
        scores,
      );
    }
  }
}

/**
 * o [T, heads · headDim] = softmax(scale · q·kᵀ, soft-capped)·v, causal, within documents and window; lse [heads, T]
 * (Vaswani et al. 2017, eq. 1; grouped queries: Ainslie et al. 2023). qkv [T, (heads + 2·kvHeads)·headDim].
 */
export function attentionForwardReference(
  qkv: ArrayLike<number>,
  documents: ArrayLike<number>,
  shape: AttentionReferenceShape,
): { o: Float64Array<ArrayBuffer>; lse: Float64Array<ArrayBuffer> } {
  const { heads, kvHeads, headDim } = shape;
  const stride = (heads + 2 * kvHeads) * headDim;
  const tokens = qkv.length / stride;
  const o = new Float64Array(tokens * heads * headDim);
  const lse = new Float64Array(heads * tokens);
  forEachRow(qkv, documents, shape, (head, t, first, p, rowLse) => {
    const { v } = columns(shape, head);
    p.forEach((probability, j) => {
      for (let d = 0; d < headDim; d++) {
        o[(t * heads + head) * headDim + d] += probability * qkv[(first + j) * stride + v + d];
      }
    });
    lse[head * tokens + t] = rowLse;
  });
  return { o, lse };
}

/**
 * d_qkv, laid out as qkv: dv = pᵀ·do, dp = do·vᵀ, ds = p ∘ (dp − Σ_j p_j·dp_j), times the cap's derivative where scores
 * are capped, dq = scale · ds·k, dk = scale · dsᵀ·q.
 *
 * @param o where the forward result was rounded: Σ_j p_j·dp_j is then taken as do·o
 */
export function attentionBackwardReference(
  qkv: ArrayLike<number>,
  documents: ArrayLike<number>,
  shape: AttentionReferenceShape,
  dO: ArrayLike<number>,
  o: ArrayLike<number> | null = null,
): Float64Array<ArrayBuffer> {
  const { heads, kvHeads, headDim, scale, softCap = null } = shape;
  const stride = (heads + 2 * kvHeads) * headDim;
  const dQkv = new Float64Array(qkv.length);
  forEachRow(qkv, documents, shape, (head, t, first, p, _lse, scores) => {
    const { q, k, v } = columns(shape, head);
    const at = (t * heads + head) * headDim;
    const dp = p.map((_, j) => {
      let dot = 0;
      for (let d = 0; d < headDim; d++) dot += dO[at + d] * qkv[(first + j) * stride + v + d];
      return dot;
    });
    let delta = 0;
    if (o) for (let d = 0; d < headDim; d++) delta += dO[at + d] * o[at + d];
    else
      dp.forEach((x, j) => {
        delta += p[j] * x;
      });
    p.forEach((probability, j) => {
      const slope = softCap === null ? 1 : softCapSlope(scores[j], softCap);
      const ds = scale * slope * probability * (dp[j] - delta);
      const key = (first + j) * stride;
      for (let d = 0; d < headDim; d++) {
        dQkv[t * stride + q + d] += ds * qkv[key + k + d];
        dQkv[key + k + d] += ds * qkv[t * stride + q + d];
        dQkv[key + v + d] += probability * dO[at + d];
      }
    });
  });
  return dQkv;
}
