/**
 * A model's frozen weights on the GPU: a slab in a slot for each layer, embedding, head, final norm. Where the layers do not
 * fit a budget, there are fewer slots than layers, which then pass through them.
 */
import { type LinearSpec, layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import { linearPaths } from '../../formats/stored_linears.ts';
import { allocate, OutOfGpuMemoryError } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { GpuMemoryError, readable } from '../device/ledger.ts';
import { readBuffer } from '../device/readback.ts';
import type { TableDtype } from '../kernels/float_dtype.ts';
import type { LinearGroup } from '../kernels/matmul_nf4.ts';
import { CODEBOOKS, DYNAMIC_MAP, type QuantType } from '../kernels/nf4_codebook.ts';
import type { NormWeight } from '../kernels/rms_norm.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import {
  FINAL_NORM_SECTION,
  layerSection,
  type SectionReader,
  type WeightCache,
  WeightCacheError,
} from '../weight_cache.ts';
import type { WeightSource } from '../weight_source.ts';
import { copyTensor, readSmallTensor, writePadded } from './float_tensor.ts';
import { type CodesLayout, type LayerLayout, type LinearFormats, layerLayouts, TABLE_WORDS } from './layer_layout.ts';
import { LayerRing, type StreamingFigures } from './layer_ring.ts';
import { Quantizer } from './quantizer.ts';
import { allocateRowShards, loadRowShards, type RowShards, tablePieces } from './row_shards.ts';
import { KeptSlabs, StoredSlabs } from './slabs.ts';
import { storedFormats } from './stored_formats.ts';

/** Sections of a cache that are read and checked at a time: their hashes are computed beside each other. */
const READ_AHEAD = 6;
/** Bytes of them, but for one. */
const READ_AHEAD_BYTES = 96 * 2 ** 20;

export interface LoadingProgress {
  readonly loadedBytes: number;
  readonly totalBytes: number;
  readonly tensor: string;
}

/** A linear as bitsandbytes holds it. */
export interface QuantizedTensor {
  /** Module path, `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  readonly packed: Uint8Array;
  /** One byte a block with double quantization, else f32. */
  readonly absmax: Uint8Array | Float32Array;
  readonly nestedAbsmax: Float32Array | null;
  readonly nestedOffset: number | null;
}

export class ModelWeights {
  readonly spec: ModelSpec;
  readonly formats: LinearFormats;
  /** One a layer. */
  readonly layouts: readonly LayerLayout[];
  /** As the options or the checkpoint had it. */
  readonly quantType: QuantType;
  readonly embedding: RowShards;
  readonly head: RowShards;
  readonly #gpu: Gpu;
  /** As many as layers, or fewer: then layer i is in slot i modulo their number when a plan has entered it. */
  readonly #slots: readonly BufferTensor[];
  readonly #ring: LayerRing | null;
  readonly #finalNorm: BufferTensor;

  private constructor(
    gpu: Gpu,
    spec: ModelSpec,
    formats: LinearFormats,
    parts: {
      layouts: readonly LayerLayout[];
      slots: readonly BufferTensor[];
      ring: LayerRing | null;
      finalNorm: BufferTensor;
      embedding: RowShards;
      head: RowShards;
    },
    quantType: QuantType = 'nf4',
  ) {
    this.quantType = quantType;
    this.#gpu = gpu;
    this.spec = spec;
    this.formats = formats;
    this.layouts = parts.layouts;
    this.#slots = parts.slots;
    this.#ring = parts.ring;
    this.#finalNorm = parts.finalNorm;
    this.embedding = parts.embedding;
    this.head = parts.head;
  }

