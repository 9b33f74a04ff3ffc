import { matmulReference, matmulTransposedReference } from './matmul_dense.reference.ts';

export interface LinearReferenceOptions {
  readonly x: ArrayLike<number>;
  /** [outFeatures, inFeatures], dequantized. */
  readonly weight: ArrayLike<number>;
  readonly depth: number;
  readonly width: number;
  /** y = x·W instead of x·Wᵀ. */
  readonly transposed?: boolean;
  /** u [T, rank]; B [width, rank], or transposed A [rank, width]. */
  readonly lora?: {
    readonly u: ArrayLike<number>;
    readonly matrix: ArrayLike<number>;
    readonly rank: number;
    readonly scale: number;
  };
  readonly bias?: ArrayLike<number>;
  /** [T, width]. */
  readonly residual?: ArrayLike<number>;
}

/** y = x·Wᵀ + scale·u·Bᵀ + bias + residual (Hu et al. 2021, eq. 3), or transposed y = x·W + scale·u·A. */
export function linearReference(options: LinearReferenceOptions): Float64Array<ArrayBuffer> {
  const { x, weight, depth, width, transposed = false, lora, bias, residual } = options;
  const multiply = transposed ? matmulTransposedReference : matmulReference;
  const y = multiply(x, weight, depth, width);
  const low = lora && multiply(lora.u, lora.matrix, lora.rank, width);
  for (let i = 0; i < y.length; i++) {
    if (lora && low) y[i] += lora.scale * low[i];
    if (bias) y[i] += bias[i % width];
    if (residual) y[i] += residual[i];
  }
  return y;
}
