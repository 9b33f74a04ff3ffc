/** y[t, :] = scale · table[ids[t], :]. */
export function embeddingReference(
  ids: ArrayLike<number>,
  table: ArrayLike<number>,
  width: number,
  scale = 1,
): Float64Array<ArrayBuffer> {
  const y = new Float64Array(ids.length * width);
  for (let t = 0; t < ids.length; t++) {
    for (let c = 0; c < width; c++) y[t * width + c] = scale * table[ids[t] * width + c];
  }
  return y;
}
