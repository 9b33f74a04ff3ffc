/** Tables in a checkpoint's dtype or in 8 bits: words as the GPU reads them, and the values they stand for. */
import type { FloatDtype } from '../../weight_source.ts';
import type { TableDtype } from '../float_dtype.ts';
import { dequantizeInt8, int8Reference, packInt8 } from '../int8_quantize.reference.ts';
import type { Random } from './random.ts';

export interface FloatTable {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly values: Float64Array<ArrayBuffer>;
}

/** IEEE 754 binary16, subnormals included, infinities NaN too. */
export function f16Value(half: number): number {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return Number.NaN;
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

/** The bits of the f16 nearest to a number that f16 can hold. */
export function f16Bits(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const magnitude = Math.abs(x);
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  // Counted in the last place; a carry into the next exponent is what it should be.
  const steps = Math.round(magnitude / 2 ** (exponent - 10)) + 1024 * (exponent + 14);
  return (Object.is(x, -0) || x < 0 ? 0x8000 : 0) | steps;
}

/** Numbers as they are when stored in 16 bits. */
export const inF16 = (data: Float32Array): Float32Array<ArrayBuffer> =>
  Float32Array.from(data, (x) => f16Value(f16Bits(x)));

const floatOfBits = (word: number) => new Float32Array(new Uint32Array([word]).buffer)[0];
const bitsOfFloat = (x: number) => new Uint32Array(new Float32Array([x]).buffer)[0];

/** `count` random values about as large as `scale`; with `subnormal` all f16 values are subnormal. */
export function randomTable(
  random: Random,
  dtype: FloatDtype,
  count: number,
  { subnormal = false, scale = 1 } = {},
): FloatTable {
  const elements = Array.from(random.normal(count, scale), (x) => {
    if (dtype === 'F32') return bitsOfFloat(x);
    if (dtype === 'BF16') return bitsOfFloat(x) >>> 16;
    if (subnormal) return random.integer(0, 1024) | (random.integer(0, 2) << 15);
    // Exponents 2^-6 to 2^1 about the scale.
    const exponent = 15 + Math.round(Math.log2(scale)) - random.integer(0, 7);
    return random.integer(0, 1024) | (Math.max(0, exponent) << 10) | (random.integer(0, 2) << 15);
  });
  return tableOfBits(dtype, elements);
}

/** The same for any table that a kernel reads; in 8 bits the scales begin at `scalesAt`. */
export function randomRows(
  random: Random,
  dtype: TableDtype,
  count: number,
  options: { readonly subnormal?: boolean } = {},
): FloatTable & { readonly scalesAt: number } {
  if (dtype !== 'I8') return { ...randomTable(random, dtype, count, options), scalesAt: 0 };
  const table = int8Reference(random.normal(count));
  return { words: packInt8(table), values: dequantizeInt8(table), scalesAt: Math.ceil(count / 4) };
}

/** Elements given by their bits, packed into words. */
export function tableOfBits(dtype: FloatDtype, elements: readonly number[]): FloatTable {
  const values = Float64Array.from(elements, (bits) => {
    if (dtype === 'F16') return f16Value(bits);
    return floatOfBits(dtype === 'BF16' ? bits << 16 : bits);
  });
  if (dtype === 'F32') return { words: Uint32Array.from(elements), values };
  const halves = new Uint16Array(Math.ceil(elements.length / 2) * 2);
  halves.set(elements);
  return { words: new Uint32Array(halves.buffer), values };
}
