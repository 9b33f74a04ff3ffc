import type { FloatDtype } from '../weight_source.ts';
import { CODEBOOKS, DYNAMIC_MAP, midpoints, type QuantType, quantizationTable } from './nf4_codebook.ts';
import { doubleQuantizeReference, packCodes, quantizeReference } from './nf4_quantize.reference.ts';
import { absmaxMeanKernel, doubleQuantize, nf4Quantize } from './nf4_quantize.ts';
import { type FloatTable, randomTable, tableOfBits } from './testing/float_table.ts';
import { EXACT, type KernelCase, POISON, withBench } from './testing/harness.ts';
import { packBytes } from './testing/quantized.ts';
import { Random } from './testing/random.ts';

const exactFiles = ['common/indexing.wgsl', 'common/exact.wgsl'];
const quantizeFiles = ['nf4_quantize.wgsl', 'common/float_dtypes.wgsl', ...exactFiles];

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

interface QuantizeShape {
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly type?: QuantType;
  readonly source: (random: Random) => FloatTable;
  readonly firstWord?: number;
  readonly firstBlock?: number;
}

/** Codes, absmax and everything around them, to the bit. */
const quantizeCase = ({
  name,
  dtype,
  type = 'nf4',
  source,
  firstWord = 0,
  firstBlock = 0,
}: QuantizeShape): KernelCase => ({
  name: `nf4_quantize ${type === 'nf4' ? '' : `${type} `}${dtype} ${name}`,
  shaderFiles: quantizeFiles,
  run: (gpu, seed) =>
    withBench(gpu, {}, async (bench) => {
      const table = source(new Random(seed));
      const elements = table.values.length;
      const reference = quantizeReference(Float32Array.from(table.values), type);
      const words = packCodes(reference.codes, type);
      const codes = bench.output('codes', firstWord + words.length);
      const absmax = bench.output('absmax', firstBlock + reference.absmax.length);
      const flags = bench.inout('flags', Uint32Array.of(0xffffffff));
      nf4Quantize(bench.plan, {
        source: bench.input('source', table.words),
        dtype,
        thresholds: bench.input('thresholds', quantizationTable(type)),
        codes,
        absmax,
        flags,
        elements,
        tensor: 3,
        firstWord,
        firstBlock,
      });
      await bench.run();
      const before = (count: number) => new Array<number>(count).fill(POISON);
      const wrong =
        (await bench.wrongWords(codes, [...before(firstWord), ...words])) +
        (await bench.wrongWords(absmax, [...before(firstBlock), ...bitsOf(reference.absmax)])) +
        (await bench.wrongWords(flags, [0xffffffff]));
      return { error: wrong, tolerance: EXACT };
    }),
});

/** f32 blocks whose scaled values lie on thresholds and within two units in the last place of them. */
function nearThresholds(random: Random, blocks: number, absmaxOf: () => number, type: QuantType = 'nf4'): FloatTable {
  const thresholds = midpoints(CODEBOOKS[type].slice().sort());
  const bits = new Uint32Array(blocks * 64);
  const values = new Float32Array(bits.buffer);
  for (let block = 0; block < blocks; block++) {
    const absmax = Math.fround(absmaxOf());
    const inverse = Math.fround(1 / absmax);
    for (let i = 0; i < 64; i++) {
      const at = block * 64 + i;
      values[at] = Math.fround(thresholds[i % 15] / inverse);
      // Around FP4's threshold 0 lie subnormal numbers, which a GPU takes for 0.
      if (thresholds[i % 15] !== 0) bits[at] += random.integer(-2, 3);
    }
    values[block * 64 + random.integer(0, 64)] = random.next() < 0.5 ? absmax : -absmax;
  }
  return tableOfBits('F32', [...bits]);
}

