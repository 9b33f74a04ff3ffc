/** The reference quantizer against what PyTorch stored for the golden models, and the tables it uses. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeFloats, isFloatDtype } from '../../formats/float_dtypes.ts';
import { DYNAMIC_MAP, midpoints, NF4_CODEBOOK, type QuantType } from './nf4_codebook.ts';
import {
  dequantizeReference,
  doubleDequantizeReference,
  doubleQuantizeReference,
  packCodes,
  quantizeReference,
} from './nf4_quantize.reference.ts';
import { differences, parseBnbVectors } from './testing/bnb_vectors.ts';
import { packBytes } from './testing/quantized.ts';
import { Random } from './testing/random.ts';

const golden = new URL('../../../e2e/golden/', import.meta.url);

interface StoredTensor {
  readonly dtype: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

function readTensors(url: URL): Map<string, StoredTensor> {
  const file = new Uint8Array(readFileSync(url));
  const headerBytes = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header: Record<string, { dtype: string; data_offsets: [number, number] }> = JSON.parse(
    new TextDecoder().decode(file.subarray(8, 8 + headerBytes)),
  );
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            dtype,
            data_offsets: [begin, end],
          },
        ]) => {
          return [name, { dtype, bytes: file.slice(8 + headerBytes + begin, 8 + headerBytes + end) }];
        },
      ),
  );
}

const floats = ({ dtype, bytes }: StoredTensor) => {
  if (!isFloatDtype(dtype)) throw new Error(`${dtype} is not a float dtype`);
  return decodeFloats(dtype, bytes);
};

const withModel = readdirSync(golden)
  .filter((name) => existsSync(new URL(`${name}/expected/nf4.safetensors`, golden)))
  .map((name) => ({ name, type: quantType(`${name}/case.json`), made: quantType(`${name}/model/config.json`) }))
  // Where bitsandbytes wrote the checkpoint there is nothing left to quantize.
  .filter(({ made }) => made === undefined);

function quantType(path: string): QuantType | undefined {
  const { quantization, quantization_config } = JSON.parse(readFileSync(new URL(path, golden), 'utf8'));
  return (quantization ?? quantization_config)?.bnb_4bit_quant_type;
}

test.each(withModel)('$name: codes and absmax as PyTorch stored them', ({ name, type }) => {
  const model = new Map<string, StoredTensor>();
  for (const file of readdirSync(new URL(`${name}/model/`, golden))) {
    if (!file.endsWith('.safetensors')) continue;
    for (const [key, tensor] of readTensors(new URL(`${name}/model/${file}`, golden))) {
      // The file of a model that sees has the names of an older module tree.
      model.set(key.replace(/^language_model\.model\./, 'model.language_model.'), tensor);
    }
  }
  const stored = readTensors(new URL(`${name}/expected/nf4.safetensors`, golden));
  const modules = [...stored.keys()].filter((key) => key.endsWith('.packed')).map((key) => key.slice(0, -7));
  expect(modules.length).toBeGreaterThan(0);
  for (const module of modules) {
    const { codes, absmax } = quantizeReference(floats(model.get(`${module}.weight`)!), type);
    const packed = new Uint8Array(packCodes(codes, type).buffer);
    expect(packed.subarray(0, stored.get(`${module}.packed`)!.bytes.length), module).toEqual(
      stored.get(`${module}.packed`)!.bytes,
    );
    const storedAbsmax = stored.get(`${module}.absmax`)!;
    if (storedAbsmax.dtype === 'F32') {
      expect(absmax, module).toEqual(floats(storedAbsmax));
      continue;
    }
    const nested = doubleQuantizeReference(absmax);
    expect(nested.quantized, module).toEqual(storedAbsmax.bytes);
    const [offset] = floats(stored.get(`${module}.nested_offset`)!);
    expect(Math.abs(nested.offset / offset - 1), module).toBeLessThanOrEqual(3e-7);
    floats(stored.get(`${module}.nested_absmax`)!).forEach((value, i) => {
      expect(Math.abs(nested.nestedAbsmax[i] / value - 1), module).toBeLessThanOrEqual(3e-7);
    });
  }
});

const readVectors = (file: string) =>
  parseBnbVectors(
    readFileSync(new URL(`bnb-vectors/${file}.json`, golden), 'utf8'),
    new Uint8Array(readFileSync(new URL(`bnb-vectors/${file}.safetensors`, golden))),
  );
const vectors = readVectors('vectors');
const all = [
  ...vectors.map((vector) => ({ type: 'nf4' as const, vector })),
  ...readVectors('fp4').map((vector) => ({ type: 'fp4' as const, vector })),
];

test.each(all)('$type $vector.name: as bitsandbytes quantizes it', ({ type, vector }) => {
  const { codes, absmax } = quantizeReference(decodeFloats(vector.dtype, vector.input), type);
  const { offset, quantized, nestedAbsmax } = doubleQuantizeReference(absmax);
  const packed = new Uint8Array(packCodes(codes, type).buffer);
  expect(differences(vector, packed, absmax, quantized, offset, nestedAbsmax)).toEqual([]);
});

test('control: one wrong code, absmax or byte is seen', () => {
  const vector = vectors.find(({ name }) => name === 'weight_f32')!;
  const { packed, absmax, absmaxBytes, nestedOffset, nestedAbsmax } = vector;
  const spoil = <T extends Uint8Array | Float32Array>(values: T, i: number): T => {
    const copy = values.slice() as T;
    copy[i] += 1;
    return copy;
  };
  expect(differences(vector, spoil(packed, 7), absmax, absmaxBytes, nestedOffset, nestedAbsmax)).toEqual([
    'codes 14, 15',
  ]);
  expect(differences(vector, packed, spoil(absmax, 3), absmaxBytes, nestedOffset, nestedAbsmax)).toEqual(['absmax 3']);
  expect(differences(vector, packed, absmax, spoil(absmaxBytes, 3), nestedOffset, nestedAbsmax)).toEqual([
    'absmax byte 3',
  ]);
  expect(differences(vector, packed, absmax, absmaxBytes, nestedOffset + 1, nestedAbsmax)).toContain('nested offset');
});

test('the dynamic map has the marks REFERENCE.md §1 names', () => {
  expect(DYNAMIC_MAP.length).toBe(256);
  expect([DYNAMIC_MAP[0], DYNAMIC_MAP[127], DYNAMIC_MAP[255]]).toEqual([-0.99296875, 0, 1].map(Math.fround));
  expect(DYNAMIC_MAP.every((x, i) => i === 0 || x > DYNAMIC_MAP[i - 1])).toBe(true);
});

test('a tie takes the lower code, just above it the higher one', () => {
  const thresholds = midpoints(NF4_CODEBOOK);
  const up = (x: number) => {
    const word = new Uint32Array(Float32Array.of(x).buffer);
    word[0] += x > 0 ? 1 : -1;
    return new Float32Array(word.buffer)[0];
  };
  thresholds.forEach((threshold, i) => {
    expect([...quantizeReference(Float32Array.of(1, threshold, up(threshold))).codes]).toEqual([15, i, i + 1]);
  });
});

test('a block of zeros is code 7, also in a trailing nibble, and decodes to 0', () => {
  const { codes, absmax } = quantizeReference(new Float32Array(3));
  expect([...new Uint8Array(packCodes(codes).buffer)]).toEqual([0x77, 0x77, 0x77, 0x77]);
  expect([...dequantizeReference({ codes, absmax: absmax.map(() => 5) })]).toEqual([0, 0, 0]);
});

test('double quantization returns each absmax within half a step of the map', () => {
  const absmax = new Random(1).uniform(1000, 0.1, 0.5);
  const nested = doubleQuantizeReference(absmax);
  const decoded = doubleDequantizeReference(nested);
  decoded.forEach((value, i) => {
    expect(Math.abs(value - absmax[i])).toBeLessThan(0.008 * nested.nestedAbsmax[i >> 8]);
  });
  expect(packBytes(nested.quantized).length).toBe(250);
});
