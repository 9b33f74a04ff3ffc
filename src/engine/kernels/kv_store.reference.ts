/** The cache after qkv's keys and values were put at their slots and positions: [keys, values] laid out as shaders/kv_store.wgsl. */
export function kvStoreReference(
  before: { readonly keys: ArrayLike<number>; readonly values: ArrayLike<number> },
  qkv: ArrayLike<number>,
  places: { readonly slots: ArrayLike<number>; readonly positions: ArrayLike<number> },
  shape: { readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly context: number },
): { keys: Float64Array<ArrayBuffer>; values: Float64Array<ArrayBuffer> } {
  const { heads, kvHeads, headDim, context } = shape;
  const keys = Float64Array.from(before.keys);
  const values = Float64Array.from(before.values);
  const stride = (heads + 2 * kvHeads) * headDim;
  const padded = Math.ceil(headDim / 4) * 4;
  for (let t = 0; t < qkv.length / stride; t++) {
    const position = places.positions[t];
    if (position >= context) continue;
    for (let head = 0; head < kvHeads; head++) {
      const row = places.slots[t] * kvHeads + head;
      for (let d = 0; d < padded; d++) {
        const from = t * stride + (heads + head) * headDim + d;
        const vector = Math.floor(d / 4);
        keys[((row * (padded / 4) + vector) * context + position) * 4 + (d % 4)] = d < headDim ? qkv[from] : 0;
        values[(row * context + position) * padded + d] = d < headDim ? qkv[from + kvHeads * headDim] : 0;
      }
    }
  }
  return { keys, values };
}
