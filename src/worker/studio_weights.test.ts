import { expect, it } from 'vitest';
import {
  dequantizeReference,
  doubleDequantizeReference,
  doubleQuantizeReference,
  quantizeReference,
} from '../engine/kernels/nf4_quantize.reference.ts';
import { figuresOf } from './studio_weights.ts';

const ELEMENTS = 64 * 300 + 7;
const original = Float32Array.from({ length: ELEMENTS }, () => Math.random() + Math.random() + Math.random() - 1.5);

function packed(codes: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(codes.length / 2));
  codes.forEach((code, i) => {
    bytes[i >> 1] |= i % 2 === 0 ? code << 4 : code;
  });
  return bytes;
}

it.each(['nf4', 'fp4'] as const)('counts the levels of %s and measures the error', (type) => {
  const { codes, absmax } = quantizeReference(original, type);
  const { quantized, nestedAbsmax, offset } = doubleQuantizeReference(absmax);
  const tensor = { name: 'q', packed: packed(codes), absmax: quantized, nestedAbsmax, nestedOffset: offset };
  const figures = figuresOf(tensor, ELEMENTS, type, original);
  const scales = doubleDequantizeReference({ quantized, nestedAbsmax, offset });
  const restored = dequantizeReference({ codes, absmax: Float32Array.from(scales) }, type);
  const squares = (values: ArrayLike<number>) => Array.from(values, (v) => v * v).reduce((a, b) => a + b, 0);
  const error = Math.sqrt(squares(original.map((w, i) => w - restored[i])) / squares(original));
  expect(figures.error).toBeCloseTo(error, 4);
  expect(figures.uses.reduce((a, b) => a + b)).toBe(ELEMENTS);
  expect(figures.levels).toEqual([...figures.levels].sort((a, b) => a - b));
  const value = (i: number) => restored[i] / scales[Math.floor(i / 64)];
  const top = Array.from({ length: ELEMENTS }, (_, i) => Math.abs(value(i) - 1) < 1e-6).filter(Boolean).length;
  expect(figures.uses[15]).toBe(top);
  expect(figuresOf(tensor, ELEMENTS, type, null).error).toBeNull();
});
