/**
 * Runs kernels on small data. Inputs end in NaN, outputs are NaN all over before a run: a read beyond an operand, an
 * element that was not written and one that should not have been, all show in the result.
 */
import type { Gpu } from '../../device/gpu.ts';
import { Arena } from '../../plan/arena.ts';
import { PlanBuilder } from '../../plan/plan.ts';
import { type BufferTensor, bufferTensor } from '../../plan/tensor.ts';
import { packUniform, STEP_FIELDS, type StepValues, uniformBytes } from '../kernel.ts';
import { f16Bits, f16Value } from './float_table.ts';

/** Gradients as small as of a mean over very many tokens, which f16 could not hold. */
export const TINY = 1e-6;

/** What a kernel's checks hand to the tests: correct when error ≤ tolerance (a NaN error is not). */
export interface CaseResult {
  /** ‖out − reference‖ / ‖reference‖, or for exact kernels the number of wrong words. */
  readonly error: number;
  readonly tolerance: number;
}

export interface KernelCase {
  readonly name: string;
  /** Below shaders/: what the case exercises. */
  readonly shaderFiles: readonly string[];
  /** Workgroup memory it needs, where that is above WebGPU's default. */
  readonly workgroupBytes?: number;
  /** It multiplies matrices by subgroups, in f16: only some devices do. */
  readonly matrices?: boolean;
  /** Long to compile, and like others but for its tile: left to the full run. */
  readonly long?: boolean;
  run(gpu: Gpu, seed: number): Promise<CaseResult>;
}

/** Tolerances of docs FAULTS.md, "Numbers": f32 kernels, matmuls, kernels that reproduce bits. */
export const F32 = 1e-5;
export const MATMUL = 2e-5;
export const EXACT = 0;
/** Operands rounded to f16, sums in f32; through an exponential, whose argument's error is its result's. */
export const F16 = 1e-3;
/** Results in 16 bits, rounded to whichever neighbour. */
export const HALVES = 2 ** -10;
export const F16_SOFTMAX = 5e-3;

type Words = Float32Array | Uint32Array | Int32Array;

/** Around inputs: a NaN, which spreads to whatever is computed from it. */
const INPUT_POISON = 0x7fc00000;
/** In outputs: a NaN that no computation makes, so that even a NaN written over it shows. */
export const POISON = 0x7fc0dead;
/** Around what is both read and written: a number, since NaN + NaN may keep either's bits. 12345.678 as f32. */
const INOUT_POISON = 0x4640e6b6;
/** The same three of tensors in 16 bits, twice to a word; the number is 6.25. */
const HALVES_POISON: ReadonlyMap<number, number> = new Map([
  [INPUT_POISON, 0x7e017e01],
  [POISON, 0x7ead7ead],
  [INOUT_POISON, 0x46404640],
]);
/** Words of poison behind each tensor. */
const GUARD = 64;

const STEP: StepValues = {
  tokens: 0,
  inverse_trained_tokens: 1,
  log_slot: 0,
  micro_batch: 0,
  seed: 0,
  number: 0,
  decay: 1,
  step_size: 0,
  second_decay: 1,
  second_step_size: 0,
  inverse_sqrt_bias_correction2: 1,
  beta1: 0,
  beta2: 0,
  one_minus_beta1: 1,
  one_minus_beta2: 1,
  epsilon: 1e-8,
  max_grad_norm: 1,
};

export interface BenchOptions {
  /** Tokens in the micro-batch, and the most that the plan is made for (the same by default). */
  readonly tokens?: number;
  readonly capacity?: number;
  readonly step?: Partial<StepValues>;
}

/** One plan with its buffers. */
export class Bench {
  readonly plan: PlanBuilder;
  readonly #gpu: Gpu;
  readonly #tokens: number;
  readonly #step: GPUBuffer;
  readonly #buffers: GPUBuffer[] = [];
  readonly #poison = new Map<GPUBuffer, number>();

