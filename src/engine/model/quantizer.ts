/**
 * Linears from the checkpoint into a layer's slab, and tables to 8 bits, quantized on the GPU piece by piece: neither the
 * host nor the GPU holds more of a tensor than a staging buffer.
 */
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { DTYPE_BYTES } from '../kernels/float_dtype.ts';
import { INT8_BLOCK, int8Quantize } from '../kernels/int8_quantize.ts';
import { STEP_FIELDS, uniformBytes } from '../kernels/kernel.ts';
import { CODEBOOKS, DYNAMIC_MAP, midpoints, type QuantType, quantizationTable } from '../kernels/nf4_codebook.ts';
import { BLOCK, doubleQuantize, nf4Quantize } from '../kernels/nf4_quantize.ts';
import { Arena } from '../plan/arena.ts';
import { PlanBuilder } from '../plan/plan.ts';
import { align, type BufferTensor, bufferTensor, view } from '../plan/tensor.ts';
import type { FloatDtype, WeightSource } from '../weight_source.ts';
import { MissingTensorError, NonFiniteWeightsError, tensorChunks, writePadded } from './float_tensor.ts';
import type { CodesLayout } from './layer_layout.ts';

/** Elements quantized at a time: a whole number of blocks, at most 16 MiB of f32. */
const CHUNK_ELEMENTS = 4 * 2 ** 20;
const NO_TENSOR = 0xffffffff;

export interface Quantization {
  readonly quantType: QuantType;
  /** Whether absmax is held in 8 bits (QLoRA's double quantization). */
  readonly doubleQuant: boolean;
}

export class Quantizer {
  readonly #gpu: Gpu;
  readonly #type: QuantType;
  readonly #doubleQuant: boolean;
  readonly #buffers: GPUBuffer[] = [];
  readonly #staging: BufferTensor;
  /** A whole number of blocks. */
  readonly #chunkElements: number;
  readonly #absmax: BufferTensor;
  readonly #codeThresholds: BufferTensor;
  readonly #absmaxThresholds: BufferTensor;
  readonly #flags: BufferTensor;
  readonly #step: GPUBuffer;
  readonly #tensors: string[] = [];

