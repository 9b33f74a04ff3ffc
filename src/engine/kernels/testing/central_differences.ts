/** Gradients by central differences in float64: what the references' backward passes are held against. */
import type { Random } from './random.ts';

/**
 * Rounding of a loss of order 10 makes an error of about 1e-15 / h, the curve's higher derivatives one of h⁴: which step
 * is best depends on the entry, so an analytic gradient must agree with one of these. The last is for the rare loss that bends
 * within 1e-3: three entries in a thousand of the richest decoder.
 */
const STEPS = [1e-3, 4e-3, 1.25e-4];
/** Agreement at which no better step is looked for. */
const CLOSE = 1e-7;

/** df/dx[i] by the five-point stencil (f(x−2h) − 8·f(x−h) + 8·f(x+h) − f(x+2h)) / 12h; x is restored. */
export function centralDifference(f: () => number, x: Float64Array, i: number, h: number): number {
  const value = x[i];
  const at = (offset: number) => {
    x[i] = value + offset * h;
    return f();
  };
  const slope = (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * h);
  x[i] = value;
  return slope;
}

/**
 * The largest |analytic − numeric| over `samples` random entries of x, each relative to its own size, or to a hundredth
 * of the gradient's largest entry where it is smaller than that.
 */
export function gradientError(
  f: () => number,
  x: Float64Array,
  analytic: ArrayLike<number>,
  random: Random,
  samples: number,
): number {
  let largest = 0;
  for (let i = 0; i < analytic.length; i++) largest = Math.max(largest, Math.abs(analytic[i]));
  let worst = 0;
  for (let n = 0; n < samples; n++) {
    const i = random.integer(0, x.length);
    let error = Number.POSITIVE_INFINITY;
    for (const h of STEPS) {
      if (error <= CLOSE) break;
      const numeric = centralDifference(f, x, i, h);
      error = Math.min(error, Math.abs(analytic[i] - numeric) / Math.max(Math.abs(numeric), largest / 100));
    }
    worst = Math.max(worst, error);
  }
  return worst;
}
