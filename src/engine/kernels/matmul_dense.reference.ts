/** y [T, width] = x [T, depth] · Wᵀ, W [width, depth]: PyTorch's linear. */
export function matmulReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  depth: number,
  width: number,
): Float64Array<ArrayBuffer> {
  const tokens = x.length / depth;
  const y = new Float64Array(tokens * width);
  for (let t = 0; t < tokens; t++) {
    for (let n = 0; n < width; n++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += x[t * depth + k] * weight[n * depth + k];
      y[t * width + n] = sum;
    }
  }
  return y;
}

/** y [T, width] = x [T, depth] · W, W [depth, width]: a linear's input gradient. */
export function matmulTransposedReference(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  depth: number,
  width: number,
): Float64Array<ArrayBuffer> {
  const tokens = x.length / depth;
  const y = new Float64Array(tokens * width);
  for (let t = 0; t < tokens; t++) {
    for (let n = 0; n < width; n++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += x[t * depth + k] * weight[k * width + n];
      y[t * width + n] = sum;
    }
  }
  return y;
}
