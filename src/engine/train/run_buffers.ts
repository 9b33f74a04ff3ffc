/** What a run allocates beside the model, the trained state and the plans: inputs, tables, figures. */
import type { Gpu } from '../device/gpu.ts';
import { momentTables } from '../kernels/adamw.ts';
import { LOG_FIELDS } from '../kernels/cross_entropy.ts';
import { STEP_FIELDS, uniformBytes } from '../kernels/kernel.ts';
import type { Precision } from '../kernels/matmul_tile.ts';
import { type Decoder, fitsHalves, type Stored } from '../model/decoder.ts';
import { createDoraNorms } from '../model/dora.ts';
import { isLoraA, type LoraOptions } from '../model/lora.ts';
import { LengthRope } from '../model/rope_tables.ts';
import type { ModelWeights } from '../model/weights.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import type { FlatState } from './flat_state.ts';
import type { Moments } from './paging/moments.ts';
import type { OptimizerBuffers } from './plans.ts';

/** Steps whose figures can wait on the GPU; the line after them is evaluation's. */
export const LOG_SLOTS = 64;

/** What decides how much a run needs. */
export interface RunShape {
  readonly model: ModelWeights;
  readonly lora: LoraOptions;
  /** The most tokens a micro-batch will have. */
  readonly capacity: number;
  /** The highest position + 1. */
  readonly positions: number;
  readonly precision: Precision;
  /** f32 unless given; a model that does not fit 16 bits stays in f32. */
  readonly stored?: Stored;
  /** LoRA+: the learning rate of B is this times A's. */
  readonly loraPlusRatio: number;
}

export interface RunBuffers {
  readonly decoder: Decoder;
  readonly optimizer: OptimizerBuffers;
  readonly stepUniform: GPUBuffer;
  /** All that belongs to neither the decoder's inputs and tables nor its state. */
  readonly buffers: readonly GPUBuffer[];
}

function activationBuffer(gpu: Gpu, label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
  const flags = usage | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  return gpu.ledger.create({ label, size, usage: flags, category: 'activations' });
}

/** A micro-batch of so many tokens at most. */
export function allocateInputs(gpu: Gpu, capacity: number): Decoder['inputs'] {
  const buffer = (label: string, words: number) =>
    bufferTensor(label, activationBuffer(gpu, label, capacity * words * 4, GPUBufferUsage.STORAGE));
  return {
    ids: buffer('ids', 1),
    targets: buffer('targets', 1),
    positions: buffer('positions', 1),
    documents: buffer('documents', 2),
  };
}

export function allocateRun(gpu: Gpu, state: FlatState, moments: Moments, run: RunShape): RunBuffers {
  const { model, lora, capacity, positions, precision, stored, loraPlusRatio } = run;
  const { spec } = model;
  const buffers: GPUBuffer[] = [];
  const buffer = (label: string, size: number, usage: GPUBufferUsageFlags = GPUBufferUsage.STORAGE) => {
    const made = activationBuffer(gpu, label, size, usage);
    buffers.push(made);
    return bufferTensor(label, made);
  };
  const stepUniform = buffer('step', uniformBytes(STEP_FIELDS), GPUBufferUsage.UNIFORM).buffer;
  const optimizer: OptimizerBuffers = {
    moments,
    tables: moments.bits === 8 ? writeTables(gpu, buffer) : null,
    logRing: buffer('log ring', (LOG_SLOTS + 1) * LOG_FIELDS * 4),
    clip: buffer('clip coefficient', 4),
    borders: loraPlusRatio === 1 ? null : writeBorders(gpu, state, buffer),
  };
  const decoder: Decoder = {
    spec,
    weights: model,
    state,
    lora,
    precision,
    stored: stored === 'f16' && fitsHalves(spec) ? 'f16' : 'f32',
    doraNorms: createDoraNorms(gpu, lora),
    ropes: spec.ropes.map((rope) => new LengthRope(gpu, rope, positions)),
    inputs: allocateInputs(gpu, capacity),
  };
  return { decoder, optimizer, stepUniform, buffers };
}

function writeTables(gpu: Gpu, buffer: (label: string, size: number) => BufferTensor): BufferTensor {
  const values = momentTables();
  const tensor = buffer('values of 8-bit moments', values.byteLength);
  gpu.device.queue.writeBuffer(tensor.buffer, 0, values);
  return tensor;
}

/** Buffers that say which parameters LoRA+ gives its second rate: all but A, as PEFT's `create_loraplus_optimizer`. */
function writeBorders(gpu: Gpu, state: FlatState, buffer: (label: string, size: number) => BufferTensor) {
  return state
    .borders((name) => !isLoraA(name))
    .map((borders) => {
      const tensor = buffer('second learning rate', borders.byteLength);
      gpu.device.queue.writeBuffer(tensor.buffer, 0, borders);
      return { tensor, count: borders.length };
    });
}
