/** A model's frozen weights on the GPU: one slab a layer slot, embedding, head, final norm. */
import { type LinearSpec, layerLinears, type ModelSpec } from '../../formats/model_spec.ts';
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import type { LinearGroup } from '../kernels/matmul_nf4.ts';
import { CODEBOOKS, DYNAMIC_MAP, type QuantType } from '../kernels/nf4_codebook.ts';
import type { NormWeight } from '../kernels/rms_norm.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import type { FloatDtype, WeightSource } from '../weight_source.ts';
import { readSmallTensor } from './float_tensor.ts';
import { type LayerLayout, layerLayout, TABLE_WORDS } from './layer_layout.ts';
import { type Quantization, Quantizer } from './quantizer.ts';
import { allocateRowShards, loadRowShards, type RowShards } from './row_shards.ts';

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
  readonly layout: LayerLayout;
  /** As the options or the checkpoint had it. */
  readonly quantType: QuantType;
  readonly embedding: RowShards;
  readonly head: RowShards;
  readonly #gpu: Gpu;
  readonly #slots: readonly BufferTensor[];
  readonly #finalNorm: BufferTensor;

  private constructor(
    gpu: Gpu,
    spec: ModelSpec,
    layout: LayerLayout,
    parts: { slots: readonly BufferTensor[]; finalNorm: BufferTensor; embedding: RowShards; head: RowShards },
    quantType: QuantType = 'nf4',
  ) {
    this.quantType = quantType;
    this.#gpu = gpu;
    this.spec = spec;
    this.layout = layout;
    this.#slots = parts.slots;
    this.#finalNorm = parts.finalNorm;
    this.embedding = parts.embedding;
    this.head = parts.head;
  }

  /**
   * Streams a checkpoint onto the GPU, tensor by tensor, quantizing the decoder's linears to 4 bits, or as the checkpoint has
   * them already: then as it is, whatever the options say.
   *
   * @throws NonFiniteWeightsError, MissingTensorError, MixedQuantizationError, GpuMemoryError; nothing stays allocated then.
   */
  static async load(
    gpu: Gpu,
    spec: ModelSpec,
    source: WeightSource,
    options: {
      /** NF4 by default. */
      readonly quantType?: QuantType;
      readonly doubleQuant: boolean;
      readonly onLoading?: (progress: LoadingProgress) => void;
      readonly signal?: AbortSignal;
    },
  ): Promise<ModelWeights> {
    const linears = layerLinears(spec);
    const linearNames = spec.layers.flatMap((_, i) =>
      linears.map(({ name }) => `${spec.tensors.layerPrefix}${i}.${name}.weight`),
    );
    const quantized = quantizationOf(source, linearNames);
    const quantization = quantized ?? { quantType: options.quantType ?? 'nf4', doubleQuant: options.doubleQuant };
    const layout = layerLayout(spec, quantization.doubleQuant);
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
    const quantizer = new Quantizer(gpu, quantization, Math.max(...linears.map((l) => l.inFeatures * l.outFeatures)));
    try {
      const rows = (name: string) => loadRowShards(gpu, source, name, progress(name));
      const embedding = await rows(spec.tensors.embedding);
      const head = spec.tiedHead ? embedding : await rows(spec.tensors.head);
      const finalNorm = weightBuffer(gpu, spec.tensors.finalNorm, spec.hiddenSize * 4);
      const write = (tensor: BufferTensor, at: number, values: Float32Array<ArrayBuffer>) =>
        gpu.device.queue.writeBuffer(tensor.buffer, at * 4, values);
      const norm = async (name: string) =>
        (await readSmallTensor(source, name)).map((w) => w + spec.norm.weightOffset) as Float32Array<ArrayBuffer>;
      write(finalNorm, 0, await norm(spec.tensors.finalNorm));
      const slots: BufferTensor[] = [];
      for (let i = 0; i < spec.layers.length; i++) {
        const prefix = `${spec.tensors.layerPrefix}${i}.`;
        const slab = weightBuffer(gpu, `layer slot ${i}`, layout.words * 4);
        write(slab, 0, CODEBOOKS[quantization.quantType]);
        write(slab, TABLE_WORDS - DYNAMIC_MAP.length, DYNAMIC_MAP);
        for (const [name, { at }] of layout.norms) write(slab, at, await norm(`${prefix}${name}.weight`));
        for (const [name, linear] of layout.linears) {
          const tensor = `${prefix}${name}.weight`;
          if (quantized) await quantizer.copy(source, tensor, slab, linear, progress(tensor));
          else await quantizer.quantize(source, tensor, slab, linear, progress(tensor));
          if (linear.biasAt !== null)
            write(slab, linear.biasAt, await readSmallTensor(source, `${prefix}${name}.bias`));
        }
        slots.push(slab);
      }
      await quantizer.checkFinite();
      quantizer.dispose();
      const parts = { slots, finalNorm, embedding, head };
      return new ModelWeights(gpu, spec, layout, parts, quantization.quantType);
    } catch (error) {
      for (const buffer of gpu.ledger.buffers()) if (!before.has(buffer)) gpu.ledger.destroy(buffer);
      throw error;
    }
  }

  /** The buffers without their contents: what a model needs, on a device that only counts. */
  static blank(gpu: Gpu, spec: ModelSpec, doubleQuant: boolean, tableDtype: FloatDtype): ModelWeights {
    const layout = layerLayout(spec, doubleQuant);
    const table = (name: string) => allocateRowShards(gpu, name, [spec.vocabSize, spec.hiddenSize], tableDtype);
    const embedding = table(spec.tensors.embedding);
    return new ModelWeights(gpu, spec, layout, {
      slots: spec.layers.map((_, i) => weightBuffer(gpu, `layer slot ${i}`, layout.words * 4)),
      finalNorm: weightBuffer(gpu, spec.tensors.finalNorm, spec.hiddenSize * 4),
      embedding,
      head: spec.tiedHead ? embedding : table(spec.tensors.head),
    });
  }

  /** Linears of a layer that share an input. */
  group(layer: number, linears: readonly LinearSpec[]): LinearGroup {
    return {
      slab: this.#slots[layer],
      doubleQuant: this.layout.doubleQuant,
      linears: linears.map(({ name, inFeatures, outFeatures }) => {
        const { codesAt, absmaxAt, nestedAt, biasAt } = this.layout.linears.get(name)!;
        return { codesAt, absmaxAt, nestedAt, biasAt, inFeatures, outFeatures };
      }),
      inFeatures: linears[0].inFeatures,
      outFeatures: linears.reduce((sum, { outFeatures }) => sum + outFeatures, 0),
    };
  }

  norm(layer: number, name: string): NormWeight {
    const { at, width } = this.layout.norms.get(name)!;
    return { tensor: this.#slots[layer], at, width, epsilon: this.spec.norm.epsilon };
  }

  get finalNorm(): NormWeight {
    return { tensor: this.#finalNorm, at: 0, width: this.spec.hiddenSize, epsilon: this.spec.norm.epsilon };
  }

  /** Reads every quantized linear back, as bitsandbytes' bytes. */
  async *quantized(): AsyncGenerator<QuantizedTensor> {
    for (let i = 0; i < this.#slots.length; i++) {
      for (const name of this.layout.linears.keys()) yield await this.readQuantized(i, name);
    }
  }

  /** Reads a linear of a layer back; `name` is its path in the layer, `self_attn.q_proj`. */
  async readQuantized(layer: number, name: string): Promise<QuantizedTensor> {
    const l = this.layout.linears.get(name);
    if (!l || !this.#slots[layer]) throw new RangeError(`There is no ${name} in layer ${layer}.`);
    const read = (at: number, words: number) => readBuffer(this.#gpu, this.#slots[layer].buffer, at * 4, words * 4);
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

  dispose(): void {
    const tables = this.head === this.embedding ? [this.embedding] : [this.embedding, this.head];
    const tensors = [...this.#slots, this.#finalNorm, ...tables.flatMap(({ shards }) => shards.map((s) => s.tensor))];
    for (const { buffer } of tensors) this.#gpu.ledger.destroy(buffer);
  }
}

/** Linears of one checkpoint that are quantized in different ways, or some of them not. */
export class MixedQuantizationError extends Error {
  override name = 'MixedQuantizationError';
}

/** How a checkpoint holds its linears; null where it holds them in floats. */
function quantizationOf(source: WeightSource, names: readonly string[]): Quantization | null {
  let first: { readonly name: string; readonly text: string; readonly quantization: Quantization | null } | null = null;
  for (const name of names) {
    const info = source.quantized?.(name);
    const quantization = info ? { quantType: info.quantType, doubleQuant: info.doubleQuant } : null;
    const text = info ? `${info.quantType}${info.doubleQuant ? ' with double quantization' : ''}` : 'not quantized';
    first ??= { name, text, quantization };
    if (first.text === text) continue;
    throw new MixedQuantizationError(
      `${first.name} is ${first.text}, but ${name} is ${text}: such mixtures cannot be trained yet. ` +
        'Choose the same model in 16 bit: it is quantized here.',
    );
  }
  return first?.quantization ?? null;
}

function weightBuffer(gpu: Gpu, label: string, size: number): BufferTensor {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  return bufferTensor(label, gpu.ledger.create({ label, size, usage, category: 'weights' }));
}
