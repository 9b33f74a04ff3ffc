/** The tables of 4-bit quantization, as bitsandbytes has them, in f32. Source: REFERENCE.md §1. */

/** NF4's 16 values (Dettmers et al. 2023, appendix E). */
export const NF4_CODEBOOK = new Float32Array([
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
]);

/** f32 midpoints of neighbouring values: a value's code is how many of them it exceeds. */
export function midpoints(table: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: table.length - 1 }, (_, i) =>
    Math.fround(Math.fround(table[i] + table[i + 1]) / 2),
  );
}

/**
 * bitsandbytes' signed dynamic map for 8-bit absmax: for i = 0 … 6 the 2^i midpoints of linspace(0.1, 1, 2^i + 1)
 * times 10^(i−6), both signs, with 0 and 1; rounded as torch does (linspace and midpoints in f32, the product with a
 * power of ten in f32).
 */
export const DYNAMIC_MAP: Float32Array<ArrayBuffer> = (() => {
  const values = [0, 1];
  const f = Math.fround;
  for (let i = 0; i < 7; i++) {
    const count = 2 ** i + 1;
    const step = f(f(1 - f(0.1)) / (count - 1));
    // torch.linspace computes the lower half from the start and the upper half from the end.
    const edge = (k: number) => (k < count / 2 ? f(f(0.1) + f(step * k)) : f(1 - f(step * (count - 1 - k))));
    for (let k = 0; k + 1 < count; k++) {
      const value = f(f(10 ** (i - 6)) * f(f(edge(k) + edge(k + 1)) / 2));
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
})();
