/** Quantization on the GPU against what bitsandbytes makes of the same tensors. */
import { afterAll, expect, test } from 'vitest';
import fp4IndexJson from '../../../e2e/golden/bnb-vectors/fp4.json?raw';
import fp4FileUrl from '../../../e2e/golden/bnb-vectors/fp4.safetensors?url';
import indexJson from '../../../e2e/golden/bnb-vectors/vectors.json?raw';
import fileUrl from '../../../e2e/golden/bnb-vectors/vectors.safetensors?url';
import { acquireGpu } from '../device/gpu.ts';
import { DYNAMIC_MAP, midpoints, type QuantType, quantizationTable } from './nf4_codebook.ts';
import { doubleQuantize, nf4Quantize } from './nf4_quantize.ts';
import { differences, parseBnbVectors } from './testing/bnb_vectors.ts';
import { withBench } from './testing/harness.ts';

const read = async (type: QuantType, index: string, url: string) => {
  const file = await (await fetch(url)).arrayBuffer();
  return parseBnbVectors(index, new Uint8Array(file)).map((vector) => ({ type, vector }));
};
const vectors = [...(await read('nf4', indexJson, fileUrl)), ...(await read('fp4', fp4IndexJson, fp4FileUrl))];
const gpu = await acquireGpu(navigator.gpu);
afterAll(() => gpu.dispose());

test.each(vectors)('$type $vector.name', async ({ type, vector }) => {
  const { dtype, elements, input } = vector;
  const blocks = vector.absmax.length;
  const padded = new Uint8Array(Math.ceil(input.length / 4) * 4);
  padded.set(input);
  await withBench(gpu, {}, async (bench) => {
    const absmax = bench.output('absmax', blocks);
    const codes = bench.output('codes', Math.ceil(elements / 8));
    const quantized = bench.output('quantized', Math.ceil(blocks / 4));
    const nested = bench.output('nested', 1 + vector.nestedAbsmax.length);
    nf4Quantize(bench.plan, {
      source: bench.input('source', new Uint32Array(padded.buffer)),
      dtype,
      thresholds: bench.input('thresholds', quantizationTable(type)),
      codes,
      absmax,
      flags: bench.inout('flags', Uint32Array.of(0xffffffff)),
      elements,
      tensor: 0,
      firstWord: 0,
      firstBlock: 0,
    });
    const thresholds = bench.input('thresholds', midpoints(DYNAMIC_MAP));
    doubleQuantize(bench.plan, { absmax, thresholds, quantized, nested, blocks });
    await bench.run();
    const bytes = async (tensor: typeof codes) => new Uint8Array((await bench.words(tensor)).buffer);
    const floats = async (tensor: typeof codes) => new Float32Array((await bench.words(tensor)).buffer);
    const [offset, ...nestedAbsmax] = await floats(nested);
    const found = differences(
      vector,
      await bytes(codes),
      await floats(absmax),
      await bytes(quantized),
      offset,
      Float32Array.from(nestedAbsmax),
    );
    expect(found).toEqual([]);
  });
});
