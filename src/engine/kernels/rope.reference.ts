import type { RopeSpec } from '../../formats/model_spec.ts';

export interface RopeShape {
  /** Elements from token to token. */
  readonly stride: number;
  /** Heads rotated, from the row's start. */
  readonly heads: number;
  readonly headDim: number;
}

/**
 * Half-split rotary embedding of x [T, stride] (Su et al. 2021; transformers' rotate_half): for pair i of a head,
 * (a, b) = (x[i], x[i + half]) → (a·cos − b·sin, b·cos + a·sin), the angle being the f32 product position · frequency.
 * `inverse` rotates back, which is the gradient: a rotation's transpose is its inverse.
 */
export function ropeReference(
  x: ArrayLike<number>,
  positions: ArrayLike<number>,
  { inverseFrequencies, attentionScaling }: RopeSpec,
  { stride, heads, headDim }: RopeShape,
  inverse = false,
): Float64Array<ArrayBuffer> {
  const half = inverseFrequencies.length;
  const y = Float64Array.from(x);
  for (let t = 0; t < positions.length; t++) {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < half; i++) {
        const angle = Math.fround(positions[t] * inverseFrequencies[i]);
        const cos = Math.cos(angle) * attentionScaling;
        const sin = Math.sin(angle) * attentionScaling * (inverse ? -1 : 1);
        const at = t * stride + head * headDim + i;
        y[at] = x[at] * cos - x[at + half] * sin;
        y[at + half] = x[at + half] * cos + x[at] * sin;
      }
    }
  }
  return y;
}
