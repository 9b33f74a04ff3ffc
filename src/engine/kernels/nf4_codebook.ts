/** The tables of 4-bit and 8-bit quantization, as bitsandbytes has them, in f32. Source: REFERENCE.md §1. */

/** NF4's 16 values (Dettmers et al. 2023, appendix E). */
export const NF4_CODEBOOK = new Float32Array([
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
]);

/** FP4's 16 values by bit pattern: bit 3 is the sign, magnitudes in twelfths. Two of them are zeros. */
export const FP4_CODEBOOK = Float32Array.from(
  [1, -1].flatMap((sign) => [0, 0.0625, 8, 12, 4, 6, 2, 3].map((twelfths) => (sign * twelfths) / 12)),
);

export type QuantType = 'nf4' | 'fp4';
export const CODEBOOKS: Readonly<Record<QuantType, Float32Array<ArrayBuffer>>> = {
  nf4: NF4_CODEBOOK,
  fp4: FP4_CODEBOOK,
};

/** The codes in the order of their values; of FP4's two zeros the positive one first, as torch.argsort has them. */
export function codeOrder(table: Float32Array): number[] {
  return Array.from(table.keys()).sort((a, b) => table[a] - table[b] || a - b);
}

/**
 * What shaders/nf4_quantize.wgsl finds codes by: the 15 f32 midpoints of neighbouring values, then the 16 codes in their order,
 * also as f32. A value's code is the one in the place that is how many midpoints it exceeds.
 */
export function quantizationTable(type: QuantType): Float32Array<ArrayBuffer> {
  const table = CODEBOOKS[type];
  const order = codeOrder(table);
  return Float32Array.of(...midpoints(Float32Array.from(order, (code) => table[code])), ...order);
}

/** f32 midpoints of neighbouring values: a value's code is how many of them it exceeds. */
export function midpoints(table: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: table.length - 1 }, (_, i) =>
    Math.fround(Math.fround(table[i] + table[i + 1]) / 2),
  );
}

/**
 * bitsandbytes' dynamic map for 8 bits: for i = 0 … 6 the 2^i midpoints of linspace(0.1, 1, 2^i + 1) times 10^(i−6), both
 * signs, or unsigned twice as many of one; with 0 and 1; rounded as torch does (linspace and midpoints in f32, the product
 * with a power of ten in f32).
 */
function dynamicMap(signed: boolean): Float32Array<ArrayBuffer> {
  const values = [0, 1];
  const f = Math.fround;
  for (let i = 0; i < 7; i++) {
    const count = 2 ** (signed ? i : i + 1) + 1;
    const step = f(f(1 - f(0.1)) / (count - 1));
    // torch.linspace computes the lower half from the start and the upper half from the end.
    const edge = (k: number) => (k < count / 2 ? f(f(0.1) + f(step * k)) : f(1 - f(step * (count - 1 - k))));
    for (let k = 0; k + 1 < count; k++) {
      const value = f(f(10 ** (i - 6)) * f(f(edge(k) + edge(k + 1)) / 2));
      values.push(value);
      if (signed) values.push(-value);
    }
  }
  return Float32Array.from(values).sort();
}

/** Of absmax in double quantization, and of first moments in 8 bits. */
export const DYNAMIC_MAP = dynamicMap(true);
/** Of second moments, which have no sign. */
export const UNSIGNED_DYNAMIC_MAP = dynamicMap(false);
