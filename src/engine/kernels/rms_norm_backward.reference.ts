import { rmsNormScale } from './rms_norm.reference.ts';

/**
 * dx of y = x·s·w, s = 1 / √(mean(x²) + ε): from ∂s/∂x_c = −s³·x_c / C,
 * dx_c = s·w_c·dy_c − x_c·s³/C · Σ_j w_j·dy_j·x_j.
 */
export function rmsNormBackwardReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  epsilon: number,
  dy: ArrayLike<number>,
): Float64Array<ArrayBuffer> {
  const width = weight.length;
  const dx = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    const scale = rmsNormScale(x, row, width, epsilon);
    let product = 0;
    for (let c = 0; c < width; c++) product += weight[c] * dy[row + c] * x[row + c];
    for (let c = 0; c < width; c++) {
      dx[row + c] = scale * weight[c] * dy[row + c] - (x[row + c] * scale ** 3 * product) / width;
    }
  }
  return dx;
}
