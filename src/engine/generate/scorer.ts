/** How likely a model finds given tokens, each sequence with as much of the adapter as it asks for. */
import { allocate } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { NO_UPDATE, packUniform, STEP_FIELDS, uniformBytes } from '../kernels/kernel.ts';
import type { BoundAdapter, Decoder } from '../model/decoder.ts';
import { lossAndGradient } from '../model/output_head.ts';
import { LengthRope } from '../model/rope_tables.ts';
import type { ModelWeights } from '../model/weights.ts';
import { Arena } from '../plan/arena.ts';
import type { Plan } from '../plan/execution.ts';
import { PlanBuilder } from '../plan/plan.ts';
import { type ArenaTensor, type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import { forwardOnly } from '../train/plans.ts';

export interface ScorerOptions {
  readonly model: ModelWeights;
  readonly adapter: BoundAdapter;
  /** The most tokens at a time. */
  readonly capacity: number;
}

export interface ScoredSequence {
  readonly ids: readonly number[];
  /** The first token that counts; at least 1, as the first one is predicted from nothing. */
  readonly from: number;
  readonly strength: number;
}

interface Parts {
  readonly decoder: Decoder & { readonly strength: BufferTensor };
  readonly buffers: readonly GPUBuffer[];
  readonly step: GPUBuffer;
}

export class Scorer {
  readonly #gpu: Gpu;
  readonly #parts: Parts;
  readonly #plan: Plan;
  readonly #arena: Arena;
  readonly #loss: ArenaTensor;
  readonly capacity: number;

  private constructor(gpu: Gpu, parts: Parts, made: { plan: Plan; arena: Arena; loss: ArenaTensor }, capacity: number) {
    this.#gpu = gpu;
    this.#parts = parts;
    this.#plan = made.plan;
    this.#arena = made.arena;
    this.#loss = made.loss;
    this.capacity = capacity;
  }

  /** @throws GpuMemoryError; whatever was allocated is freed. */
  static async create(gpu: Gpu, options: ScorerOptions): Promise<Scorer> {
    const before = new Set(gpu.ledger.buffers());
    try {
      const parts = await allocate(gpu, () => allocateParts(gpu, options));
      const builder = new PlanBuilder(gpu, options.capacity);
      const x = forwardOnly(builder, parts.decoder);
      const loss = builder.tensor('token losses', options.capacity * 2 * 4);
      lossAndGradient(builder, parts.decoder, x, loss, null);
      builder.keep(loss);
      const arena = await allocate(gpu, () => new Arena(gpu.ledger, [builder.layout()]));
      const plan = await builder.finish(arena, parts.step);
      gpu.check();
      return new Scorer(gpu, parts, { plan, arena, loss }, options.capacity);
    } catch (error) {
      for (const left of gpu.ledger.buffers()) if (!before.has(left)) gpu.ledger.destroy(left);
      throw error;
    }
  }

  /** Σ log p of each sequence's tokens from `from` on. All of them together fit the capacity. */
  async score(sequences: readonly ScoredSequence[]): Promise<number[]> {
    const { inputs, strength, ropes } = this.#parts.decoder;
    const ids = sequences.flatMap((sequence) => sequence.ids);
    if (ids.length > this.capacity) throw new RangeError(`${ids.length} tokens; there is room for ${this.capacity}`);
    const targets = new Int32Array(ids.length).fill(-1);
    const [positions, strengths] = [new Uint32Array(ids.length), new Float32Array(ids.length)];
    const documents = new Uint32Array(2 * ids.length);
    const starts: number[] = [];
    let at = 0;
    for (const { ids: own, from, strength: share } of sequences) {
      starts.push(at);
      for (let i = 0; i < own.length; i++) {
        positions[at + i] = i;
        strengths[at + i] = share;
        documents.set([at, at + own.length], 2 * (at + i));
        if (i + 1 >= Math.max(1, from) && i + 1 < own.length) targets[at + i] = own[i + 1];
      }
      at += own.length;
    }
    const write = ({ buffer }: BufferTensor, data: Uint32Array | Int32Array | Float32Array) =>
      this.#gpu.device.queue.writeBuffer(buffer, 0, data as Uint32Array<ArrayBuffer>);
    write(inputs.ids, Uint32Array.from(ids));
    write(inputs.targets, targets);
    write(inputs.positions, positions);
    write(inputs.documents, documents);
    write(strength, strengths);
    const longest = Math.max(...sequences.map((sequence) => sequence.ids.length));
    for (const rope of ropes) {
      rope.restart();
      rope.fit(longest);
    }
    const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
    const idle = { ...NO_UPDATE, inverse_trained_tokens: 0, log_slot: 0, micro_batch: 0, seed: 0, number: 0 };
    packUniform(STEP_FIELDS, { ...idle, tokens: ids.length }, data, 0);
    this.#gpu.device.queue.writeBuffer(this.#parts.step, 0, data.buffer);
    await this.#plan.run(ids.length);
    const { buffer, offset } = this.#plan.locate(this.#loss);
    const losses = new Float32Array(await readBuffer(this.#gpu, buffer, offset, ids.length * 8));
    this.#gpu.check();
    return sequences.map(({ ids: own }, row) => {
      let sum = 0;
      for (let i = starts[row]; i < starts[row] + own.length; i++) if (targets[i] >= 0) sum -= losses[2 * i];
      return sum;
    });
  }

  dispose(): void {
    this.#plan.dispose();
    this.#arena.dispose();
    for (const buffer of this.#parts.buffers) this.#gpu.ledger.destroy(buffer);
    for (const rope of this.#parts.decoder.ropes) rope.dispose();
  }
}

function allocateParts(gpu: Gpu, { model, adapter, capacity }: ScorerOptions): Parts {
  const buffers: GPUBuffer[] = [];
  const create = (label: string, size: number, usage: GPUBufferUsageFlags) => {
    const made = gpu.ledger.create({ label, size, usage, category: 'activations' });
    buffers.push(made);
    return made;
  };
  const tensor = (label: string, size: number) =>
    bufferTensor(label, create(label, size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST));
  const step = create('step of scoring', uniformBytes(STEP_FIELDS), GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
  const { spec } = model;
  const decoder = {
    ...{ spec, weights: model, state: adapter.state, lora: adapter.lora, doraNorms: adapter.doraNorms },
    precision: 'f32' as const,
    ropes: spec.ropes.map((rope) => new LengthRope(gpu, rope, capacity)),
    inputs: {
      ids: tensor('ids', capacity * 4),
      targets: tensor('targets', capacity * 4),
      positions: tensor('positions', capacity * 4),
      documents: tensor('documents', capacity * 8),
    },
    strength: tensor('strengths', capacity * 4),
  };
  return { decoder, buffers, step };
}
