/** Quantization on the GPU against what bitsandbytes makes of the same tensors. */
import { afterAll, expect, test } from 'vitest';
import fp4IndexJson from '../../../e2e/golden/bnb-vectors/fp4.json?raw';
import fp4FileUrl from '../../../e2e/golden/bnb-vectors/fp4.safetensors?url';
import indexJson from '../../../e2e/golden/bnb-vectors/vectors.json?raw';
import fileUrl from '../../../e2e/golden/bnb-vectors/vectors.safetensors?url';
import { acquireGpu } from '../device/gpu.ts';
import type { QuantType } from './nf4_codebook.ts';
import { parseBnbVectors, quantizedDifferences } from './testing/bnb_vectors.ts';

const read = async (type: QuantType, index: string, url: string) => {
  const file = await (await fetch(url)).arrayBuffer();
  return parseBnbVectors(index, new Uint8Array(file)).map((vector) => ({ type, vector }));
};
const vectors = [...(await read('nf4', indexJson, fileUrl)), ...(await read('fp4', fp4IndexJson, fp4FileUrl))];
const gpu = await acquireGpu(navigator.gpu);
afterAll(() => gpu.dispose());

test.each(vectors)('$type $vector.name', async ({ type, vector }) => {
  expect(await quantizedDifferences(gpu, type, vector)).toEqual([]);
});
