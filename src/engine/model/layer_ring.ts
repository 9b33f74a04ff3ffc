/**
 * Layers that pass through a few slots of the GPU. A layer always goes to the same slot, its number modulo their count, so a
 * plan's bindings stay as they are. Forward goes up and backward down: at the turn the last layers are there already, and
 * the first ones when the next micro-batch begins. The queue keeps copies and dispatches in order; only bytes are waited for.
 */
import type { Gpu } from '../device/gpu.ts';
import { IdleClock } from '../device/idle_clock.ts';
import type { Interlude } from '../plan/execution.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { BufferTensor } from '../plan/tensor.ts';
import type { SlabSource } from './slabs.ts';

/** Slabs that are read before they are needed. */
const AHEAD = 2;
/** Slabs on their way whose work before them is not done: what the host, or the driver, holds at most. */
const IN_FLIGHT = 3;

/** Since the start: bytes written to slots, milliseconds that the GPU had nothing to do because a layer was not there. */
export interface StreamingFigures {
  readonly bytesIn: number;
  readonly stallMs: number;
}

export class LayerRing {
  readonly #gpu: Gpu;
  readonly #slots: readonly BufferTensor[];
  readonly #source: SlabSource;
  readonly #idle: IdleClock;
  /** The layer that each slot holds once all that was submitted is done. */
  readonly #held: (number | null)[];
  readonly #reading = new Map<number, Promise<Uint8Array<ArrayBuffer>>>();
  readonly #inFlight: Promise<unknown>[] = [];
  #bytesIn = 0;

  /** @param held what each slot holds already */
  constructor(gpu: Gpu, slots: readonly BufferTensor[], source: SlabSource, held: readonly (number | null)[]) {
    this.#gpu = gpu;
    this.#slots = slots;
    this.#source = source;
    this.#held = [...held];
    this.#idle = new IdleClock(gpu.device);
  }

  get figures(): StreamingFigures {
    return { bytesIn: this.#bytesIn, stallMs: this.#idle.milliseconds };
  }

  read(layer: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.#source.read(layer);
  }

  /** Says in which order a plan visits layers; each call of what comes back records the next one's arrival. */
  visits(plan: PlanBuilder, order: readonly number[]): () => void {
    let at = 0;
    return () => {
      const layer = order[at++];
      // A plan like it comes next, most often.
      const upcoming = [...order.slice(at), ...order];
      plan.interlude((flush) => this.#enter(layer, upcoming, flush));
    };
  }

  #enter(layer: number, upcoming: readonly number[], flush: Parameters<Interlude>[0]): Promise<void> | void {
    const slot = layer % this.#slots.length;
    if (this.#held[slot] === layer) {
      this.#readAhead(upcoming);
      return;
    }
    // What the slot's layer before is used for comes first, and the GPU has something to do meanwhile.
    flush();
    return this.#load(layer, slot, upcoming);
  }

  async #load(layer: number, slot: number, upcoming: readonly number[]): Promise<void> {
    const { queue } = this.#gpu.device;
    const reading = this.#reading.get(layer) ?? this.#source.read(layer);
    this.#reading.delete(layer);
    if (this.#inFlight.length >= IN_FLIGHT) await this.#inFlight.shift();
    const bytes = await this.#idle.during(reading);
    queue.writeBuffer(this.#slots[slot].buffer, this.#slots[slot].offset, bytes);
    this.#bytesIn += bytes.byteLength;
    this.#held[slot] = layer;
    this.#inFlight.push(queue.onSubmittedWorkDone().catch(() => undefined));
    this.#readAhead(upcoming);
  }

  /** Begins to read the next layers that will not be there, and forgets others that were begun. */
  #readAhead(upcoming: readonly number[]): void {
    const held = [...this.#held];
    const wanted = new Set<number>();
    for (const layer of upcoming) {
      const slot = layer % held.length;
      if (held[slot] !== layer) wanted.add(layer);
      held[slot] = layer;
      if (wanted.size === AHEAD) break;
    }
    for (const layer of this.#reading.keys()) if (!wanted.has(layer)) this.#reading.delete(layer);
    for (const layer of wanted) {
      if (this.#reading.has(layer)) continue;
      const reading = this.#source.read(layer);
      // Whoever enters the layer hears of it.
      reading.catch(() => undefined);
      this.#reading.set(layer, reading);
    }
  }
}
