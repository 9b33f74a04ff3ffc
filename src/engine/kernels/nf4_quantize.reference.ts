/**
 * 4-bit quantization as bitsandbytes does it (REFERENCE.md §1), to the bit: f32 arithmetic by Math.fround. The double
 * rounding of Math.fround(1 / x) is innocuous, since 53 ≥ 2·24 + 2.
 */
import { CODEBOOKS, codeOrder, DYNAMIC_MAP, midpoints, type QuantType } from './nf4_codebook.ts';

const BLOCK = 64;
const NESTED_BLOCK = 256;

export interface Nf4Values {
  /** One code an element, 0 … 15. */
  readonly codes: Uint8Array<ArrayBuffer>;
  /** One f32 a block of 64. */
  readonly absmax: Float32Array<ArrayBuffer>;
}

/** How many thresholds x passes strictly. */
const placeOf = (x: number, thresholds: Float32Array) =>
  thresholds.reduce((place, t) => (x > t ? place + 1 : place), 0);

/** Blocks of `block` values, each scaled by the f32 reciprocal of its largest magnitude and rounded to `table`. */
function quantizeBlocks(values: Float32Array, block: number, table: Float32Array): Nf4Values {
  const order = codeOrder(table);
  const thresholds = midpoints(Float32Array.from(order, (code) => table[code]));
  const codes = new Uint8Array(values.length);
  const absmax = new Float32Array(Math.ceil(values.length / block));
  for (let b = 0; b < absmax.length; b++) {
    const end = Math.min(values.length, (b + 1) * block);
    for (let i = b * block; i < end; i++) absmax[b] = Math.max(absmax[b], Math.abs(values[i]));
    const inverse = absmax[b] > 0 ? Math.fround(1 / absmax[b]) : 0;
    for (let i = b * block; i < end; i++) {
      codes[i] = order[placeOf(Math.fround(values[i] * inverse), thresholds)];
    }
  }
  return { codes, absmax };
}

export function quantizeReference(values: Float32Array, type: QuantType = 'nf4'): Nf4Values {
  return quantizeBlocks(values, BLOCK, CODEBOOKS[type]);
}

/** The code of 0. */
const ZERO: Readonly<Record<QuantType, number>> = { nf4: 7, fp4: 0 };

/** Codes in words of eight: the even element is a byte's high nibble; padding behind the last element is the code of 0. */
export function packCodes(codes: Uint8Array, type: QuantType = 'nf4'): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(codes.length / 8));
  for (let i = 0; i < words.length * 8; i++) {
    const byte = (i % 8) >> 1;
    const shift = byte * 8 + (i % 2 === 0 ? 4 : 0);
    words[i >> 3] |= (codes[i] ?? ZERO[type]) << shift;
  }
  return words;
}

export interface DoubleQuantized {
  /** f32: the mean of the absmax values. */
  readonly offset: number;
  readonly quantized: Uint8Array<ArrayBuffer>;
  readonly nestedAbsmax: Float32Array<ArrayBuffer>;
}

/** absmax − offset to 8 bits in blocks of 256 against the dynamic map. */
export function doubleQuantizeReference(absmax: Float32Array): DoubleQuantized {
  const offset = Math.fround(absmax.reduce((sum, x) => sum + x, 0) / absmax.length);
  const centred = absmax.map((x) => Math.fround(x - offset));
  const { codes, absmax: nestedAbsmax } = quantizeBlocks(centred, NESTED_BLOCK, DYNAMIC_MAP);
  return { offset, quantized: codes, nestedAbsmax };
}

/** map[q] · nested_absmax[i / 256] + offset, each operation rounded to f32. */
export function doubleDequantizeReference({
  offset,
  quantized,
  nestedAbsmax,
}: DoubleQuantized): Float32Array<ArrayBuffer> {
  return Float32Array.from(quantized, (q, i) =>
    Math.fround(Math.fround(DYNAMIC_MAP[q] * nestedAbsmax[Math.floor(i / NESTED_BLOCK)]) + offset),
  );
}

/** code · absmax in f32. */
export function dequantizeReference({ codes, absmax }: Nf4Values, type: QuantType = 'nf4'): Float64Array<ArrayBuffer> {
  const table = CODEBOOKS[type];
  return Float64Array.from(codes, (code, i) => Math.fround(table[code] * absmax[Math.floor(i / BLOCK)]));
}
