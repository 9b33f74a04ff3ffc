/**
 * The kernels that multiply matrices by subgroups, checked by Dawn's compiler over an adapter that does nothing: no
 * software adapter has such matrices. That they compute what they should, a GPU's run of the cases says.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { create, globals } from 'webgpu';
import type { Capabilities } from '../device/capabilities.ts';
import {
  attentionBackwardKeyValueKernel,
  attentionBackwardPartialsKernel,
  attentionBackwardQueryKernel,
  attentionForwardKernel,
} from './attention.ts';
import { ATTENTION_MATRIX } from './attention_variant.ts';
import { type KernelDefinition, kernelSource } from './kernel.ts';
import { matmulDenseKernel } from './matmul_dense.ts';
import { matmulNf4Kernel } from './matmul_nf4.ts';
import { ALL_TILES, isMatrix } from './matmul_tile.ts';

// Reachable for ever, or it is collected and the process ends.
const held: { gpu?: GPU } = globalThis as never;
let device: GPUDevice;

beforeAll(async () => {
  Object.assign(globalThis, globals);
  held.gpu = create(['backend=null', 'enable-dawn-features=allow_unsafe_apis']);
  const adapter = await held.gpu.requestAdapter();
  const requiredFeatures = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'] as GPUFeatureName[];
  device = await adapter!.requestDevice({ requiredFeatures });
});

afterAll(() => device.destroy());

async function errors(source: string): Promise<string[]> {
  device.pushErrorScope('validation');
  const messages = (await device.createShaderModule({ code: source }).getCompilationInfo()).messages;
  await device.popErrorScope();
  return messages.filter(({ type }) => type === 'error').map(({ lineNum, message }) => `${lineNum}: ${message}`);
}

const software: Pick<Capabilities, 'software'> = { software: false };
const capabilities = software as Capabilities;
const both = [false, true];
const tiles = Object.entries(ALL_TILES).flatMap(([name, tile]) => (isMatrix(tile) ? [[name, tile] as const] : []));

const compiles = async (kernel: KernelDefinition) => expect(await errors(kernelSource(kernel))).toEqual([]);

describe.each(tiles)('%s', (_, tile) => {
  test('quantized linears, every combination', async () => {
    for (const transposed of both)
      for (const lora of both)
        for (const splitK of both)
          for (const doubleQuant of both) {
            const plain = {
              tile,
              segments: 2,
              doubleQuant,
              floats: null,
              transposed,
              aligned: true,
              splitK,
              lora,
              loraVectors: lora,
              xHalves: false,
              yHalves: false,
            };
            const end = !transposed && !splitK;
            await compiles(matmulNf4Kernel({ ...plain, bias: end, residual: end }, capabilities));
            // Gradients are in f32.
            if (!transposed) {
              const stored = { xHalves: true, yHalves: end || lora };
              await compiles(matmulNf4Kernel({ ...plain, ...stored, bias: end, residual: false }, capabilities));
            }
            const floats = lora ? 'BF16' : 'F16';
            await compiles(matmulNf4Kernel({ ...plain, floats, bias: end, residual: end }, capabilities));
          }
  });

  test('the output head, every dtype', async () => {
    for (const transposed of both)
      for (const dtype of ['F32', 'F16', 'BF16'] as const) {
        const plain = { tile, dtype, transposed, accumulate: transposed, aligned: true, splitK: false };
        await compiles(matmulDenseKernel({ ...plain, xHalves: false }, capabilities));
        if (!transposed) await compiles(matmulDenseKernel({ ...plain, xHalves: true }, capabilities));
      }
  });
});

test.each([16, 64, 80, 128])('attention over heads of %i', async (headDim) => {
  for (const capped of both) {
    for (const make of [
      attentionForwardKernel,
      attentionBackwardQueryKernel,
      attentionBackwardKeyValueKernel,
      attentionBackwardPartialsKernel,
    ]) {
      await compiles(make(headDim, ATTENTION_MATRIX, capped));
      await compiles(make(headDim, ATTENTION_MATRIX, capped, true));
    }
  }
});

test('control: what is wrong is found, and so is a matrix at a place that invocations disagree on', async () => {
  const source = kernelSource(attentionForwardKernel(64, ATTENTION_MATRIX, false));
  expect(await errors(source.replace('var top =', 'var top = oops +'))).not.toEqual([]);
  expect(await errors(source.replaceAll('&tile[subgroup]', '&tile[lane % 4u]'))).not.toEqual([]);
});