  constructor(gpu: Gpu, { tokens = 1, capacity = tokens, step = {} }: BenchOptions) {
    this.#gpu = gpu;
    this.#tokens = tokens;
    this.plan = new PlanBuilder(gpu, capacity);
    const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
    packUniform(STEP_FIELDS, { ...STEP, ...step, tokens }, data, 0);
    this.#step = this.#create('step', data.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    gpu.device.queue.writeBuffer(this.#step, 0, data.buffer);
  }

  /** A buffer that holds `data`, then room for `spare` words, and guard words. */
  input(name: string, data: Words, spare = 0): BufferTensor {
    return this.#upload(name, data, spare, INPUT_POISON);
  }

  /** The rows of a matrix, laid out as `placement` says. */
  inputRows(name: string, data: Float32Array, placement: Placement): BufferTensor {
    return this.#uploadRows(name, data, placement, INPUT_POISON);
  }

  /** The same for a matrix that the kernel adds to. */
  inoutRows(name: string, data: Float32Array, placement: Placement): BufferTensor {
    return this.#uploadRows(name, data, placement, INOUT_POISON);
  }

  inout(name: string, data: Words): BufferTensor {
    return this.#upload(name, data, 0, INOUT_POISON);
  }

  /** A buffer of poison, for so many numbers. */
  output(name: string, length: number, halves = false): BufferTensor {
    if (!halves) return this.#upload(name, new Uint32Array(0), length, POISON);
    return inSixteenBits(this.#upload(name, new Uint32Array(0), length / 2, HALVES_POISON.get(POISON)!));
  }

  /** Runs what was recorded. Throws on any error the device reports. */
  async run(): Promise<void> {
    const arena = new Arena(this.#gpu.ledger, [this.plan.layout()]);
    const plan = await this.plan.finish(arena, this.#step);
    for (const buffer of arena.buffers()) {
      this.#gpu.device.queue.writeBuffer(buffer, 0, new Uint32Array(buffer.size / 4).fill(POISON));
    }
    await plan.run(this.#tokens);
    await this.#gpu.device.queue.onSubmittedWorkDone();
    plan.dispose();
    arena.dispose();
    this.#gpu.check();
  }

  /** The whole tensor, guard included. */
  async words(tensor: BufferTensor): Promise<Uint32Array<ArrayBuffer>> {
    const staging = this.#create('staging', tensor.bytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    const encoder = this.#gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(tensor.buffer, 0, staging, 0, tensor.bytes);
    this.#gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    return new Uint32Array(staging.getMappedRange().slice(0));
  }

  /** The error of a tensor against its reference; see {@link relativeError}. */
  async error(tensor: BufferTensor, reference: ArrayLike<number>): Promise<number> {
    const words = await this.words(tensor);
    const poison = this.#poison.get(tensor.buffer);
    if (!tensor.halves) return relativeError(words, reference, poison);
    const halves = new Uint16Array(words.buffer);
    return relativeErrorOf(halves, Float64Array.from(halves, f16Value), reference, poison && poison & 0xffff);
  }

  /** How many words differ from `expected`, poison behind it included. */
  async wrongWords(tensor: BufferTensor, expected: ArrayLike<number>): Promise<number> {
    const words = await this.words(tensor);
    const poison = this.#poison.get(tensor.buffer);
    let wrong = 0;
    words.forEach((word, i) => {
      if (word !== (i < expected.length ? expected[i] : poison)) wrong++;
    });
    return wrong;
  }

  dispose(): void {
    for (const buffer of this.#buffers) this.#gpu.ledger.destroy(buffer);
    this.#buffers.length = 0;
  }

  #upload(name: string, data: Words, spare: number, poison: number): BufferTensor {
    const words = new Uint32Array(data.length + spare + GUARD).fill(poison);
    words.set(new Uint32Array(data.buffer, data.byteOffset, data.length));
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = this.#create(name, words.byteLength, usage);
    this.#gpu.device.queue.writeBuffer(buffer, 0, words);
    const tensor = bufferTensor(name, buffer);
    this.#poison.set(buffer, poison);
    return tensor;
  }

  #uploadRows(name: string, data: Float32Array, placement: Placement, poison: number): BufferTensor {
    if (!placement.halves) return this.#upload(name, placeRows(data, placement, poison), 0, poison);
    const own = HALVES_POISON.get(poison)!;
    return inSixteenBits(this.#upload(name, placeHalves(data, placement, own & 0xffff), 0, own));
  }

  #create(label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const buffer = this.#gpu.ledger.create({ label, size, usage, category: 'activations' });
    this.#buffers.push(buffer);
    return buffer;
  }
}

/** Makes a bench and disposes of it. */
export async function withBench<T>(gpu: Gpu, options: BenchOptions, body: (bench: Bench) => Promise<T>): Promise<T> {
  const bench = new Bench(gpu, options);
  let result: T;
  try {
    result = await body(bench);
  } finally {
    bench.dispose();
  }
  gpu.check();
  return result;
}

/**
 * ‖out − reference‖ / ‖reference‖ of f32 words. Where the reference is NaN, and beyond its end, the word must still be
 * poison; a violation gives Infinity, and a NaN in the result gives NaN.
 */
export function relativeError(words: Uint32Array<ArrayBuffer>, reference: ArrayLike<number>, poison = POISON): number {
  return relativeErrorOf(words, new Float32Array(words.buffer), reference, poison);
}

/** The same of numbers and the bits that they were. */
function relativeErrorOf(
  bits: ArrayLike<number>,
  values: ArrayLike<number>,
  reference: ArrayLike<number>,
  poison = POISON,
): number {
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < bits.length; i++) {
    if (i >= reference.length || Number.isNaN(reference[i])) {
      if (bits[i] !== poison) return Number.POSITIVE_INFINITY;
      continue;
    }
    difference += (values[i] - reference[i]) ** 2;
    norm += reference[i] ** 2;
  }
  if (difference === 0) return 0;
  return Math.sqrt(difference / norm);
}

/** Where the rows of a matrix lie in a tensor; behind the last row, up to `capacity` rows, there is poison. */
export interface Placement {
  readonly width: number;
  readonly capacity: number;
  /** Elements from row to row, `width` by default, and the first row's first column. */
  readonly stride?: number;
  readonly at?: number;
  /** In 16 bits. */
  readonly halves?: boolean;
}

/** The words of f32 values laid out so, poison between them. */
function placeRows(data: Float32Array, placement: Placement, poison: number): Uint32Array<ArrayBuffer> {
  const { width, capacity, stride = width, at = 0 } = placement;
  const words = new Uint32Array(capacity * stride).fill(poison);
  const source = new Uint32Array(data.buffer, data.byteOffset, data.length);
  source.forEach((word, i) => {
    words[Math.floor(i / width) * stride + at + (i % width)] = word;
  });
  return words;
}

/** The words of f16 values laid out so. */
function placeHalves(data: Float32Array, placement: Placement, poison: number): Uint32Array<ArrayBuffer> {
  const { width, capacity, stride = width, at = 0 } = placement;
  const halves = new Uint16Array(capacity * stride).fill(poison);
  data.forEach((value, i) => {
    halves[Math.floor(i / width) * stride + at + (i % width)] = f16Bits(value);
  });
  return new Uint32Array(halves.buffer);
}

const inSixteenBits = (tensor: BufferTensor): BufferTensor => ({ ...tensor, halves: true });

/** A reference laid out so, NaN (to be left alone) between its values. */
export function placeReference(data: Float64Array, placement: Placement): Float64Array<ArrayBuffer> {
  const { width, capacity, stride = width, at = 0 } = placement;
  const placed = new Float64Array(capacity * stride).fill(Number.NaN);
  data.forEach((value, i) => {
    placed[Math.floor(i / width) * stride + at + (i % width)] = value;
  });
  return placed;
}

/** The largest of several results' errors, NaN if one is NaN. */
export const worst = (...errors: number[]): number => Math.max(...errors);
