/** How far an adapter moves each layer. */
import type { AdaptedLinear } from '../formats/lora.ts';
import type { AdapterTensor } from '../formats/peft.ts';

/** Elements up to which norms are told while a run goes on: reading more back would hold it up. */
export const MOST_ELEMENTS = 8_000_000;

/**
 * ‖s·B·A‖_F of each layer, its linears together: the root of the sum of squares. `tensors` are named `<path>.lora_A` [r, in] and
 * `<path>.lora_B` [out, r]; DoRA's magnitudes are not looked at. B·A is never made: ‖BA‖² = tr(BᵀB · AAᵀ).
 */
export function deltaNorms(
  tensors: ReadonlyMap<string, AdapterTensor>,
  adapters: Iterable<Pick<AdaptedLinear, 'path' | 'scale'>>,
  layers: number,
): number[] {
  const squares = new Array<number>(layers).fill(0);
  for (const { path, scale } of adapters) {
    const layer = Number(/\.layers\.(\d+)\./.exec(path)?.[1]);
    const a = tensors.get(`${path}.lora_A`);
    const b = tensors.get(`${path}.lora_B`);
    if (!a || !b || !(layer < layers)) continue;
    const rank = a.shape[0];
    const inner = gram(a.data, rank, a.shape[1], a.shape[1], 1);
    const outer = gram(b.data, rank, b.shape[0], 1, rank);
    squares[layer] += scale ** 2 * inner.reduce((sum, value, i) => sum + value * outer[i], 0);
  }
  return squares.map((square) => Math.sqrt(Math.max(0, square)));
}

/** Products of `rank` vectors with each other: element i of vector k is data[k·vectorStride + i·stride]. [rank, rank] */
function gram(data: Float32Array, rank: number, length: number, vectorStride: number, stride: number): Float64Array {
  const result = new Float64Array(rank * rank);
  for (let k = 0; k < rank; k++) {
    for (let l = k; l < rank; l++) {
      let sum = 0;
      for (let i = 0; i < length; i++) sum += data[k * vectorStride + i * stride] * data[l * vectorStride + i * stride];
      result[k * rank + l] = sum;
      result[l * rank + k] = sum;
    }
  }
  return result;
}