/** NaN and infinities at the given elements lower flags[0] to the tensor's number. */
const flagCase = (dtype: FloatDtype, bits: number, at: number): KernelCase => ({
  name: `nf4_quantize flags ${dtype} 0x${bits.toString(16)} at ${at}`,
  shaderFiles: quantizeFiles,
  run: (gpu, seed) =>
    withBench(gpu, {}, async (bench) => {
      const random = new Random(seed);
      const elements = 100;
      const sound = randomTable(random, dtype, elements).words;
      const spoilt = sound.slice();
      if (dtype === 'F32') spoilt[at] = bits;
      else new Uint16Array(spoilt.buffer)[at] = bits;
      const flags = bench.inout('flags', Uint32Array.of(0xffffffff));
      for (const [tensor, words] of [sound, spoilt, sound, spoilt].entries()) {
        nf4Quantize(bench.plan, {
          source: bench.input('source', words),
          dtype,
          thresholds: bench.input('thresholds', quantizationTable('nf4')),
          codes: bench.output('codes', 16),
          absmax: bench.output('absmax', 2),
          flags,
          elements,
          tensor,
          firstWord: 0,
          firstBlock: 0,
        });
      }
      await bench.run();
      return { error: await bench.wrongWords(flags, [1]), tolerance: EXACT };
    }),
});

interface AbsmaxShape {
  readonly name: string;
  readonly blocks: number;
  readonly absmax: (random: Random, blocks: number) => Float32Array<ArrayBuffer>;
}

/**
 * Absmax values whose distances from their mean, scaled, lie on the dynamic map's thresholds and near them. The largest
 * distance stands at both signs in each block of 256.
 */
function nearMapThresholds(random: Random, blocks: number): Float32Array<ArrayBuffer> {
  const thresholds = midpoints(DYNAMIC_MAP);
  const [mean, scale, step] = [0.2, 0.1, 2 ** -26];
  const distances = Float64Array.from({ length: blocks / 2 }, (_, i) => {
    return i % 128 === 0 ? scale : thresholds[random.integer(0, 255)] * scale + random.integer(-4, 5) * step;
  });
  return Float32Array.from({ length: blocks }, (_, i) => mean + (i % 2 === 0 ? 1 : -1) * distances[i >> 1]);
}

const DOUBLE_SHAPES: readonly AbsmaxShape[] = [
  { name: 'one', blocks: 1, absmax: (random, blocks) => random.uniform(blocks, 0.1, 1) },
  { name: 'equal', blocks: 300, absmax: (_, blocks) => new Float32Array(blocks).fill(0.123) },
  { name: 'uniform', blocks: 7, absmax: (random, blocks) => random.uniform(blocks, 0.02, 0.5) },
  { name: 'uniform', blocks: 255, absmax: (random, blocks) => random.uniform(blocks, 0.02, 0.5) },
  { name: 'uniform', blocks: 257, absmax: (random, blocks) => random.uniform(blocks, 1e-3, 2e-3) },
  {
    name: 'some zero',
    blocks: 513,
    absmax: (random, blocks) => random.uniform(blocks, -0.1, 0.5).map((x) => Math.max(0, x)),
  },
  { name: 'on thresholds', blocks: 4096, absmax: nearMapThresholds },
  {
    name: 'normal',
    blocks: 20_001,
    absmax: (random, blocks) => random.normal(blocks, 0.01).map((x) => Math.abs(x) + 0.02),
  },
];

/** Offset, bytes and second-level absmax to the bit. */
const doubleCase = ({ name, blocks, absmax: absmaxOf }: AbsmaxShape): KernelCase => ({
  name: `double_quantize ${blocks} ${name}`,
  shaderFiles: ['absmax_mean.wgsl', 'absmax_quantize.wgsl', ...exactFiles],
  run: (gpu, seed) =>
    withBench(gpu, {}, async (bench) => {
      const absmax = absmaxOf(new Random(seed), blocks);
      const reference = doubleQuantizeReference(absmax);
      const bytes = new Uint8Array(Math.ceil(blocks / 4) * 4).fill(127);
      bytes.set(reference.quantized);
      const quantized = bench.output('quantized', bytes.length / 4);
      const nested = bench.output('nested', 1 + reference.nestedAbsmax.length);
      doubleQuantize(bench.plan, {
        absmax: bench.input('absmax', absmax),
        thresholds: bench.input('thresholds', midpoints(DYNAMIC_MAP)),
        quantized,
        nested,
        blocks,
      });
      await bench.run();
      const wrong =
        (await bench.wrongWords(nested, bitsOf(Float32Array.of(reference.offset, ...reference.nestedAbsmax)))) +
        (await bench.wrongWords(quantized, packBytes(bytes)));
      return { error: wrong, tolerance: EXACT };
    }),
});

