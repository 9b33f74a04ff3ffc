/** The three float types weights come in, and their exact decoding to float32. */

export const FLOAT_DTYPES = ['F32', 'F16', 'BF16'] as const;
export type FloatDtype = (typeof FLOAT_DTYPES)[number];

/** Bytes of one element. */
export const FLOAT_BYTES: Readonly<Record<FloatDtype, number>> = { F32: 4, F16: 2, BF16: 2 };

export function isFloatDtype(dtype: string): dtype is FloatDtype {
  return (FLOAT_DTYPES as readonly string[]).includes(dtype);
}

/**
 * Decodes little-endian elements to float32. Exact for every value: both 16-bit types are subsets of float32, subnormals,
 * signed zeros, infinities and NaN payloads included (bits are moved, no arithmetic rounds or quiets them).
 * Throws RangeError when the bytes are not a whole number of elements.
 */
export function decodeFloats(dtype: FloatDtype, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const size = FLOAT_BYTES[dtype];
  if (bytes.byteLength % size !== 0) {
    throw new RangeError(`${bytes.byteLength} bytes are not a whole number of ${dtype} elements (${size} bytes each).`);
  }
  switch (dtype) {
    case 'F32':
      return new Float32Array(alignedCopy(bytes));
    case 'F16':
      return decodeHalves(new Uint16Array(alignedCopy(bytes)));
    case 'BF16':
      return decodeBrainFloats(new Uint16Array(alignedCopy(bytes)));
    default:
      return dtype satisfies never;
  }
}

/** Typed array views need aligned offsets, and a range of a file need not have one. */
function alignedCopy(bytes: Uint8Array): ArrayBuffer {
  const copy = new Uint8Array(bytes.byteLength);
  copy.set(bytes);
  return copy.buffer;
}

function decodeBrainFloats(values: Uint16Array): Float32Array<ArrayBuffer> {
  const bits = new Uint32Array(values.length);
  // A bfloat16 is the upper half of a float32.
  for (let i = 0; i < values.length; i++) bits[i] = (values[i] as number) << 16;
  return new Float32Array(bits.buffer);
}

let halfTable: Uint32Array | undefined;

function decodeHalves(values: Uint16Array): Float32Array<ArrayBuffer> {
  halfTable ??= makeHalfTable();
  const bits = new Uint32Array(values.length);
  for (let i = 0; i < values.length; i++) bits[i] = halfTable[values[i] as number] as number;
  return new Float32Array(bits.buffer);
}

/** float32 bits of each of the 65,536 halves: 256 KB, several times faster than taking every element apart. */
function makeHalfTable(): Uint32Array {
  const table = new Uint32Array(0x10000);
  for (let half = 0; half < table.length; half++) table[half] = halfToFloatBits(half);
  return table;
}

/** IEEE 754 binary16 → binary32: exponent bias 15 → 127, 10 → 23 fraction bits. */
function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  // Subnormal: the highest set bit becomes the implicit one.
  const shift = Math.clz32(fraction) - 21;
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}
