/** y = x / √(mean(x²) + ε) · weight over rows of weight.length (Zhang & Sennrich 2019, eq. 4). */
export function rmsNormReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  epsilon: number,
): Float64Array<ArrayBuffer> {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    const scale = rmsNormScale(x, row, width, epsilon);
    for (let c = 0; c < width; c++) y[row + c] = x[row + c] * scale * weight[c];
  }
  return y;
}

/** 1 / √(mean(x²) + ε) of the `width` values from `row`. */
export function rmsNormScale(x: ArrayLike<number>, row: number, width: number, epsilon: number): number {
  let squares = 0;
  for (let c = 0; c < width; c++) squares += x[row + c] ** 2;
  return 1 / Math.sqrt(squares / width + epsilon);
}
