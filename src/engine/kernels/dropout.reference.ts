/** Philox4x32-10 (Salmon et al. 2011): four words from a counter of four and a key of two. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [c0, c1, c2, c3] = counter.map(BigInt);
  let [k0, k1] = key.map(BigInt);
  const word = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const [p0, p1] = [0xd2511f53n * c0, 0xcd9e8d57n * c2];
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & word, (p0 >> 32n) ^ c3 ^ k1, p0 & word];
    k0 = (k0 + 0x9e3779b9n) & word;
    k1 = (k1 + 0xbb67ae85n) & word;
  }
  return [c0, c1, c2, c3].map(Number);
}

export interface DropoutState {
  readonly seed: number;
  /** Of the optimizer's steps, and of the micro-batch in one. */
  readonly step: number;
  readonly microBatch: number;
}

/** 0 or 1 / (1 − p) for each element of a module's input [tokens, width]; rows are padded to whole quads for counting. */
export function dropoutReference(
  { seed, step, microBatch }: DropoutState,
  { probability, module, width }: { readonly probability: number; readonly module: number; readonly width: number },
  tokens: number,
): Float64Array<ArrayBuffer> {
  const quads = Math.ceil(width / 4);
  const threshold = Math.round(probability * 2 ** 32);
  const factors = new Float64Array(tokens * width);
  for (let index = 0; index < tokens * quads; index++) {
    const random = philox([index, microBatch, step, 0], [seed, module]);
    const [token, column] = [Math.floor(index / quads), (index % quads) * 4];
    for (let e = 0; e < 4 && column + e < width; e++) {
      factors[token * width + column + e] = random[e] >= threshold ? Math.fround(1 / (1 - probability)) : 0;
    }
  }
  return factors;
}

/** What that takes away: an element's factors in dropout(x) and x − dropout(x) add up to 1. */
export const dropoutComplementReference: typeof dropoutReference = (state, mask, tokens) =>
  dropoutReference(state, mask, tokens).map((factor) =>
    factor === 0 ? 1 : Math.fround(1 - 1 / (1 - mask.probability)),
  );
