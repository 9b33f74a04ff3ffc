/** Writes a safetensors file byte for byte as the reference implementation does (huggingface/safetensors, `prepare`). */

import { isUnicode } from './strict_json.ts';

export interface F32Tensor {
  readonly dtype: 'F32';
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Float32Array;
}

/**
 * The whole file. Tensors lie in the reference's order, dtype alignment descending, then name by code point; with one
 * dtype only the name decides. The header is padded with spaces so that the data begins at a multiple of 8.
 * Throws RangeError when a tensor's shape does not match its data, or its name cannot be written.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, F32Tensor>,
  metadata: ReadonlyMap<string, string>,
): Uint8Array<ArrayBuffer> {
  const sorted = [...tensors].sort(([a], [b]) => compareCodePoints(a, b));
  const entries: string[] = [];
  // Written by hand: as properties of an object, keys such as "7" would come first and "__proto__" would vanish.
  if (metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${quoteText(key)}:${quoteText(value)}`);
    entries.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  let offset = 0;
  for (const [name, { dtype, shape, data }] of sorted) {
    if (name === '__metadata__') throw new RangeError('__metadata__ cannot be the name of a tensor.');
    const elements = shape.reduce((product, dimension) => product * dimension, 1);
    if (elements !== data.length) {
      throw new RangeError(`${name}: shape [${shape.join(', ')}] does not match ${data.length} elements of data.`);
    }
    const end = offset + data.byteLength;
    entries.push(
      `${quoteText(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${offset},${end}]}`,
    );
    offset = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + headerLength + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.set(json, 8);
  file.fill(0x20, 8 + json.length, 8 + headerLength);
  let at = 8 + headerLength;
  for (const [, { data }] of sorted) {
    // float32 in the machine's own order: every platform with WebGPU is little-endian, as the format is.
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/** An unpaired surrogate has no UTF-8 form; no reader would take it back. */
function quoteText(text: string): string {
  if (!isUnicode(text)) throw new RangeError(`${JSON.stringify(text)} is not valid Unicode text.`);
  return JSON.stringify(text);
}

/** Rust compares UTF-8 bytes, which is code point order; JavaScript's < compares UTF-16 units. */
function compareCodePoints(a: string, b: string): number {
  const left = Array.from(a);
  const right = Array.from(b);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const difference = (left[i]?.codePointAt(0) ?? 0) - (right[i]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
