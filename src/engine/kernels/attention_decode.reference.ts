import { type AttentionReferenceShape, attentionForwardReference } from './attention.reference.ts';

/**
 * Attention of each sequence's last token: of what the forward pass over the whole sequence gives, its last row.
 *
 * @param sequences qkv [length, (heads + 2·kvHeads)·headDim] of each
 */
export function attentionDecodeReference(
  sequences: readonly ArrayLike<number>[],
  shape: AttentionReferenceShape,
): Float64Array<ArrayBuffer> {
  const width = shape.heads * shape.headDim;
  const o = new Float64Array(sequences.length * width);
  for (const [i, qkv] of sequences.entries()) {
    const length = qkv.length / ((shape.heads + 2 * shape.kvHeads) * shape.headDim);
    const documents = Uint32Array.from({ length: 2 * length }, (_, t) => (t % 2 === 0 ? 0 : length));
    o.set(attentionForwardReference(qkv, documents, shape).o.subarray((length - 1) * width), i * width);
  }
  return o;
}
