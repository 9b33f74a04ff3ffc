import { describe, expect, it } from 'vitest';
import { linearPaths } from '../../formats/stored_linears.ts';
import { tinySpec } from '../train/testing.ts';
import type { FloatDtype, QuantizedInfo, WeightSource } from '../weight_source.ts';
import { MixedQuantizationError, storedFormats } from './stored_formats.ts';

const spec = tinySpec();
const paths = linearPaths(spec);
const [first, second, third] = paths;

type Held = FloatDtype | Pick<QuantizedInfo, 'quantType' | 'doubleQuant'> | null;
const NF4 = { quantType: 'nf4', doubleQuant: true } as const;

/** All in NF4 but those that are named; null: not there. */
function source(others: Readonly<Record<string, Held>> = {}): WeightSource {
  const held = (name: string): Held => {
    const own = others[name.replace(/\.weight$/, '')];
    return own === undefined ? NF4 : own;
  };
  return {
    info(name) {
      const own = held(name);
      if (own !== null && typeof own !== 'string') throw new Error(`${name} is in 4 bits`);
      return own === null ? undefined : { dtype: own, shape: [], byteLength: 0 };
    },
    quantized(name) {
      const own = held(name);
      return own === null || typeof own === 'string' ? undefined : { ...own, codeBytes: 0, blocks: 0 };
    },
    read: () => Promise.reject(new Error('nothing is read')),
  };
}

describe('storedFormats', () => {
  it('is null where no linear is in 4 bits', () => {
    expect(storedFormats(spec, source(Object.fromEntries(paths.map((path) => [path, 'BF16']))))).toBeNull();
  });

  it('tells the linears that are not', () => {
    expect(storedFormats(spec, source())).toEqual({ ...NF4, floats: null });
    expect(storedFormats(spec, source({ [first]: 'F16', [third]: 'F16' }))).toEqual({
      ...NF4,
      floats: { dtype: 'F16', paths: [first, third] },
    });
    // One that is missing is none: reading it says so.
    expect(storedFormats(spec, source({ [second]: null }))).toEqual({ ...NF4, floats: null });
  });

  it.each<[string, Record<string, Held>, RegExp]>([
    ['two kinds of codes', { [second]: { quantType: 'fp4', doubleQuant: true } }, /is nf4 with .* but .* is fp4 with/],
    ['absmax in 8 bits and not', { [second]: { quantType: 'nf4', doubleQuant: false } }, /but \S+k_proj is nf4: /],
    ['several dtypes', { [first]: 'BF16', [third]: 'F32' }, /q_proj is BF16, but \S+v_proj is F32.*Choose the same/],
  ])('refuses %s', (_, others, message) => {
    expect(() => storedFormats(spec, source(others))).toThrow(MixedQuantizationError);
    expect(() => storedFormats(spec, source(others))).toThrow(message);
  });
});
