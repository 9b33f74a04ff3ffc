import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeFloats, isFloatDtype } from './float_dtypes.ts';

function bytesOf(values: Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(values.buffer);
}

/** IEEE 754's definition, in float64, where every half is exact. */
function halfValue(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

describe('decodeFloats', () => {
  test('F16: all 65,536 values', () => {
    const halves = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    const decoded = decodeFloats('F16', bytesOf(halves));
    const wrong = [...halves].filter((half) => !Object.is(decoded[half], halfValue(half)));
    expect(wrong).toEqual([]);
  });

  test('BF16: all 65,536 values are the upper halves of float32', () => {
    const values = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
    const bits = new Uint32Array(decodeFloats('BF16', bytesOf(values)).buffer);
    expect([...values].filter((value) => bits[value] !== value * 0x10000)).toEqual([]);
    expect(decodeFloats('BF16', new Uint8Array([0x80, 0x3f, 0x01, 0x00]))).toEqual(new Float32Array([1, 2 ** -133]));
  });

  test('F32: bits pass unchanged, subnormals and NaN payloads too', () => {
    const bits = new Uint32Array([1, 0x80000000, 0x7fc00123, 0x7f800001, 0x3f800000]);
    const decoded = decodeFloats('F32', new Uint8Array(bits.buffer));
    expect(new Uint32Array(decoded.buffer)).toEqual(bits);
  });

  test('any alignment of the bytes, and no shared memory with them', () => {
    fc.assert(
      fc.property(fc.float32Array({ minLength: 1 }), fc.integer({ min: 0, max: 7 }), (values, offset) => {
        const holder = new Uint8Array(offset + values.byteLength);
        holder.set(bytesOf(values as Float32Array<ArrayBuffer>), offset);
        const decoded = decodeFloats('F32', holder.subarray(offset));
        holder.fill(0xff);
        expect(decoded).toEqual(values);
      }),
    );
  });

  test('refuses part of an element; accepts none', () => {
    expect(() => decodeFloats('F16', new Uint8Array(3))).toThrow(RangeError);
    expect(() => decodeFloats('F32', new Uint8Array(6))).toThrow(/F32/);
    expect(decodeFloats('F32', new Uint8Array(0))).toHaveLength(0);
  });

  test('knows its dtypes', () => {
    expect(['F32', 'F16', 'BF16', 'U8', 'F64', 'toString'].filter(isFloatDtype)).toEqual(['F32', 'F16', 'BF16']);
  });
});
