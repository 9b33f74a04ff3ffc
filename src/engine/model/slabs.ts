/** Layers' slabs outside the GPU: from where layers are streamed that do not fit. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import { CODEBOOKS, DYNAMIC_MAP } from '../kernels/nf4_codebook.ts';
import type { WeightSource } from '../weight_source.ts';
import { allFinite, MissingTensorError, NonFiniteWeightsError, readSmallTensor } from './float_tensor.ts';
import { type CodesLayout, type FloatsLayout, type LayerLayout, TABLE_WORDS } from './layer_layout.ts';
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

type Put = (atWord: number, values: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>) => void;

/** Slabs put together, each time anew, from a checkpoint that holds its linears in 4 bits, or some as they are to be. */
export class StoredSlabs implements SlabSource {
  readonly #spec: ModelSpec;
  readonly #layouts: readonly LayerLayout[];
  readonly #source: WeightSource;
  readonly #quantization: Quantization;

  constructor(spec: ModelSpec, layouts: readonly LayerLayout[], source: WeightSource, quantization: Quantization) {
    this.#spec = spec;
    this.#layouts = layouts;
    this.#source = source;
    this.#quantization = quantization;
  }

  /** @throws NonFiniteWeightsError, MissingTensorError and what the source throws */
  async read(layer: number): Promise<Uint8Array<ArrayBuffer>> {
    const { layerPrefix } = this.#spec.tensors;
    const layout = this.#layouts[layer];
    const slab = new Uint8Array(layout.words * 4);
    const put: Put = (atWord, values) =>
      slab.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), atWord * 4);
    put(0, CODEBOOKS[this.#quantization.quantType]);
    put(TABLE_WORDS - DYNAMIC_MAP.length, DYNAMIC_MAP);
    const norms = [...layout.norms].map(async ([name, { at }]) => {
      const values = await readSmallTensor(this.#source, `${layerPrefix}${layer}.${name}.weight`);
      put(at, values.map((w) => w + this.#spec.norm.weightOffset) as Float32Array<ArrayBuffer>);
    });
    const linears = [...layout.linears].map(async ([name, linear]) => {
      const tensor = `${layerPrefix}${layer}.${name}`;
      if (linear.dtype === null) await this.#codes(`${tensor}.weight`, linear, put);
      else await this.#floats(`${tensor}.weight`, linear, put);
      if (linear.biasAt !== null) put(linear.biasAt, await readSmallTensor(this.#source, `${tensor}.bias`));
    });
    await Promise.all([...norms, ...linears]);
    return slab;
  }

  async #codes(tensor: string, layout: CodesLayout, put: Put): Promise<void> {
    const info = this.#source.quantized?.(tensor);
    if (!info || !this.#source.scales) throw new MissingTensorError(tensor);
    const { inFeatures, outFeatures } = layout.linear;
    const tables = { codes: CODEBOOKS[this.#quantization.quantType], scales: DYNAMIC_MAP };
    const [bytes, { absmax, nested }] = await Promise.all([
      this.#source.read(tensor, 0, info.codeBytes),
      this.#source.scales(tensor, [outFeatures, inFeatures], tables),
    ]);
    const floats = nested ? nested.absmax : new Float32Array(absmax.slice().buffer);
    if (!floats.every(Number.isFinite)) throw new NonFiniteWeightsError(`${tensor}.absmax`);
    put(layout.codesAt, bytes);
    put(layout.absmaxAt, absmax);
    if (nested) put(layout.nestedAt, Float32Array.of(nested.offset, ...nested.absmax));
  }

  async #floats(tensor: string, layout: FloatsLayout, put: Put): Promise<void> {
    const info = this.#source.info(tensor);
    if (!info) throw new MissingTensorError(tensor);
    const bytes = await this.#source.read(tensor, 0, info.byteLength);
    if (!allFinite(bytes, layout.dtype)) throw new NonFiniteWeightsError(tensor);
    put(layout.codesAt, bytes);
  }
}
