/**
 * Where everything of one decoder layer lies in its slab: a single buffer range of words that a kernel binds whole and
 * addresses by offsets. All layers share the layout, so a layer's weights are named by slot, and a slot can later be
 * filled with another layer.
 */
import { type LinearSpec, layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import { BLOCK, NESTED_BLOCK } from '../kernels/nf4_quantize.ts';
import { ALIGNMENT } from '../plan/tensor.ts';

/** Word offsets of a linear's parts (shaders/common/nf4.wgsl). */
export interface LinearLayout {
  readonly linear: LinearSpec;
  readonly elements: number;
  readonly blocks: number;
  readonly codesAt: number;
  readonly codesWords: number;
  readonly absmaxAt: number;
  readonly absmaxWords: number;
  readonly nestedAt: number;
  readonly nestedWords: number;
  readonly biasAt: number | null;
}

export interface LayerLayout {
  readonly words: number;
  readonly doubleQuant: boolean;
  readonly linears: ReadonlyMap<string, LinearLayout>;
  /** f32 norm weights by name. */
  readonly norms: ReadonlyMap<string, { readonly at: number; readonly width: number }>;
}

/** The 16-entry codebook, then the 256-entry dynamic map. */
export const TABLE_WORDS = 16 + 256;

export function layerLayout(spec: ModelSpec, doubleQuant: boolean): LayerLayout {
  let end = 0;
  const take = (words: number) => {
    const at = end;
    const step = ALIGNMENT / 4;
    end += Math.ceil(words / step) * step;
    return at;
  };
  take(TABLE_WORDS);
  const norms = new Map<string, { at: number; width: number }>();
  const { names } = spec.norm;
  for (const name of [names.beforeAttention, names.afterAttention, names.beforeMlp, names.afterMlp]) {
    if (name) norms.set(name, { at: take(spec.hiddenSize), width: spec.hiddenSize });
  }
  for (const name of [names.query, names.key]) {
    if (name) norms.set(name, { at: take(spec.attention.headDim), width: spec.attention.headDim });
  }
  const linears = new Map<string, LinearLayout>();
  for (const linear of layerLinears(spec)) {
    const elements = linear.inFeatures * linear.outFeatures;
    const blocks = Math.ceil(elements / BLOCK);
    const codesWords = Math.ceil(elements / 8);
    const absmaxWords = doubleQuant ? Math.ceil(blocks / 4) : blocks;
    const nestedWords = doubleQuant ? 1 + Math.ceil(blocks / NESTED_BLOCK) : 0;
    linears.set(linear.name, {
      linear,
      elements,
      blocks,
      codesAt: take(codesWords),
      codesWords,
      absmaxAt: take(absmaxWords),
      absmaxWords,
      nestedAt: take(nestedWords),
      nestedWords,
      biasAt: linear.bias ? take(linear.outFeatures) : null,
    });
  }
  return { words: end, doubleQuant, linears, norms };
}
