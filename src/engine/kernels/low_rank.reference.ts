/** g [height, width] = pᵀ·q for p [T, height], q [T, width]: a linear's weight gradient from dy and x. */
export function matmulGradientReference(
  p: ArrayLike<number>,
  q: ArrayLike<number>,
  height: number,
  width: number,
): Float64Array<ArrayBuffer> {
  const tokens = p.length / height;
  const g = new Float64Array(height * width);
  for (let m = 0; m < height; m++) {
    for (let n = 0; n < width; n++) {
      let sum = 0;
      for (let t = 0; t < tokens; t++) sum += p[t * height + m] * q[t * width + n];
      g[m * width + n] = sum;
    }
  }
  return g;
}
