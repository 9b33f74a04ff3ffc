import type { FloatDtype } from '../weight_source.ts';
import { int8Reference } from './int8_quantize.reference.ts';
import { int8Quantize, int8Words } from './int8_quantize.ts';
import { type FloatTable, randomTable, tableOfBits } from './testing/float_table.ts';
import { EXACT, type KernelCase, POISON, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

interface Shape {
  readonly name: string;
  readonly dtype: FloatDtype;
  readonly source: (random: Random) => FloatTable;
  /** Words of other rows before the codes, and between codes and scales. */
  readonly before?: number;
  readonly between?: number;
}

const int8Case = ({ name, dtype, source, before = 0, between = 0 }: Shape): KernelCase => ({
  name: `int8_quantize ${dtype} ${name}`,
  shaderFiles: ['int8_quantize.wgsl', 'common/indexing.wgsl', 'common/float_dtypes.wgsl', 'common/exact.wgsl'],
  run: (gpu, seed) =>
    withBench(gpu, {}, async (bench) => {
      const values = source(new Random(seed));
      const elements = values.values.length;
      const { codes, scales } = int8Reference(Float32Array.from(values.values));
      const words = int8Words(elements);
      const firstScale = before + words.codes + between;
      const table = bench.output('table', firstScale + words.scales);
      int8Quantize(bench.plan, {
        source: bench.input('source', values.words),
        dtype,
        table,
        elements,
        firstWord: before,
        firstScale,
      });
      await bench.run();
      const expected = new Uint32Array(firstScale + words.scales).fill(POISON);
      expected.fill(0, before, before + words.codes);
      new Int8Array(expected.buffer).set(codes, before * 4);
      expected.set(new Uint32Array(scales.buffer), firstScale);
      return { error: await bench.wrongWords(table, expected), tolerance: EXACT };
    }),
});

/** Values half way between two codes, and one step of f32 on either side. */
function ties(random: Random, blocks: number, absmaxOf: () => number): FloatTable {
  const bits = new Uint32Array(blocks * 64);
  const values = new Float32Array(bits.buffer);
  for (let block = 0; block < blocks; block++) {
    const absmax = Math.fround(absmaxOf());
    for (let i = 0; i < 64; i++) {
      const at = block * 64 + i;
      values[at] = ((random.integer(-127, 127) + 0.5) / 127) * absmax;
      bits[at] += random.integer(-1, 2);
    }
    values[block * 64 + random.integer(0, 64)] = random.next() < 0.5 ? absmax : -absmax;
  }
  return tableOfBits('F32', [...bits]);
}

export const cases: KernelCase[] = (
  [
    { name: '1', dtype: 'F32', source: (random) => randomTable(random, 'F32', 1) },
    { name: '63', dtype: 'F16', source: (random) => randomTable(random, 'F16', 63), before: 16, between: 5 },
    { name: '65', dtype: 'BF16', source: (random) => randomTable(random, 'BF16', 65), before: 32, between: 1 },
    { name: '1000 × 33', dtype: 'BF16', source: (random) => randomTable(random, 'BF16', 33_000, { scale: 0.02 }) },
    { name: 'subnormal', dtype: 'F16', source: (random) => randomTable(random, 'F16', 2001, { subnormal: true }) },
    {
      name: 'blocks of zeros, of tiny numbers and of one value',
      dtype: 'F32',
      source: (random) => {
        const tiny = randomTable(random, 'F32', 64, { scale: 2 ** -110 }).words;
        const words = randomTable(random, 'F32', 256).words.map((word, i) => (i < 64 || i % 64 === 7 ? word : 0));
        return tableOfBits('F32', [...words, ...tiny, ...words]);
      },
    },
    {
      name: 'ties, powers of two',
      dtype: 'F32',
      source: (random) => ties(random, 64, () => 2 ** random.integer(-20, 20)),
    },
    {
      name: 'ties, any absmax',
      dtype: 'F32',
      source: (random) => ties(random, 500, () => 2 ** (random.next() * 20 - 10)),
    },
  ] satisfies Shape[]
).map(int8Case);