  /**
   * Streams a checkpoint onto the GPU, tensor by tensor, quantizing the decoder's linears to 4 bits; one that has them in 4
   * bits already, or some of them, as it is, whatever the options say. Layers beyond the budget, or beyond what the device has
   * room for, are kept in host memory as far as its budget goes, else read whenever they are needed: from the cache, or from
   * the source where it has them in 4 bits.
   *
   * @throws WeightBudgetError, NonFiniteWeightsError, MissingTensorError, MixedQuantizationError, GpuMemoryError; nothing stays allocated then.
   */
  static async load(
    gpu: Gpu,
    spec: ModelSpec,
    source: WeightSource,
    options: {
      /** NF4 by default. */
      readonly quantType?: QuantType;
      readonly doubleQuant: boolean;
      /** Takes sections as they come, and gives those that an earlier load has left there. */
      readonly cache?: WeightCache | null;
      /** Embedding and head in 8 bits, not in the checkpoint's dtype. */
      readonly tablesInBytes?: boolean;
      /** Bytes of GPU memory for all weights; without it all are there at once. */
      readonly budget?: number;
      /** Bytes of host memory for layers that the cache has too. */
      readonly hostBudget?: number;
      readonly onLoading?: (progress: LoadingProgress) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<ModelWeights> {
    const cache = options.cache ?? null;
    const linears = layerLinears(spec);
    const linearNames = linearPaths(spec).map((path) => `${path}.weight`);
    const quantized = storedFormats(spec, source);
    const quantType = quantized?.quantType ?? options.quantType ?? 'nf4';
    const { doubleQuant, floats }: LinearFormats = quantized ?? options;
    const formats = { doubleQuant, floats: floats ?? null };
    const layouts = layerLayouts(spec, formats);
    const names = [spec.tensors.embedding, ...(spec.tiedHead ? [] : [spec.tensors.head])];
    const bytesOf = (name: string) => source.info(name)?.byteLength ?? 0;
    const linearBytes = (name: string) => source.quantized?.(name)?.codeBytes ?? bytesOf(name);
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    const totalBytes = sum(names.map(bytesOf)) + sum(linearNames.map(linearBytes));
    let loadedBytes = 0;
    const progress = (tensor: string) => (bytes: number) => {
      options.signal?.throwIfAborted();
      loadedBytes += bytes;
      options.onLoading?.({ loadedBytes, totalBytes, tensor });
    };
    const before = new Set(gpu.ledger.buffers());
    let sections: SectionReader | null = null;
    const quantizer = new Quantizer(
      gpu,
      { quantType, doubleQuant },
      Math.max(...linears.map((l) => l.inFeatures * l.outFeatures)),
    );
    try {
      const toBytes = options.tablesInBytes ? quantizer : null;
      const rows = (name: string) => loadRowShards(gpu, source, name, toBytes, progress(name), cache);
      const embedding = await rows(spec.tensors.embedding);
      const head = spec.tiedHead ? embedding : await rows(spec.tensors.head);
      const finalNorm = weightBuffer(gpu, spec.tensors.finalNorm, spec.hiddenSize * 4);
      const write = (tensor: BufferTensor, at: number, values: Float32Array<ArrayBuffer>) =>
        gpu.device.queue.writeBuffer(tensor.buffer, at * 4, values);
      const norm = async (name: string) =>
        (await readSmallTensor(source, name)).map((w) => w + spec.norm.weightOffset) as Float32Array<ArrayBuffer>;
      const lastNorm = await norm(spec.tensors.finalNorm);
      write(finalNorm, 0, lastNorm);
      await cache?.write(FINAL_NORM_SECTION, new Uint8Array(lastNorm.buffer));
      const slots = await withRoom(gpu, spec, (most) => allocateSlots(gpu, layouts, options.budget, most));
      const held: (number | null)[] = slots.map(() => null);
      const streams = slots.length < spec.layers.length;
      sections = (streams && (await cache?.reader())) || null;
      const kept = new KeptSlabs(gpu, layouts, sections, options.hostBudget);
      // What the checkpoint has in 4 bits is read from it when it is needed, unless a cache is to have all of it.
      const stored = quantized && !cache ? quantized : null;
      for (let i = 0; i < spec.layers.length; i++) {
        if (streams && stored && i >= slots.length) break;
        const prefix = `${spec.tensors.layerPrefix}${i}.`;
        const slab = slots[i % slots.length];
        const layout = layouts[i];
        held[i % slots.length] = i;
        const cached = await cache?.read(layerSection(i));
        if (cached?.byteLength === layout.words * 4) {
          gpu.device.queue.writeBuffer(slab.buffer, 0, cached);
          if (streams) await kept.keep(i, cached);
          const name = `${prefix}${linears[0].name}.weight`;
          progress(name)(sum(linears.map((linear) => linearBytes(`${prefix}${linear.name}.weight`))));
          continue;
        }
        write(slab, 0, CODEBOOKS[quantType]);
        write(slab, TABLE_WORDS - DYNAMIC_MAP.length, DYNAMIC_MAP);
        for (const [name, { at }] of layout.norms) write(slab, at, await norm(`${prefix}${name}.weight`));
        for (const [name, linear] of layout.linears) {
          const tensor = `${prefix}${name}.weight`;
          if (linear.dtype !== null)
            await copyTensor(gpu, source, tensor, slab.buffer, linear.codesAt * 4, progress(tensor));
          else if (quantized) await quantizer.copy(source, tensor, slab, linear, progress(tensor));
          else await quantizer.quantize(source, tensor, slab, linear, progress(tensor));
          if (linear.biasAt !== null)
            write(slab, linear.biasAt, await readSmallTensor(source, `${prefix}${name}.bias`));
        }
        if (!cache && !(streams && !stored)) continue;
        // What is kept must be worth keeping.
        if (cache) await quantizer.checkFinite();
        const slabBytes = new Uint8Array(await readBuffer(gpu, slab.buffer, 0, layout.words * 4));
        await cache?.write(layerSection(i), slabBytes);
        if (streams) await kept.keep(i, slabBytes);
      }
      await quantizer.checkFinite();
      quantizer.dispose();
      const slabs = stored ? new StoredSlabs(spec, layouts, source, stored) : kept;
      const ring = streams ? new LayerRing(gpu, slots, slabs, held) : null;
      const parts = { layouts, slots, ring, finalNorm, embedding, head };
      return new ModelWeights(gpu, spec, formats, parts, quantType);
    } catch (error) {
      for (const buffer of gpu.ledger.buffers()) if (!before.has(buffer)) gpu.ledger.destroy(buffer);
      await sections?.close();
      throw error;
    }
  }

  /**
   * Fills a model's buffers from a complete cache, as they were when it was written.
   *
   * @throws WeightCacheError where a section is not there or damaged, GpuMemoryError; nothing stays allocated then.
   */
  static async fromCache(
    gpu: Gpu,
    spec: ModelSpec,
    cache: Pick<WeightCache, 'read' | 'reader'>,
    options: LinearFormats & {
      /** What the codes stand for. */
      readonly quantType: QuantType;
      readonly tableDtype: TableDtype;
      /** As of {@link load}; layers beyond it are kept in host memory, or read from the cache beyond the host's. */
      readonly budget?: number;
      readonly hostBudget?: number;
      readonly onLoading?: (progress: LoadingProgress) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<ModelWeights> {
    const { quantType, doubleQuant, floats, tableDtype, budget, hostBudget } = options;
    const formats = { doubleQuant, floats: floats ?? null };
    const before = new Set(gpu.ledger.buffers());
    let file: SectionReader | null = null;
    try {
      const model = await withRoom(gpu, spec, (most) =>
        ModelWeights.blank(gpu, spec, formats, tableDtype, budget, most),
      );
      const { layouts, embedding, head } = model;
      const [slots, finalNorm] = [model.#slots, model.#finalNorm];
      const { tensors } = spec;
      const tables = [
        ...tablePieces(tensors.embedding, embedding, spec.hiddenSize),
        ...(spec.tiedHead ? [] : tablePieces(tensors.head, head, spec.hiddenSize)),
      ].flat();
      const place = (section: string, { buffer }: BufferTensor, bytes: number, layer: number | null) => {
        return { section, buffer, offset: 0, bytes, layer };
      };
      const sections = [
        ...tables.map((piece) => ({ ...piece, layer: null })),
        place(FINAL_NORM_SECTION, finalNorm, spec.hiddenSize * 4, null),
        ...spec.layers.map((_, i) => place(layerSection(i), slots[i % slots.length], layouts[i].words * 4, i)),
      ];
      const streams = slots.length < spec.layers.length;
      file = (streams && (await cache.reader())) || null;
      const kept = new KeptSlabs(gpu, layouts, file, hostBudget);
      const totalBytes = sections.reduce((sum, { bytes }) => sum + bytes, 0);
      let loadedBytes = 0;
      // The next ones are read and checked while one is uploaded.
      const reading: Promise<Uint8Array<ArrayBuffer> | null>[] = [];
      let bytesAhead = 0;
      /** Of sections that are uploaded: to read others into. */
      const used: Uint8Array<ArrayBuffer>[] = [];
      for (const [i, { section, buffer, offset, bytes, layer }] of sections.entries()) {
        for (let ahead = reading.length; ahead < Math.min(sections.length, i + READ_AHEAD); ahead++) {
          const next = sections[ahead];
          if (ahead > i && bytesAhead + next.bytes > READ_AHEAD_BYTES) break;
          bytesAhead += next.bytes;
          const at = used.findIndex((memory) => memory.buffer.byteLength >= next.bytes);
          const [into] = at < 0 ? [] : used.splice(at, 1);
          reading.push(cache.read(next.section, into && new Uint8Array(into.buffer, 0, next.bytes)));
          reading[ahead].catch(() => undefined);
        }
        options.signal?.throwIfAborted();
        const read = await reading[i];
        if (read?.byteLength !== bytes) throw new WeightCacheError(section);
        writePadded(gpu, buffer, offset, read);
        if (streams && layer !== null) await kept.keep(layer, read);
        // What streams may be kept as it is.
        else if (used.length < READ_AHEAD) used.push(read);
        reading[i] = Promise.resolve(null);
        bytesAhead -= bytes;
        if (i % READ_AHEAD === 0) await gpu.device.queue.onSubmittedWorkDone();
        loadedBytes += bytes;
        options.onLoading?.({ loadedBytes, totalBytes, tensor: section });
      }
      await gpu.device.queue.onSubmittedWorkDone();
      // The last layer that went through a slot is in it.
      const last = spec.layers.length - 1;
      const held = slots.map((_, slot) => last - ((last - slot) % slots.length));
      const ring = streams ? new LayerRing(gpu, slots, kept, held) : null;
      return new ModelWeights(gpu, spec, formats, { layouts, slots, ring, finalNorm, embedding, head }, quantType);
    } catch (error) {
      for (const buffer of gpu.ledger.buffers()) if (!before.has(buffer)) gpu.ledger.destroy(buffer);
      await file?.close();
      throw error;
    }
  }

  /** The buffers without their contents: what a model needs, on a device that only counts. */
  static blank(
    gpu: Gpu,
    spec: ModelSpec,
    formats: LinearFormats,
    tableDtype: TableDtype,
    budget?: number,
    mostSlots?: number,
  ): ModelWeights {
    const layouts = layerLayouts(spec, formats);
    const table = (name: string) => allocateRowShards(gpu, name, [spec.vocabSize, spec.hiddenSize], tableDtype);
    const embedding = table(spec.tensors.embedding);
    const head = spec.tiedHead ? embedding : table(spec.tensors.head);
    const finalNorm = weightBuffer(gpu, spec.tensors.finalNorm, spec.hiddenSize * 4);
    const slots = allocateSlots(gpu, layouts, budget, mostSlots);
    return new ModelWeights(gpu, spec, formats, { layouts, slots, ring: null, finalNorm, embedding, head });
  }

  /** Slots for layers, and how many layers there are. */
  get slots(): { readonly count: number; readonly of: number } {
    return { count: this.#slots.length, of: this.spec.layers.length };
  }

  /** Bytes of GPU memory that a load with as many slots needs as its budget; undefined where every layer has one. */
  get budget(): number | undefined {
    const { count, of } = this.slots;
    return count < of ? this.#tensors().reduce((sum, { bytes }) => sum + bytes, 0) : undefined;
  }

  /** What was streamed so far; null where all layers are on the GPU. */
  get streaming(): StreamingFigures | null {
    return this.#ring?.figures ?? null;
  }

  /**
   * For a plan that visits layers in this order: each call of what comes back goes before the recording of the next visit,
   * and sees that the layer is in its slot by then.
   */
  visits(plan: PlanBuilder, order: readonly number[]): () => void {
    return this.#ring?.visits(plan, order) ?? (() => {});
  }

  /** Linears of a layer that share an input. */
  group(layer: number, linears: readonly LinearSpec[]): LinearGroup {
    const places = linears.map(({ name }) => this.layouts[layer].linears.get(name)!);
    return {
      slab: this.#slot(layer),
      doubleQuant: this.formats.doubleQuant,
      floats: places.find(({ dtype }) => dtype !== null)?.dtype ?? null,
      linears: places.map(({ linear: { inFeatures, outFeatures }, codesAt, absmaxAt, nestedAt, biasAt }) => ({
        ...{ codesAt, absmaxAt, nestedAt, biasAt, inFeatures, outFeatures },
      })),
      inFeatures: linears[0].inFeatures,
      outFeatures: linears.reduce((sum, { outFeatures }) => sum + outFeatures, 0),
    };
  }

  norm(layer: number, name: string): NormWeight {
    const { at, width } = this.layouts[layer].norms.get(name)!;
    return { tensor: this.#slot(layer), at, width, epsilon: this.spec.norm.epsilon };
  }

  get finalNorm(): NormWeight {
    return { tensor: this.#finalNorm, at: 0, width: this.spec.hiddenSize, epsilon: this.spec.norm.epsilon };
  }

  /** Reads every linear in 4 bits back, as bitsandbytes' bytes. */
  async *quantized(): AsyncGenerator<QuantizedTensor> {
    for (let i = 0; i < this.spec.layers.length; i++) {
      const slab = await this.#ring?.read(i);
      for (const [name, layout] of this.layouts[i].linears) {
        if (layout.dtype === null) yield await this.#linear(i, name, layout, slab);
      }
    }
  }

  /** Reads a linear of a layer back; `name` is its path in the layer, `self_attn.q_proj`. Null where it is not in 4 bits. */
  async readQuantized(layer: number, name: string): Promise<QuantizedTensor | null> {
    const layout = this.layouts[layer]?.linears.get(name);
    if (!layout) throw new RangeError(`There is no ${name} in layer ${layer}.`);
    return layout.dtype === null ? this.#linear(layer, name, layout, await this.#ring?.read(layer)) : null;
  }

  /** `slab`: the layer's, where layers pass through the slots. */
  async #linear(layer: number, name: string, l: CodesLayout, slab: Uint8Array | undefined): Promise<QuantizedTensor> {
    const read = async (at: number, words: number) =>
      slab?.slice(at * 4, (at + words) * 4).buffer ??
      (await readBuffer(this.#gpu, this.#slot(layer).buffer, at * 4, words * 4));
    const packed = new Uint8Array(await read(l.codesAt, l.codesWords), 0, Math.ceil(l.elements / 2));
    const scales = await read(l.absmaxAt, l.absmaxWords);
    const nested = l.nestedWords > 0 ? new Float32Array(await read(l.nestedAt, l.nestedWords)) : null;
    return {
      name: `${this.spec.tensors.layerPrefix}${layer}.${name}`,
      packed,
      absmax: nested ? new Uint8Array(scales, 0, l.blocks) : new Float32Array(scales),
      nestedAbsmax: nested ? nested.slice(1) : null,
      nestedOffset: nested ? nested[0] : null,
    };
  }

  #slot(layer: number): BufferTensor {
    return this.#slots[layer % this.#slots.length];
  }

  #tensors(): BufferTensor[] {
    const tables = this.head === this.embedding ? [this.embedding] : [this.embedding, this.head];
    return [...this.#slots, this.#finalNorm, ...tables.flatMap(({ shards }) => shards.map((s) => s.tensor))];
  }

  dispose(): void {
    this.#ring?.dispose();
    for (const { buffer } of this.#tensors()) this.#gpu.ledger.destroy(buffer);
  }
}

/** Weights that do not fit their budget even if layers pass through two slots. */
export class WeightBudgetError extends Error {
  override name = 'WeightBudgetError';
}

/** Slots that layers can pass through: while one is used the next one is filled. */
const LEAST_SLOTS = 2;

/** Allocates with a slot a layer; where the device has no room for that with half as many, down to the least. */
async function withRoom<T>(gpu: Gpu, { layers }: ModelSpec, make: (mostSlots: number) => T): Promise<T> {
  for (let most = layers.length; ; most = Math.max(LEAST_SLOTS, Math.floor(most / 2))) {
    try {
      return await allocate(gpu, () => make(most));
    } catch (error) {
      if (!(error instanceof OutOfGpuMemoryError) || most <= LEAST_SLOTS) throw error;
    }
  }
}

/** Bytes of each of so many slots: layer i goes through slot i modulo their number. */
const slotBytes = (layouts: readonly LayerLayout[], count: number): number[] =>
  Array.from({ length: count }, (_, slot) =>
    Math.max(...layouts.filter((_, i) => i % count === slot).map(({ words }) => words * 4)),
  );

/**
 * A slot a layer, or as many as the budget leaves beside the weights that are allocated already.
 *
 * @throws WeightBudgetError where two are too many, GpuMemoryError where kernels could not bind one
 */
function allocateSlots(
  gpu: Gpu,
  layouts: readonly LayerLayout[],
  budget?: number,
  most = Number.POSITIVE_INFINITY,
): BufferTensor[] {
  const { weights } = gpu.ledger.byCategory();
  const sum = (sizes: readonly number[]) => sizes.reduce((a, b) => a + b, 0);
  const least = Math.min(LEAST_SLOTS, layouts.length);
  let sizes = slotBytes(layouts, Math.min(layouts.length, most));
  while (budget !== undefined && weights + sum(sizes) > budget) {
    if (sizes.length === least) {
      throw new WeightBudgetError(
        `The weights may take ${readable(budget)}; embedding, head and two layers need ${readable(weights + sum(sizes))}. ` +
          'Raise weight_memory_budget, or pick a smaller model.',
      );
    }
    sizes = slotBytes(layouts, sizes.length - 1);
  }
  const [largest, limit] = [Math.max(...sizes), gpu.capabilities.maxBindingBytes];
  if (largest > limit) {
    throw new GpuMemoryError(
      `A layer of this model has ${readable(largest)} of weights; this device reads at most ${readable(limit)} of one buffer. ` +
        'Pick a smaller model, or one with fewer linears in 16 bits.',
    );
  }
  return sizes.map((bytes, i) => weightBuffer(gpu, `layer slot ${i}`, bytes));
}

function weightBuffer(gpu: Gpu, label: string, size: number): BufferTensor {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  return bufferTensor(label, gpu.ledger.create({ label, size, usage, category: 'weights' }));
}
