/** What 4 bits make of a layer's weights: how often each level is used, and how far the weights are moved. */

import { CODEBOOKS, codeOrder, DYNAMIC_MAP, type QuantType } from '../engine/kernels/nf4_codebook.ts';
import { readSmallTensor } from '../engine/model/float_tensor.ts';
import type { QuantizedTensor } from '../engine/model/weights.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { droppedFolder } from '../hub/dropped_folder.ts';
import type { LoadedModel } from './studio_model.ts';
import type { ModelLocation, WeightFigures } from './studio_protocol.ts';

const BLOCK = 64;
const NESTED_BLOCK = 256;

/** Scales of the blocks as f32, decoded as the GPU decodes them. */
function absmaxOf({ absmax, nestedAbsmax, nestedOffset }: QuantizedTensor): Float32Array {
  if (!nestedAbsmax) return Float32Array.from(absmax);
  const offset = nestedOffset ?? 0;
  return Float32Array.from(
    absmax,
    (q, i) => Math.fround(DYNAMIC_MAP[q] * nestedAbsmax[Math.floor(i / NESTED_BLOCK)]) + offset,
  );
}

/**
 * Uses of the 16 levels in the order of their values, and the relative error ‖W − Ŵ‖/‖W‖ where the weights as they were are given
 * (row-major, as many as there are codes).
 */
export function figuresOf(
  tensor: QuantizedTensor,
  elements: number,
  quantType: QuantType,
  original: Float32Array | null,
): Omit<WeightFigures, 'linear'> {
  const table = CODEBOOKS[quantType];
  const order = codeOrder(table);
  const scales = absmaxOf(tensor);
  const uses = new Array<number>(16).fill(0);
  let [error, size] = [0, 0];
  for (let i = 0; i < elements; i++) {
    const byte = tensor.packed[i >> 1];
    const code = i % 2 === 0 ? byte >> 4 : byte & 15;
    uses[code]++;
    if (!original) continue;
    error += (original[i] - table[code] * scales[Math.floor(i / BLOCK)]) ** 2;
    size += original[i] ** 2;
  }
  return {
    quantType,
    doubleQuant: tensor.nestedAbsmax !== null,
    levels: order.map((code) => table[code]),
    uses: order.map((code) => uses[code]),
    error: original && size > 0 ? Math.sqrt(error / size) : null,
  };
}

export class NoLevelsError extends Error {
  override name = 'NoLevelsError';
}

/** Of a linear that is on the GPU; its error where the model's files are at hand. A model from the Hub is not read again. */
export async function weightFigures(
  { spec, weights }: LoadedModel,
  location: ModelLocation | null,
  layer: number,
  linear: string,
): Promise<WeightFigures> {
  const tensor = await weights.readQuantized(layer, linear);
  const { elements, dtype } = weights.layouts[layer].linears.get(linear)!;
  if (!tensor) {
    throw new NoLevelsError(
      `${linear} of layer ${layer} has no levels: this checkpoint has it in ${dtype}. Pick another.`,
    );
  }
  let original: Float32Array | null = null;
  if (location?.kind === 'files') {
    const folder = droppedFolder(location.name, location.files);
    const checkpoint = await openCheckpoint(folder, spec.tensors.olderPrefixes);
    const name = `${tensor.name}.weight`;
    // One that is in 4 bits already has no other form.
    if (!checkpoint.quantized(name)) original = await readSmallTensor(checkpoint, name);
  }
  return { linear: tensor.name, ...figuresOf(tensor, elements, weights.quantType, original) };
}
