import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeFloats } from './float_dtypes.ts';
import { readSafetensorsHeader } from './safetensors.ts';
import { type F32Tensor, writeSafetensors } from './safetensors_writer.ts';
import { memorySource } from './testing.ts';

const tensor = (shape: number[], values: number[]): F32Tensor => ({
  dtype: 'F32',
  shape,
  data: Float32Array.from(values),
});

describe('writeSafetensors', () => {
  test('writes the bytes that safetensors 0.8 writes', () => {
    const file = writeSafetensors(
      new Map([
        ['b', tensor([2], [1, 2])],
        ['a', tensor([], [3])],
      ]),
      new Map([['format', 'pt']]),
    );
    // python: safetensors.torch.save({'b': tensor([1., 2.]), 'a': tensor(3.)}, {'format': 'pt'})
    const header =
      '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
      '"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8, ' ');
    expect(new DataView(file.buffer).getBigUint64(0, true)).toBe(BigInt(padded.length));
    expect(new TextDecoder().decode(file.subarray(8, 8 + padded.length))).toBe(padded);
    expect(new Float32Array(file.slice(8 + padded.length).buffer)).toEqual(new Float32Array([3, 1, 2]));
  });

  test('what it writes reads back equal: names, shapes, data, metadata', async () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('__proto__', '7', 'constructor', '\uffff', '😀'),
    );
    const value = fc
      .array(fc.nat(4), { maxLength: 3 })
      .chain((shape) =>
        fc
          .float32Array({ minLength: shape.reduce((p, d) => p * d, 1), maxLength: shape.reduce((p, d) => p * d, 1) })
          .map((data): F32Tensor => ({ dtype: 'F32', shape, data })),
      );
    const tensors = fc.array(fc.tuple(name, value), { maxLength: 6 }).map((list) => new Map(list));
    const metadata = fc
      .array(fc.tuple(name, fc.string({ unit: 'binary' })), { maxLength: 3 })
      .map((list) => new Map(list));
    await fc.assert(
      fc.asyncProperty(tensors, metadata, async (written, notes) => {
        const source = memorySource('f', writeSafetensors(written, notes));
        const file = await readSafetensorsHeader(source);
        expect(file.metadata).toEqual(notes);
        expect(new Set(file.tensors.keys())).toEqual(new Set(written.keys()));
        for (const { name, shape, begin, end } of file.tensors.values()) {
          expect(begin % 4).toBe(0);
          expect(shape).toEqual(written.get(name)?.shape);
          expect(decodeFloats('F32', await source.read(begin, end))).toEqual(written.get(name)?.data);
        }
      }),
      { numRuns: 200 },
    );
  });

  test('sorts by code point, not by UTF-16 unit', async () => {
    const names = ['😀', '\uffff', 'aa', 'a', 'B'];
    const file = writeSafetensors(new Map(names.map((name) => [name, tensor([1], [0])])), new Map());
    const { tensors } = await readSafetensorsHeader(memorySource('f', file));
    expect([...tensors.keys()]).toEqual(['B', 'a', 'aa', '\uffff', '😀']);
  });

  test('begins the data at a multiple of 8, whatever the header', () => {
    for (let length = 1; length < 18; length++) {
      const file = writeSafetensors(new Map([['n'.repeat(length), tensor([1], [0])]]), new Map());
      expect((file.length - 4) % 8).toBe(0);
    }
    expect(writeSafetensors(new Map(), new Map())).toHaveLength(16);
  });

  test('refuses what could not be read back', () => {
    expect(() => writeSafetensors(new Map([['a', tensor([3], [1, 2])]]), new Map())).toThrow(/\[3\] does not match 2/);
    expect(() => writeSafetensors(new Map([['__metadata__', tensor([], [1])]]), new Map())).toThrow(/__metadata__/);
    expect(() => writeSafetensors(new Map([['\ud800', tensor([], [1])]]), new Map())).toThrow(/Unicode/);
    expect(writeSafetensors(new Map([['a', tensor([2], [1, 2])]]), new Map()).length).toBeGreaterThan(16);
  });
});
