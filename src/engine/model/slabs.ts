/** Layers' slabs outside the GPU: from where layers are streamed that do not fit. */
import type { ModelSpec } from '../../formats/model_spec.ts';
import type { Gpu } from '../device/gpu.ts';
import { UploadBuffer } from '../device/host_visible.ts';
import { readBuffer } from '../device/readback.ts';
import { CODEBOOKS, DYNAMIC_MAP } from '../kernels/nf4_codebook.ts';
import { layerSection, type SectionReader, WeightCacheError } from '../weight_cache.ts';
import type { WeightSource } from '../weight_source.ts';
import { allFinite, MissingTensorError, NonFiniteWeightsError, readSmallTensor } from './float_tensor.ts';
import { type CodesLayout, type FloatsLayout, type LayerLayout, TABLE_WORDS } from './layer_layout.ts';
import type { Quantization } from './quantizer.ts';

export interface SlabSource {
  /** Where the GPU copies a slab from that is in host memory to stay; null where it must be read. */
  resident(layer: number): UploadBuffer | null;
  /** The bytes of a layer's slab; not to be changed. */
  read(layer: number): Promise<Uint8Array<ArrayBuffer>>;
  dispose(): void;
}

/** Slabs on their way from a cache, in host memory: those that are read, those that wait for their turn. */
export const SLABS_ON_THE_WAY = 5;
/** Host memory for slabs that lie in a cache too, unless told otherwise. */
export const SLAB_HOST_BYTES = 4 * 2 ** 30;

/**
 * Layers that are read from a cache whenever they are needed, because not all slabs fit the budget: spread evenly, so that others
 * are computed with while one is read.
 */
export function layersFromCache(slabBytes: readonly number[], budget: number): ReadonlySet<number> {
  const all = slabBytes.reduce((sum, bytes) => sum + bytes, 0);
  if (all <= budget) return new Set();
  const largest = Math.max(...slabBytes);
  const count = slabBytes.length;
  const kept = Math.max(0, Math.min(count - 1, Math.floor(budget / largest) - SLABS_ON_THE_WAY));
  // Of `count` places `kept` are crossed by a line from 0 to `kept`.
  const crosses = (i: number) => Math.floor(((i + 1) * kept) / count) > Math.floor((i * kept) / count);
  return new Set(slabBytes.flatMap((_, i) => (crosses(i) ? [] : [i])));
}

/** Slabs that were made or read here once: in host memory that the GPU copies from, or in the cache where they are too many. */
export class KeptSlabs implements SlabSource {
  readonly #gpu: Gpu;
  readonly #layouts: readonly LayerLayout[];
  readonly #sections: SectionReader | null;
  readonly #cached: ReadonlySet<number>;
  readonly #uploads = new Map<number, UploadBuffer>();
  /** Where there is no such memory. */
  readonly #bytes = new Map<number, Uint8Array<ArrayBuffer>>();

  /**
   * @param sections null: all stays in host memory
   * @param budget bytes of host memory
   */
  constructor(gpu: Gpu, layouts: readonly LayerLayout[], sections: SectionReader | null, budget = SLAB_HOST_BYTES) {
    this.#gpu = gpu;
    this.#layouts = layouts;
    this.#sections = sections;
    const sizes = layouts.map(({ words }) => words * 4);
    this.#cached = sections ? layersFromCache(sizes, budget) : new Set();
  }

  /** Takes a layer's slab, which the cache has by now where there is one. */
  async keep(layer: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const cached = this.#sections?.has(layerSection(layer)) ?? false;
    if (cached && this.#cached.has(layer)) return;
    const upload = await UploadBuffer.make(this.#gpu, `layer ${layer} in host memory`, bytes.byteLength);
    if (upload) {
      await upload.fill(bytes);
      this.#uploads.set(layer, upload);
    } else if (!cached) this.#bytes.set(layer, bytes);
  }

  resident(layer: number): UploadBuffer | null {
    return this.#uploads.get(layer) ?? null;
  }

  /** @throws WeightCacheError where the cache no longer has as many bytes as it had, or cannot be read */
  async read(layer: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = this.#bytes.get(layer);
    if (bytes) return bytes;
    const expected = this.#layouts[layer].words * 4;
    const upload = this.#uploads.get(layer);
    if (upload) return new Uint8Array(await readBuffer(this.#gpu, upload.source, 0, expected));
    const section = layerSection(layer);
    const read = await this.#sections?.read(section).catch((error: unknown) => {
      throw new WeightCacheError(section, { cause: error });
    });
    if (read?.byteLength !== expected) throw new WeightCacheError(section);
    return read;
  }

  dispose(): void {
    for (const upload of this.#uploads.values()) upload.destroy();
    this.#uploads.clear();
    void this.#sections?.close().catch(() => undefined);
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

  resident(): null {
    return null;
  }

  dispose(): void {}

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
