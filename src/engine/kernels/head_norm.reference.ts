import { rmsNormReference } from './rms_norm.reference.ts';
import { rmsNormBackwardReference } from './rms_norm_backward.reference.ts';

export interface HeadNormShape {
  readonly heads: number;
  readonly kvHeads: number;
  /** [headDim] each. */
  readonly query: ArrayLike<number>;
  readonly key: ArrayLike<number>;
  readonly epsilon: number;
}

/** Calls `each` with where every query and key head of qkv begins and its weight. */
function forEachHead(
  length: number,
  { heads, kvHeads, query, key }: HeadNormShape,
  each: (at: number, weight: ArrayLike<number>) => void,
): void {
  const width = query.length;
  const stride = (heads + 2 * kvHeads) * width;
  for (let row = 0; row < length; row += stride) {
    for (let head = 0; head < heads + kvHeads; head++) each(row + head * width, head < heads ? query : key);
  }
}

/** RMSNorm of every query and key head of qkv [T, (heads + 2·kvHeads)·headDim]; values stay. */
export function headNormReference(qkv: Float64Array, shape: HeadNormShape): Float64Array<ArrayBuffer> {
  const y = Float64Array.from(qkv);
  forEachHead(qkv.length, shape, (at, weight) => {
    y.set(rmsNormReference(qkv.subarray(at, at + weight.length), weight, shape.epsilon), at);
  });
  return y;
}

/** The gradient of `qkv`, the heads before their norms, from that of the normed. */
export function headNormBackwardReference(
  qkv: Float64Array,
  shape: HeadNormShape,
  dy: Float64Array,
): Float64Array<ArrayBuffer> {
  const dx = Float64Array.from(dy);
  forEachHead(qkv.length, shape, (at, weight) => {
    const end = at + weight.length;
    dx.set(rmsNormBackwardReference(qkv.subarray(at, end), weight, shape.epsilon, dy.subarray(at, end)), at);
  });
  return dx;
}