  /** @param largest elements of the largest linear that will come */
  constructor(gpu: Gpu, { quantType, doubleQuant }: Quantization, largest: number) {
    this.#gpu = gpu;
    this.#type = quantType;
    this.#doubleQuant = doubleQuant;
    const storage = (label: string, size: number, data?: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>) => {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
      const buffer = gpu.ledger.create({ label, size, usage, category: 'staging' });
      if (data) gpu.device.queue.writeBuffer(buffer, 0, data);
      this.#buffers.push(buffer);
      return bufferTensor(label, buffer);
    };
    const whole = Math.ceil(largest / INT8_BLOCK) * INT8_BLOCK;
    this.#chunkElements = Math.min(whole, CHUNK_ELEMENTS);
    this.#staging = storage('weights to quantize', this.#chunkElements * 4);
    this.#absmax = storage('absmax before double quantization', doubleQuant ? Math.ceil(largest / BLOCK) * 4 : 4);
    const codes = quantizationTable(quantType);
    this.#codeThresholds = storage('4-bit thresholds', codes.byteLength, codes);
    const map = midpoints(DYNAMIC_MAP);
    this.#absmaxThresholds = storage('absmax thresholds', map.byteLength, map);
    this.#flags = storage('non-finite flag', 4, new Uint32Array([NO_TENSOR]));
    this.#step = gpu.ledger.create({
      label: 'unused step uniform',
      size: uniformBytes(STEP_FIELDS),
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      category: 'staging',
    });
    this.#buffers.push(this.#step);
  }

  /** Streams one tensor into its places in the slab. `onBytes` hears of every piece that was read. */
  async quantize(
    source: WeightSource,
    name: string,
    slab: BufferTensor,
    layout: CodesLayout,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const info = source.info(name);
    if (!info) throw new MissingTensorError(name);
    const tensor = this.#tensors.push(name) - 1;
    const bytesPerElement = DTYPE_BYTES[info.dtype];
    const codes = view(slab, layout.codesAt * 4, align(layout.codesWords * 4));
    const scales = view(slab, layout.absmaxAt * 4, align(layout.absmaxWords * 4));
    const absmax = this.#doubleQuant ? view(this.#absmax) : scales;
    const chunkBytes = this.chunkBytes(info.dtype);
    for await (const { offset, bytes } of tensorChunks(source, name, 0, info.byteLength, chunkBytes)) {
      const first = offset / bytesPerElement;
      this.#upload(bytes);
      await this.#run((plan) =>
        nf4Quantize(plan, {
          source: this.#staging,
          dtype: info.dtype,
          thresholds: this.#codeThresholds,
          codes,
          absmax,
          flags: this.#flags,
          elements: bytes.byteLength / bytesPerElement,
          tensor,
          firstWord: first / 8,
          firstBlock: first / BLOCK,
        }),
      );
      onBytes(bytes.byteLength);
    }
    if (!this.#doubleQuant) return;
    await this.#run((plan) =>
      doubleQuantize(plan, {
        absmax,
        thresholds: this.#absmaxThresholds,
        quantized: scales,
        nested: view(slab, layout.nestedAt * 4, align(layout.nestedWords * 4)),
        blocks: layout.blocks,
      }),
    );
  }

  /** Of a table that {@link toBytes} takes in pieces. */
  chunkBytes(dtype: FloatDtype): number {
    return this.#chunkElements * DTYPE_BYTES[dtype];
  }

  /** Elements of a table, from `first`, to signed bytes in its buffer; `first` begins a block. */
  async toBytes(
    bytes: Uint8Array<ArrayBuffer>,
    dtype: FloatDtype,
    table: BufferTensor,
    scalesAt: number,
    first: number,
  ): Promise<void> {
    this.#upload(bytes);
    await this.#run((plan) =>
      int8Quantize(plan, {
        source: this.#staging,
        dtype,
        table,
        elements: bytes.byteLength / DTYPE_BYTES[dtype],
        firstWord: first / 4,
        firstScale: scalesAt + first / INT8_BLOCK,
      }),
    );
  }

  /**
   * Copies one tensor that is in 4 bits already. What bitsandbytes decodes from it is what the kernels will.
   *
   * @throws NonFiniteWeightsError for scales that are not finite, and what the source throws for damaged ones.
   */
  async copy(
    source: WeightSource,
    name: string,
    slab: BufferTensor,
    layout: CodesLayout,
    onBytes: (bytes: number) => void,
  ): Promise<void> {
    const info = source.quantized?.(name);
    if (!info || !source.scales) throw new MissingTensorError(name);
    const { inFeatures, outFeatures } = layout.linear;
    const tables = { codes: CODEBOOKS[this.#type], scales: DYNAMIC_MAP };
    const { absmax, nested } = await source.scales(name, [outFeatures, inFeatures], tables);
    const floats = nested ? nested.absmax : new Float32Array(absmax.slice().buffer);
    if (!floats.every(Number.isFinite)) throw new NonFiniteWeightsError(`${name}.absmax`);
    const { queue } = this.#gpu.device;
    const write = (at: number, bytes: Uint8Array<ArrayBuffer>) => {
      const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
      padded.set(bytes);
      queue.writeBuffer(slab.buffer, at, padded);
    };
    write(layout.absmaxAt * 4, absmax);
    if (nested) queue.writeBuffer(slab.buffer, layout.nestedAt * 4, Float32Array.of(nested.offset, ...nested.absmax));
    for await (const { offset, bytes } of tensorChunks(source, name, 0, info.codeBytes, CHUNK_ELEMENTS)) {
      write(layout.codesAt * 4 + offset, bytes);
      await queue.onSubmittedWorkDone();
      onBytes(bytes.byteLength);
    }
  }

  /** @throws NonFiniteWeightsError naming the first tensor that had a NaN or Inf. */
  async checkFinite(): Promise<void> {
    const [first] = new Uint32Array(await readBuffer(this.#gpu, this.#flags.buffer, 0, 4));
    if (first !== NO_TENSOR) throw new NonFiniteWeightsError(this.#tensors[first]);
  }

  dispose(): void {
    for (const buffer of this.#buffers) this.#gpu.ledger.destroy(buffer);
  }

  #upload(bytes: Uint8Array<ArrayBuffer>): void {
    writePadded(this.#gpu, this.#staging.buffer, 0, bytes);
  }

  /** Runs a plan once and waits, which also keeps the host from reading ahead of the GPU. */
  async #run(record: (plan: PlanBuilder) => void): Promise<void> {
    const builder = new PlanBuilder(this.#gpu, 1);
    record(builder);
    const plan = await builder.finish(new Arena(this.#gpu.ledger, []), this.#step);
    await plan.run(1);
    await this.#gpu.device.queue.onSubmittedWorkDone();
    plan.dispose();
  }
}
