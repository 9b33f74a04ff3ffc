/** Layers' slabs outside the GPU: from where layers are streamed that do not fit. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import { CODEBOOKS, DYNAMIC_MAP } from '../kernels/nf4_codebook.ts';
import type { WeightSource } from '../weight_source.ts';
import { MissingTensorError, NonFiniteWeightsError, readSmallTensor } from './float_tensor.ts';
import { type LayerLayout, TABLE_WORDS } from './layer_layout.ts';
import type { Quantization } from './quantizer.ts';

export interface SlabSource {
  /** The bytes of a layer's slab; not to be changed. */
  read(layer: number): Promise<Uint8Array<ArrayBuffer>>;
}

/** Slabs that were quantized here, in host memory. */
export class HostSlabs implements SlabSource {
  readonly #slabs = new Map<number, Uint8Array<ArrayBuffer>>();

  keep(layer: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.#slabs.set(layer, bytes);
  }

  async read(layer: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.#slabs.get(layer);
    if (!bytes) throw new Error(`layer ${layer} was not kept`);
    return bytes;
  }
}

/** Slabs put together, each time anew, from a checkpoint or cache that holds its linears in 4 bits. */
export class StoredSlabs implements SlabSource {
  readonly #spec: ModelSpec;
  readonly #layout: LayerLayout;
  readonly #source: WeightSource;
  readonly #quantization: Quantization;

  constructor(spec: ModelSpec, layout: LayerLayout, source: WeightSource, quantization: Quantization) {
    this.#spec = spec;
    this.#layout = layout;
    this.#source = source;
    this.#quantization = quantization;
  }

  /** @throws NonFiniteWeightsError, MissingTensorError and what the source throws */
  async read(layer: number): Promise<Uint8Array<ArrayBuffer>> {
    const { layerPrefix } = this.#spec.tensors;
    const codes = CODEBOOKS[this.#quantization.quantType];
    const slab = new Uint8Array(this.#layout.words * 4);
    const put = (atWord: number, values: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>) =>
      slab.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), atWord * 4);
    put(0, codes);
    put(TABLE_WORDS - DYNAMIC_MAP.length, DYNAMIC_MAP);
    const norms = [...this.#layout.norms].map(async ([name, { at }]) => {
      const values = await readSmallTensor(this.#source, `${layerPrefix}${layer}.${name}.weight`);
      put(at, values.map((w) => w + this.#spec.norm.weightOffset) as Float32Array<ArrayBuffer>);
    });
    const linears = [...this.#layout.linears].map(async ([name, layout]) => {
      const tensor = `${layerPrefix}${layer}.${name}.weight`;
      const info = this.#source.quantized?.(tensor);
      if (!info || !this.#source.scales) throw new MissingTensorError(tensor);
      const { inFeatures, outFeatures } = layout.linear;
      const [bytes, { absmax, nested }] = await Promise.all([
        this.#source.read(tensor, 0, info.codeBytes),
        this.#source.scales(tensor, [outFeatures, inFeatures], { codes, scales: DYNAMIC_MAP }),
      ]);
      const floats = nested ? nested.absmax : new Float32Array(absmax.slice().buffer);
      if (!floats.every(Number.isFinite)) throw new NonFiniteWeightsError(`${tensor}.absmax`);
      put(layout.codesAt, bytes);
      put(layout.absmaxAt, absmax);
      if (nested) put(layout.nestedAt, Float32Array.of(nested.offset, ...nested.absmax));
      if (layout.biasAt !== null) {
        put(layout.biasAt, await readSmallTensor(this.#source, `${layerPrefix}${layer}.${name}.bias`));
      }
    });
    await Promise.all([...norms, ...linears]);
    return slab;
  }
}
