/** How many layers keep what their forward pass computed until their backward pass; the others compute it again. */

/**
 * So many layers, the whole model at most; or as many as keep activations and logits within so many bytes; or all that
 * is allocated on the device, the model included.
 */
export type KeepLayers = { readonly layers: number } | { readonly bytes: number } | { readonly totalBytes: number };

export const KEEP_ALL: KeepLayers = { layers: Number.POSITIVE_INFINITY };
export const KEEP_NONE: KeepLayers = { layers: 0 };

/**
 * For each layer whether only its input is kept and the rest computed again (Chen et al. 2016). The last ones are kept:
 * backward begins with them, so that theirs is free again before the first recomputed layer needs room. Whichever
 * layers are kept, there is a moment, in the last layer's backward, at which all that is kept exists beside that
 * layer's temporaries; earlier layers would add what the last one computes again.
 */
export const recomputedLayers = (layers: number, kept: number): boolean[] =>
  Array.from({ length: layers }, (_, layer) => layer < layers - kept);

/**
 * The most layers that can be kept within `budget` bytes. What a step needs must not fall where more are kept; where even
 * none is too much the answer is 0, and allocating will tell.
 *
 * @param bytes what a step needs for itself where so many are kept: asked ⌈log₂ layers⌉ + 1 times at most
 */
export function chooseKeptLayers(layers: number, budget: number, bytes: (kept: number) => number): number {
  if (bytes(layers) <= budget) return layers;
  let [fits, over] = [0, layers];
  while (over - fits > 1) {
    const middle = Math.floor((fits + over) / 2);
    if (bytes(middle) <= budget) fits = middle;
    else over = middle;
  }
  return fits;
}