/** Magnitudes from 2^-40 to 1: the fixed point drops some bits, so the last bit of the mean may differ. */
const wideMean: KernelCase = {
  name: 'absmax_mean over 40 powers of two',
  shaderFiles: ['absmax_mean.wgsl', 'common/exact.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, {}, async (bench) => {
      const random = new Random(seed);
      const absmax = random.uniform(1000, -40, 0).map((x) => 2 ** x);
      const offset = bench.output('offset', 1);
      bench.plan.dispatch(absmaxMeanKernel, {
        bindings: { absmax: bench.input('absmax', absmax), offset },
        params: { blocks: absmax.length },
        workgroups: () => [1, 1, 1],
      });
      await bench.run();
      const mean = absmax.reduce((sum, x) => sum + x, 0) / absmax.length;
      const [expected] = bitsOf(Float32Array.of(mean));
      const words = await bench.words(offset);
      return { error: words.subarray(1).some((w) => w !== POISON) ? 99 : Math.abs(words[0] - expected), tolerance: 1 };
    }),
};

export const cases: KernelCase[] = [
  ...(
    [
      { name: '64', dtype: 'F32', source: (random) => randomTable(random, 'F32', 64) },
      { name: '1', dtype: 'F32', source: (random) => randomTable(random, 'F32', 1) },
      {
        name: '63, behind others',
        dtype: 'F16',
        source: (random) => randomTable(random, 'F16', 63),
        firstWord: 8,
        firstBlock: 1,
      },
      { name: '65', dtype: 'BF16', source: (random) => randomTable(random, 'BF16', 65), firstWord: 24, firstBlock: 3 },
      { name: '130 × 33', dtype: 'F32', source: (random) => randomTable(random, 'F32', 130 * 33, { scale: 0.02 }) },
      {
        name: '20001 subnormal',
        dtype: 'F16',
        source: (random) => randomTable(random, 'F16', 20_001, { subnormal: true }),
      },
      { name: '100000', dtype: 'BF16', source: (random) => randomTable(random, 'BF16', 100_000, { scale: 0.02 }) },
      {
        name: 'blocks of zeros and of one value',
        dtype: 'F32',
        source: (random) => {
          const bits = [...randomTable(random, 'F32', 320).words].map((word, i) => (i < 64 || i % 64 === 7 ? word : 0));
          // −0 counts as zero.
          return tableOfBits(
            'F32',
            bits.map((word, i) => (i >= 256 ? 0x80000000 : i >= 192 ? 0 : word)),
          );
        },
      },
      {
        name: 'subnormal values under a normal absmax',
        dtype: 'F32',
        source: (random) => {
          const bits = [...randomTable(random, 'F32', 640, { scale: 2 ** -127 }).words];
          return tableOfBits(
            'F32',
            bits.map((word, i) => (i % 64 === 0 ? 0x00800000 + random.integer(0, 2 ** 24) : word)),
          );
        },
      },
      {
        name: 'on thresholds, powers of two',
        dtype: 'F32',
        source: (random) => nearThresholds(random, 64, () => 2 ** random.integer(-20, 20)),
      },
      {
        name: 'on thresholds, any absmax',
        dtype: 'F32',
        source: (random) => nearThresholds(random, 1000, () => 2 ** (random.next() * 20 - 10)),
      },
      {
        name: '130 × 33',
        dtype: 'BF16',
        type: 'fp4',
        source: (random) => randomTable(random, 'BF16', 130 * 33, { scale: 0.02 }),
        firstWord: 8,
        firstBlock: 1,
      },
      {
        name: 'on thresholds, any absmax',
        dtype: 'F32',
        type: 'fp4',
        source: (random) => nearThresholds(random, 300, () => 2 ** (random.next() * 20 - 10), 'fp4'),
      },
    ] satisfies QuantizeShape[]
  ).map(quantizeCase),
  flagCase('F32', 0x7f800000, 0),
  flagCase('F32', 0xffc00001, 99),
  flagCase('F16', 0xfc00, 64),
  flagCase('BF16', 0x7f81, 31),
  ...DOUBLE_SHAPES.map(doubleCase),
  wideMean,
];
