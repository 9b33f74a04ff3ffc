/**
 * Reproducible randomness without state to save: a draw is a function of (seed, stream, counter), so resuming a run
 * needs only its step number.
 */

/** The finalizer of MurmurHash3 with the constants of Chris Wellons' `lowbias32`: each input bit flips half the output. */
function mix(x: number): number {
  let h = x >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

/** A uniform 32-bit integer. All three arguments are 32-bit unsigned integers. */
export function randomUint32(seed: number, stream: number, counter: number): number {
  // The additions (odd, from the golden ratio and √2) keep the zero inputs apart.
  const key = mix(mix(seed + 0x9e3779b9) ^ (stream + 0x6a09e667));
  return mix(mix(key ^ counter) + key);
}

/**
 * A permutation of 0 … n−1 (Fisher–Yates, Durstenfeld's form), uniform up to the generator: draws are rejected rather than
 * folded, so no order is favoured.
 */
export function permutation(n: number, seed: number, stream: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, index) => index);
  let counter = 0;
  for (let i = n - 1; i > 0; i--) {
    const bound = i + 1;
    const limit = 2 ** 32 - (2 ** 32 % bound);
    let draw = randomUint32(seed, stream, counter++);
    while (draw >= limit) draw = randomUint32(seed, stream, counter++);
    const j = draw % bound;
    const held = order[i]!;
    order[i] = order[j]!;
    order[j] = held;
  }
  return order;
}
