import { matmulReference } from './matmul_dense.reference.ts';

type Matrix = ArrayLike<number>;

/** ‖W_i + s·B_i·A‖ of each output; W [out, in], A [rank, in], B [out, rank]. */
export function doraNormReference(
  weight: Matrix,
  { a, b, rank, scale }: { readonly a: Matrix; readonly b: Matrix; readonly rank: number; readonly scale: number },
): Float64Array<ArrayBuffer> {
  const outFeatures = b.length / rank;
  const inFeatures = a.length / rank;
  const columnsOfA = Float64Array.from(
    { length: a.length },
    (_, i) => a[(i % rank) * inFeatures + Math.floor(i / rank)],
  );
  const product = matmulReference(b, columnsOfA, rank, inFeatures);
  return Float64Array.from({ length: outFeatures }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < inFeatures; k++) {
      const at = i * inFeatures + k;
      sum += (weight[at] + scale * product[at]) ** 2;
    }
    return Math.sqrt(sum);
  });
}

/** y [T, width] = magnitude / norm · z (Liu et al. 2024, eq. 5). */
export function doraReference(z: Matrix, magnitudes: Matrix, norms: Matrix): Float64Array<ArrayBuffer> {
  const width = norms.length;
  return Float64Array.from({ length: z.length }, (_, i) => (magnitudes[i % width] / norms[i % width]) * z[i]);
}

/** The gradients of z and of the magnitudes; the norm is taken as a constant (Liu et al. 2024, §4.3). */
export function doraBackwardReference(
  dy: Matrix,
  z: Matrix,
  magnitudes: Matrix,
  norms: Matrix,
): { readonly dz: Float64Array<ArrayBuffer>; readonly dMagnitudes: Float64Array<ArrayBuffer> } {
  const width = norms.length;
  const dMagnitudes = new Float64Array(width);
  for (let i = 0; i < dy.length; i++) dMagnitudes[i % width] += (dy[i] * z[i]) / norms[i % width];
  return { dz: doraReference(dy, magnitudes, norms), dMagnitudes };
}
