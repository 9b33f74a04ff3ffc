import { embeddingReference } from './embedding.reference.ts';
import { embedding } from './embedding.ts';
import type { TableDtype } from './float_dtype.ts';
import { randomRows, tableOfBits } from './testing/float_table.ts';
import { EXACT, F32, type KernelCase, withBench } from './testing/harness.ts';
import { Random } from './testing/random.ts';

const filesOf = (dtype: TableDtype) => [
  'embedding.wgsl',
  'common/indexing.wgsl',
  dtype === 'I8' ? 'common/signed_bytes.wgsl' : 'common/float_dtypes.wgsl',
];

interface Shape {
  readonly dtype: TableDtype;
  readonly tokens: number;
  readonly width: number;
  readonly vocab: number;
  readonly capacity?: number;
  readonly subnormal?: boolean;
  readonly scale?: number;
  /** Row at which the table is cut into two shards. */
  readonly cut?: number;
}

const embeddingCase = (shape: Shape): KernelCase => {
  const { dtype, tokens, width, vocab, capacity = tokens, subnormal = false, scale = 1, cut } = shape;
  const notes = [subnormal ? 'subnormals' : '', scale === 1 ? '' : `× ${scale}`, cut ? 'two shards' : ''];
  return {
    name: ['embedding', dtype, `${tokens} of ${capacity} × ${width}`, ...notes.filter(Boolean)].join(' '),
    shaderFiles: filesOf(dtype),
    run: (gpu, seed) =>
      withBench(gpu, { tokens, capacity }, async (bench) => {
        const random = new Random(seed);
        const ids = random.integers(tokens, 0, vocab);
        const idTensor = bench.input('ids', ids, capacity - tokens);
        const y = bench.output('y', capacity * width);
        const shards =
          cut === undefined
            ? [[0, vocab]]
            : [
                [0, cut],
                [cut, vocab],
              ];
        const values = shards.flatMap(([first, end]) => {
          const { words, values, scalesAt } = randomRows(random, dtype, (end - first) * width, { subnormal });
          const rows = { first, count: end - first };
          const table = bench.input('table', words);
          embedding(bench.plan, { ids: idTensor, table, dtype, scalesAt, y, width, rows, scale });
          return [...values];
        });
        await bench.run();
        const reference = embeddingReference(ids, values, width, scale);
        return { error: await bench.error(y, reference), tolerance: scale === 1 ? EXACT : F32 };
      }),
  };
};

/** Every finite f16 value once. */
const everyHalf: KernelCase = {
  name: 'embedding F16 every finite value',
  shaderFiles: filesOf('F16'),
  run: (gpu) => {
    const bits = Array.from({ length: 65536 }, (_, i) => i).filter((half) => ((half >> 10) & 31) !== 31);
    const tokens = bits.length / 64;
    return withBench(gpu, { tokens }, async (bench) => {
      const table = tableOfBits('F16', bits);
      const y = bench.output('y', bits.length);
      embedding(bench.plan, {
        ids: bench.input(
          'ids',
          Uint32Array.from({ length: tokens }, (_, i) => i),
        ),
        table: bench.input('table', table.words),
        dtype: 'F16',
        y,
        width: 64,
        rows: { first: 0, count: tokens },
      });
      await bench.run();
      const expected = new Uint32Array(Float32Array.from(table.values).buffer);
      return { error: await bench.wrongWords(y, expected), tolerance: EXACT };
    });
  },
};

export const cases: KernelCase[] = [
  ...(
    [
      { dtype: 'F32', tokens: 1, width: 64, vocab: 5 },
      { dtype: 'F32', tokens: 65, width: 33, vocab: 100, capacity: 70 },
      { dtype: 'F16', tokens: 63, width: 33, vocab: 101 },
      { dtype: 'F16', tokens: 7, width: 130, vocab: 9, subnormal: true },
      { dtype: 'F16', tokens: 65, width: 65, vocab: 90, cut: 40, capacity: 80 },
      { dtype: 'BF16', tokens: 1000, width: 7, vocab: 333 },
      { dtype: 'BF16', tokens: 7, width: 63, vocab: 64, scale: 25.25, cut: 2 },
      { dtype: 'I8', tokens: 65, width: 33, vocab: 100, capacity: 70, cut: 64 },
      { dtype: 'I8', tokens: 7, width: 64, vocab: 9, scale: 25.25 },
      // More tokens than workgroups in one dimension.
      { dtype: 'F32', tokens: 65_600, width: 1, vocab: 1000 },
    ] satisfies Shape[]
  ).map(embeddingCase),
  everyHalf,
];
