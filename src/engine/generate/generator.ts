/**
 * Continues several token sequences side by side, each with as much of the adapter as it asks for: base and tuned model in
 * one batch. Keys and values are cached; where a rotary embedding depends on the length they are computed anew when it
 * changes, so that every logit is what the training forward gives for the same tokens.
 */
import { allocate } from '../device/allocation.ts';
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';
import { NO_UPDATE, packUniform, STEP_FIELDS, uniformBytes } from '../kernels/kernel.ts';
import type { Precision } from '../kernels/matmul_tile.ts';
import { MOST_ROWS } from '../kernels/matvec.ts';
import { pickLikeliest } from '../kernels/pick_likeliest.ts';
import type { BatchInputs, BoundAdapter, Decoder } from '../model/decoder.ts';
import { LengthRope } from '../model/rope_tables.ts';
import type { ModelWeights } from '../model/weights.ts';
import { Arena } from '../plan/arena.ts';
import type { Plan } from '../plan/execution.ts';
import { PlanBuilder } from '../plan/plan.ts';
import type { DispatchTime } from '../plan/profile.ts';
import { type ArenaTensor, type BufferTensor, bufferTensor } from '../plan/tensor.ts';
import { forwardOnly } from '../train/plans.ts';
import { KvCache, roundContext } from './kv_cache.ts';
import { decodePath, fewLogits, prefillPath } from './paths.ts';

export interface GeneratorOptions {
  readonly model: ModelWeights;
  readonly adapter: BoundAdapter;
  /** The most sequences at a time, at most {@link MOST_SEQUENCES}. */
  readonly sequences: number;
  /** The most tokens of each, prompt included. */
  readonly context: number;
  /** What the prompts' matmuls round to; f32 unless given. */
  readonly precision?: Precision;
}

export const MOST_SEQUENCES = MOST_ROWS;

/** Tokens of prompts computed at once, unless one is longer. */
const PREFILL_TOKENS = 1024;
/** Likeliest tokens picked without the host's having a look. */
export const MOST_PICKS = 16;

/** A sequence to be continued. */
export interface Sequence {
  /** At least one token. */
  readonly ids: readonly number[];
  /** 0 is the base model, 1 the adapter as it was trained. */
  readonly strength: number;
}

export class ContextFullError extends Error {
  override name = 'ContextFullError';
}

export class NonFiniteLogitsError extends Error {
  override name = 'NonFiniteLogitsError';
}

interface Slot {
  readonly strength: number;
  /** Tokens whose keys and values the cache holds, or held before a change of the tables. */
  readonly cached: number[];
  /** The token whose logits come next. */
  pending: number;
  filled: boolean;
}

interface Inputs {
  readonly batch: BatchInputs;
  readonly slots: BufferTensor;
  readonly strength: BufferTensor;
  readonly buffers: readonly GPUBuffer[];
}

/** A plan with what is its own. */
interface Made {
  readonly plan: Plan;
  readonly arena: Arena;
  readonly inputs: Inputs;
  readonly capacity: number;
}

/** A token of a run, as its inputs say it. */
interface Token {
  readonly id: number;
  readonly position: number;
  readonly slot: number;
}

export class Generator {
  readonly #gpu: Gpu;
  readonly #options: GeneratorOptions;
  readonly #cache: KvCache;
  readonly #ropes: readonly LengthRope[];
  readonly #step: GPUBuffer;
  readonly #counts: BufferTensor;
  readonly #picked: BufferTensor;
  readonly #decode: Made & { readonly logits: ArenaTensor };
  #prefill: Made | null = null;
  #slots: Slot[] = [];
  readonly sequences: number;
  readonly context: number;

  private constructor(
    gpu: Gpu,
    options: GeneratorOptions,
    parts: Parts & { readonly decode: Made & { readonly logits: ArenaTensor } },
  ) {
    this.#gpu = gpu;
    this.#options = options;
    this.#cache = parts.cache;
    this.#ropes = parts.ropes;
    this.#step = parts.step;
    this.#counts = parts.counts;
    this.#picked = parts.picked;
    this.#decode = parts.decode;
    this.sequences = options.sequences;
    this.context = parts.cache.layers[0].context;
  }

  /**
   * Allocates the cache and makes the plan of a step.
   *
   * @throws GpuMemoryError; whatever was allocated is freed.
   */
  static async create(gpu: Gpu, options: GeneratorOptions): Promise<Generator> {
    if (options.sequences > MOST_SEQUENCES) throw new RangeError(`at most ${MOST_SEQUENCES} sequences at a time`);
    const before = new Set(gpu.ledger.buffers());
    try {
      const parts = await allocate(gpu, () => allocateParts(gpu, options));
      const { inputs, builder, logits } = recordDecode(gpu, options, parts);
      const arena = await allocate(gpu, () => new Arena(gpu.ledger, [builder.layout()]));
      const plan = await builder.finish(arena, parts.step);
      gpu.check();
      const decode = { plan, arena, inputs, logits, capacity: options.sequences };
      return new Generator(gpu, options, { ...parts, decode });
    } catch (error) {
      for (const left of gpu.ledger.buffers()) if (!before.has(left)) gpu.ledger.destroy(left);
      throw error;
    }
  }

