/** cap · tanh(x / cap) (Gemma Team 2024, arXiv 2408.00118, §2). */
export function softCapReference(x: ArrayLike<number>, cap: number): Float64Array<ArrayBuffer> {
  return Float64Array.from(x, (value) => cap * Math.tanh(value / cap));
}

/** Its derivative, from its result. */
export const softCapSlope = (y: number, cap: number): number => 1 - (y / cap) ** 2;
