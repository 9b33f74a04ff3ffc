/**
 * Where everything of one decoder layer lies in its slab: a single buffer range of words that a kernel binds whole and
 * addresses by offsets. Layers with the same linears in 4 bits share a layout; a layer's weights are named by slot, and a
 * slot can later be filled with another layer.
 */
import { type LinearSpec, layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import type { FloatLinears } from '../../formats/stored_linears.ts';
import { DTYPE_BYTES } from '../kernels/float_dtype.ts';
import { BLOCK, NESTED_BLOCK } from '../kernels/nf4_quantize.ts';
import { ALIGNMENT } from '../plan/tensor.ts';
import type { FloatDtype } from '../weight_source.ts';

/** What a model's linears are held in. */
export interface LinearFormats {
  /** Whether absmax is held in 8 bits (QLoRA's double quantization). */
  readonly doubleQuant: boolean;
  /** Those that are not in 4 bits; none by default. */
  readonly floats?: FloatLinears | null;
}

/** Word offsets of a linear's parts (shaders/common/nf4.wgsl). */
interface LinearPlace {
  readonly linear: LinearSpec;
  readonly elements: number;
  /** Of codes, or of the elements of one in floats. */
  readonly codesAt: number;
  readonly codesWords: number;
  readonly biasAt: number | null;
}

/** In 4 bits. */
export interface CodesLayout extends LinearPlace {
  readonly dtype: null;
  readonly blocks: number;
  readonly absmaxAt: number;
  readonly absmaxWords: number;
  readonly nestedAt: number;
  readonly nestedWords: number;
}

/** In the checkpoint's floats. */
export interface FloatsLayout extends LinearPlace {
  readonly dtype: FloatDtype;
  readonly absmaxAt: null;
  readonly nestedAt: 0;
}

export type LinearLayout = CodesLayout | FloatsLayout;

export interface LayerLayout {
  readonly words: number;
  readonly linears: ReadonlyMap<string, LinearLayout>;
  /** f32 norm weights by name. */
  readonly norms: ReadonlyMap<string, { readonly at: number; readonly width: number }>;
}

/** The 16-entry codebook, then the 256-entry dynamic map. */
export const TABLE_WORDS = 16 + 256;

/** One a layer. */
export function layerLayouts(spec: ModelSpec, { doubleQuant, floats }: LinearFormats): LayerLayout[] {
  const known = new Map<string, LayerLayout>();
  const paths = new Set(floats?.paths);
  return spec.layers.map((_, i) => {
    const prefix = `${spec.tensors.layerPrefix}${i}.`;
    const names = layerLinears(spec).flatMap(({ name }) => (paths.has(prefix + name) ? [name] : []));
    const key = names.join();
    const layout = known.get(key) ?? layerLayout(spec, doubleQuant, floats?.dtype ?? null, new Set(names));
    known.set(key, layout);
    return layout;
  });
}

/** @param names linears that are in `dtype` */
function layerLayout(
  spec: ModelSpec,
  doubleQuant: boolean,
  dtype: FloatDtype | null,
  names: ReadonlySet<string>,
): LayerLayout {
  let end = 0;
  const take = (words: number) => {
    const at = end;
    const step = ALIGNMENT / 4;
    end += Math.ceil(words / step) * step;
    return at;
  };
  take(TABLE_WORDS);
  const norms = new Map<string, { at: number; width: number }>();
  const normNames = spec.norm.names;
  for (const name of [normNames.beforeAttention, normNames.afterAttention, normNames.beforeMlp, normNames.afterMlp]) {
    if (name) norms.set(name, { at: take(spec.hiddenSize), width: spec.hiddenSize });
  }
  for (const name of [normNames.query, normNames.key]) {
    if (name) norms.set(name, { at: take(spec.attention.headDim), width: spec.attention.headDim });
  }
  const linears = new Map<string, LinearLayout>();
  for (const linear of layerLinears(spec)) {
    const elements = linear.inFeatures * linear.outFeatures;
    const bias = () => (linear.bias ? take(linear.outFeatures) : null);
    if (dtype !== null && names.has(linear.name)) {
      const codesWords = Math.ceil((elements * DTYPE_BYTES[dtype]) / 4);
      const places = { codesAt: take(codesWords), codesWords, absmaxAt: null, nestedAt: 0 as const, biasAt: bias() };
      linears.set(linear.name, { linear, elements, dtype, ...places });
      continue;
    }
    const blocks = Math.ceil(elements / BLOCK);
    const codesWords = Math.ceil(elements / 8);
    const absmaxWords = doubleQuant ? Math.ceil(blocks / 4) : blocks;
    const nestedWords = doubleQuant ? 1 + Math.ceil(blocks / NESTED_BLOCK) : 0;
    linears.set(linear.name, {
      ...{ linear, elements, dtype: null, blocks },
      codesAt: take(codesWords),
      codesWords,
      absmaxAt: take(absmaxWords),
      absmaxWords,
      nestedAt: take(nestedWords),
      nestedWords,
      biasAt: bias(),
    });
  }
  return { words: end, linears, norms };
}