  /**
   * Begins anew with these sequences. Nothing is computed yet.
   *
   * @throws ContextFullError
   */
  begin(sequences: readonly Sequence[]): void {
    if (sequences.length > this.sequences) throw new RangeError(`at most ${this.sequences} sequences`);
    for (const { ids } of sequences) {
      if (ids.length === 0) throw new RangeError('a sequence needs a token to begin with');
      if (ids.length > this.context) throw this.#full(ids.length);
    }
    for (const rope of this.#ropes) rope.restart();
    this.#slots = sequences.map(({ ids, strength }) => ({
      strength,
      cached: ids.slice(0, -1),
      pending: ids[ids.length - 1],
      filled: ids.length === 1,
    }));
  }

  /** Tokens that a sequence has. */
  length(slot: number): number {
    return this.#slots[slot].cached.length + 1;
  }

  /** Logits [vocab] of what follows each of these sequences, one row a sequence in the order given. */
  async logits(slots: readonly number[]): Promise<Float32Array[]> {
    await this.#prepare(slots, 1);
    await this.#runDecode(slots);
    const { vocabSize } = this.#options.model.spec;
    const { buffer, offset } = this.#decode.plan.locate(this.#decode.logits);
    const all = new Float32Array(await readBuffer(this.#gpu, buffer, offset, slots.length * vocabSize * 4));
    this.#gpu.check();
    return slots.map((_, row) => all.subarray(row * vocabSize, (row + 1) * vocabSize));
  }

  /** Appends the token that was chosen for a sequence after {@link logits}. */
  push(slot: number, id: number): void {
    const own = this.#slots[slot];
    own.cached.push(own.pending);
    own.pending = id;
  }

  /**
   * Appends the likeliest token to each of these sequences, `count` times at most, and returns them: chosen on the GPU, so
   * that nothing waits between. As many as {@link MOST_PICKS} and the context let.
   *
   * @throws ContextFullError where there is no room for one, NonFiniteLogitsError
   */
  async pickLikeliest(slots: readonly number[], count: number): Promise<number[][]> {
    const room = Math.min(...slots.map((slot) => this.context - this.length(slot))) + 1;
    const steps = Math.max(1, Math.min(count, MOST_PICKS, room, this.#stepsOfSameTables(slots)));
    await this.#prepare(slots, steps);
    const { queue } = this.#gpu.device;
    queue.writeBuffer(this.#counts.buffer, 0, new Uint32Array(this.sequences));
    await this.#runDecode(slots);
    for (let step = 1; step < steps; step++) await this.#decode.plan.run(slots.length);
    const read = await readBuffer(this.#gpu, this.#picked.buffer, 0, this.#picked.bytes);
    this.#gpu.check();
    const picked = new Uint32Array(read);
    const { vocabSize } = this.#options.model.spec;
    return slots.map((slot) => {
      const ids = Array.from({ length: steps }, (_, i) => picked[2 * (slot * MOST_PICKS + i)]);
      if (ids.some((id) => id >= vocabSize)) throw nonFinite();
      for (const id of ids) this.push(slot, id);
      return ids;
    });
  }

  /** Forgets the last `count` tokens of a sequence: those chosen behind its end. */
  drop(slot: number, count: number): void {
    const own = this.#slots[slot];
    if (count === 0) return;
    const at = own.cached.length - count;
    own.pending = own.cached[at];
    own.cached.length = at;
  }

  /** Every dispatch of a step with these sequences, timed, for the bench: what they hold afterwards means nothing. */
  async profile(slots: readonly number[]): Promise<DispatchTime[]> {
    await this.#prepare(slots, 1);
    this.#writeDecode(slots);
    return this.#decode.plan.profile(slots.length);
  }

  /** Computes what the cache lacks of these sequences. {@link logits} does it by itself. */
  async prefill(slots: readonly number[]): Promise<void> {
    await this.#prepare(slots, 1);
  }

  dispose(): void {
    this.#disposePrefill();
    const { plan, arena, inputs } = this.#decode;
    plan.dispose();
    arena.dispose();
    for (const buffer of [...inputs.buffers, this.#step, this.#counts.buffer, this.#picked.buffer]) {
      this.#gpu.ledger.destroy(buffer);
    }
    for (const rope of this.#ropes) rope.dispose();
    this.#cache.dispose();
  }

  #full(tokens: number): ContextFullError {
    return new ContextFullError(
      `The text has ${tokens} tokens; there is room for ${this.context}. Shorten the conversation, or ask for fewer new tokens.`,
    );
  }

  /** Steps for which no rotary table changes, as far as that can be said without trying. */
  #stepsOfSameTables(slots: readonly number[]): number {
    const longs = this.#options.model.spec.ropes.flatMap(({ long }) => (long ? [long] : []));
    const longest = Math.max(...slots.map((slot) => this.length(slot)));
    return Math.min(...longs.map(({ beyond }) => (longest > beyond ? 1 : beyond - longest + 1)), MOST_PICKS);
  }

  /** The tables for these sequences' lengths, and their keys and values in the cache; room for `steps` more. */
  async #prepare(slots: readonly number[], steps: number): Promise<void> {
    const lengths = slots.map((slot) => this.length(slot));
    for (const length of lengths) if (length + steps - 1 > this.context) throw this.#full(length + steps - 1);
    const longest = Math.max(...lengths);
    if (this.#ropes.map((rope) => rope.fit(longest)).some(Boolean)) {
      for (const slot of this.#slots) slot.filled = slot.cached.length === 0;
    }
    const missing = slots.filter((slot) => !this.#slots[slot].filled);
    if (missing.length > 0) await this.#fill(missing);
  }

  /** Runs the prompts through the model, as many at once as there is room for. */
  async #fill(slots: readonly number[]): Promise<void> {
    const lengths = slots.map((slot) => this.#slots[slot].cached.length);
    const total = lengths.reduce((a, b) => a + b, 0);
    const { plan, inputs, capacity } = await this.#prefillFor(Math.max(...lengths, Math.min(total, PREFILL_TOKENS)));
    let run: { slot: number; cached: readonly number[] }[] = [];
    const flush = async () => {
      const tokens: Token[] = [];
      const documents: number[] = [];
      for (const { slot, cached } of run) {
        const first = tokens.length;
        for (const [position, id] of cached.entries()) {
          tokens.push({ id, position, slot });
          documents.push(first, first + cached.length);
        }
      }
      run = [];
      this.#write(inputs, tokens);
      const { documents: tensor } = inputs.batch;
      this.#gpu.device.queue.writeBuffer(tensor.buffer, tensor.offset, Uint32Array.from(documents));
      await plan.run(tokens.length);
    };
    let used = 0;
    for (const slot of slots) {
      const { cached } = this.#slots[slot];
      if (used + cached.length > capacity) {
        await flush();
        used = 0;
      }
      run.push({ slot, cached });
      used += cached.length;
      this.#slots[slot].filled = true;
    }
    await flush();
  }

  /** The plan for prompts of so many tokens, made anew where it is too small: activations are what takes room. */
  async #prefillFor(tokens: number): Promise<Made> {
    if (this.#prefill && this.#prefill.capacity >= tokens) return this.#prefill;
    this.#disposePrefill();
    const capacity = Math.max(64, 2 ** Math.ceil(Math.log2(tokens)));
    const gpu = this.#gpu;
    const inputs = await allocate(gpu, () => allocateInputs(gpu, capacity));
    try {
      const { precision = 'f32' } = this.#options;
      const builder = new PlanBuilder(gpu, capacity, precision);
      const d = decoderOf(this.#options, this.#ropes, inputs, precision);
      forwardOnly(builder, d, prefillPath({ cache: this.#cache, slots: inputs.slots }));
      const arena = await allocate(gpu, () => new Arena(gpu.ledger, [builder.layout()]));
      this.#prefill = { plan: await builder.finish(arena, this.#step), arena, inputs, capacity };
      return this.#prefill;
    } catch (error) {
      for (const buffer of inputs.buffers) gpu.ledger.destroy(buffer);
      throw error;
    }
  }

  #disposePrefill(): void {
    if (!this.#prefill) return;
    const { plan, arena, inputs } = this.#prefill;
    plan.dispose();
    arena.dispose();
    for (const buffer of inputs.buffers) this.#gpu.ledger.destroy(buffer);
    this.#prefill = null;
  }

  #writeDecode(slots: readonly number[]): void {
    const tokens = slots.map((slot) => {
      const { pending: id, cached } = this.#slots[slot];
      return { id, position: cached.length, slot };
    });
    this.#write(this.#decode.inputs, tokens);
  }

  async #runDecode(slots: readonly number[]): Promise<void> {
    this.#writeDecode(slots);
    await this.#decode.plan.run(slots.length);
  }

  #write({ batch, slots, strength }: Inputs, tokens: readonly Token[]): void {
    const { queue } = this.#gpu.device;
    const write = ({ buffer, offset }: BufferTensor, data: Uint32Array<ArrayBuffer> | Float32Array<ArrayBuffer>) =>
      queue.writeBuffer(buffer, offset, data);
    write(
      batch.ids,
      Uint32Array.from(tokens, ({ id }) => id),
    );
    write(
      batch.positions,
      Uint32Array.from(tokens, ({ position }) => position),
    );
    write(
      slots,
      Uint32Array.from(tokens, ({ slot }) => slot),
    );
    write(
      strength,
      Float32Array.from(tokens, ({ slot }) => this.#slots[slot].strength),
    );
    const data = new DataView(new ArrayBuffer(uniformBytes(STEP_FIELDS)));
    const idle = { ...NO_UPDATE, inverse_trained_tokens: 0, log_slot: 0, micro_batch: 0, seed: 0, number: 0 };
    packUniform(STEP_FIELDS, { ...idle, tokens: tokens.length }, data, 0);
    queue.writeBuffer(this.#step, 0, data.buffer);
  }
}

export const nonFinite = () =>
  new NonFiniteLogitsError(
    'The model computes numbers that are not finite here. Lower the adapter strength, or train again at a lower learning_rate.',
  );

interface Parts {
  readonly cache: KvCache;
  readonly ropes: readonly LengthRope[];
  readonly step: GPUBuffer;
  readonly counts: BufferTensor;
  readonly picked: BufferTensor;
}

const STORAGE = () => GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;

function allocateParts(gpu: Gpu, { model: { spec }, sequences, context }: GeneratorOptions): Parts {
  const positions = roundContext(context);
  const create = (label: string, size: number, usage: GPUBufferUsageFlags) =>
    gpu.ledger.create({ label, size, usage, category: 'activations' });
  const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
  return {
    cache: new KvCache(gpu, spec, sequences, positions),
    ropes: spec.ropes.map((rope) => new LengthRope(gpu, rope, positions)),
    step: create('step of generation', uniformBytes(STEP_FIELDS), usage),
    counts: bufferTensor('picks', create('picks', sequences * 4, STORAGE())),
    picked: bufferTensor('picked tokens', create('picked tokens', sequences * MOST_PICKS * 8, STORAGE())),
  };
}

function allocateInputs(gpu: Gpu, capacity: number): Inputs {
  const buffers: GPUBuffer[] = [];
  const tensor = (label: string, size: number) => {
    const buffer = gpu.ledger.create({ label, size, usage: STORAGE(), category: 'activations' });
    buffers.push(buffer);
    return bufferTensor(label, buffer);
  };
  const batch = {
    ids: tensor('ids', capacity * 4),
    targets: tensor('targets', 4),
    positions: tensor('positions', capacity * 4),
    documents: tensor('documents', capacity * 8),
  };
  return { batch, slots: tensor('slots', capacity * 4), strength: tensor('strengths', capacity * 4), buffers };
}

const decoderOf = (
  { model, adapter }: GeneratorOptions,
  ropes: readonly LengthRope[],
  { batch, strength }: Inputs,
  precision: Precision,
): Decoder => ({
  spec: model.spec,
  weights: model,
  state: adapter.state,
  lora: adapter.lora,
  doraNorms: adapter.doraNorms,
  precision,
  ropes,
  inputs: batch,
  strength,
});

/** A step: one token of each sequence in, its logits and the likeliest token out. */
function recordDecode(gpu: Gpu, options: GeneratorOptions, { cache, ropes, counts, picked }: Parts) {
  const { sequences, model } = options;
  const inputs = allocateInputs(gpu, sequences);
  const { slots, batch } = inputs;
  const builder = new PlanBuilder(gpu, sequences);
  const d = decoderOf(options, ropes, inputs, 'f32');
  const logits = fewLogits(builder, d, forwardOnly(builder, d, decodePath({ cache, slots })));
  const { ids, positions } = batch;
  const vocab = model.spec.vocabSize;
  pickLikeliest(builder, { logits, vocab, slots, ids, positions, counts, picked, limit: MOST_PICKS });
  return { inputs, builder, logits };
}

/** Allocates on a device that only counts what a generator takes, with prompts of so many tokens. */
export function reserveGenerator(gpu: Gpu, options: GeneratorOptions, promptTokens: number): void {
  const parts = allocateParts(gpu, options);
  const { builder } = recordDecode(gpu, options, parts);
  new Arena(gpu.ledger, [builder.layout()]);
  builder.allocateParameters();
  const capacity = Math.max(64, 2 ** Math.ceil(Math.log2(promptTokens)));
  const inputs = allocateInputs(gpu, capacity);
  const prefill = new PlanBuilder(gpu, capacity, options.precision ?? 'f32');
  const d = decoderOf(options, parts.ropes, inputs, prefill.precision);
  forwardOnly(prefill, d, prefillPath({ cache: parts.cache, slots: inputs.slots }));
  new Arena(gpu.ledger, [prefill.layout()]);
  prefill.allocateParameters();
}
