/**
 * Layers that pass through a few slots of the GPU. A layer always goes to the same slot, its number modulo their count, so a
 * plan's bindings stay as they are. Forward goes up and backward down: at the turn the last layers are there already, and
 * the first ones when the next micro-batch begins. The queue keeps copies and dispatches in order; only bytes are waited for.
 */
import type { Gpu } from '../device/gpu.ts';
import { UploadBuffer } from '../device/host_visible.ts';
import { IdleClock } from '../device/idle_clock.ts';
import type { Interlude } from '../plan/execution.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { BufferTensor } from '../plan/tensor.ts';
import { Semaphore } from '../semaphore.ts';
import { SLABS_ON_THE_WAY, type SlabSource } from './slabs.ts';

/** Slabs that are read before they are needed. */
const AHEAD = 2;
/** Of them one is with the GPU while the others are read. */
const PASSING = SLABS_ON_THE_WAY - AHEAD;
/** Plain slabs on their way whose work before them is not done: what the host, or the driver, holds at most. */
const IN_FLIGHT = 3;

type Slab = UploadBuffer | Uint8Array<ArrayBuffer>;

/** Since the start: bytes that came to slots, those of them that were read outside host memory, milliseconds that the GPU had nothing to do because a layer was not there. */
export interface StreamingFigures {
  readonly bytesIn: number;
  readonly bytesRead: number;
  readonly stallMs: number;
}

export class LayerRing {
  readonly #gpu: Gpu;
  readonly #slots: readonly BufferTensor[];
  readonly #source: SlabSource;
  readonly #idle: IdleClock;
  /** The layer that each slot holds once all that was submitted is done. */
  readonly #held: (number | null)[];
  readonly #reading = new Map<number, Promise<Slab>>();
  /** Empty, of slabs that were read. */
  readonly #passing: UploadBuffer[] = [];
  readonly #uploads = new Set<UploadBuffer>();
  readonly #room = new Semaphore(PASSING);
  /** False once the host has no memory that the GPU copies from. */
  #hostVisible = true;
  #disposed = false;
  readonly #inFlight: Promise<unknown>[] = [];
  #bytesIn = 0;
  #bytesRead = 0;

  /** @param held what each slot holds already */
  constructor(gpu: Gpu, slots: readonly BufferTensor[], source: SlabSource, held: readonly (number | null)[]) {
    this.#gpu = gpu;
    this.#slots = slots;
    this.#source = source;
    this.#held = [...held];
    this.#idle = new IdleClock(gpu.device);
  }

  get figures(): StreamingFigures {
    return { bytesIn: this.#bytesIn, bytesRead: this.#bytesRead, stallMs: this.#idle.milliseconds };
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

  dispose(): void {
    this.#disposed = true;
    this.#reading.clear();
    for (const upload of this.#uploads) upload.destroy();
    this.#source.dispose();
  }

  #enter(layer: number, upcoming: readonly number[], flush: Parameters<Interlude>[0]): Promise<void> | void {
    const slot = layer % this.#slots.length;
    if (this.#held[slot] === layer) {
      this.#readAhead(upcoming);
      return;
    }
    // What the slot's layer before is used for comes first, and the GPU has something to do meanwhile.
    flush();
    const resident = this.#source.resident(layer);
    if (!resident) return this.#load(layer, slot, upcoming);
    this.#copy(resident, layer, slot);
    this.#readAhead(upcoming);
  }

  #copy(upload: UploadBuffer, layer: number, slot: number): void {
    const { buffer, offset } = this.#slots[slot];
    this.#bytesIn += upload.copyTo(buffer, offset);
    this.#held[slot] = layer;
  }

  async #load(layer: number, slot: number, upcoming: readonly number[]): Promise<void> {
    const reading = this.#reading.get(layer) ?? this.#read(layer);
    this.#reading.delete(layer);
    const slab = await this.#idle.during(reading);
    if (slab instanceof UploadBuffer) {
      this.#copy(slab, layer, slot);
      this.#recycle(slab);
    } else await this.#write(slab, layer, slot);
    this.#readAhead(upcoming);
  }

  /** Where the GPU cannot copy it by itself. */
  async #write(bytes: Uint8Array<ArrayBuffer>, layer: number, slot: number): Promise<void> {
    const { queue } = this.#gpu.device;
    if (this.#inFlight.length >= IN_FLIGHT) await this.#inFlight.shift();
    queue.writeBuffer(this.#slots[slot].buffer, this.#slots[slot].offset, bytes);
    this.#bytesIn += bytes.byteLength;
    this.#held[slot] = layer;
    this.#inFlight.push(queue.onSubmittedWorkDone().catch(() => undefined));
  }

  /** A slab to where the GPU copies it from, once there is room. */
  async #read(layer: number): Promise<Slab> {
    const waiting = this.#room.take();
    if (waiting) await waiting;
    let upload: UploadBuffer | null = null;
    try {
      upload = this.#passing.pop() ?? (await this.#makeUpload());
      const bytes = await this.#source.read(layer);
      this.#bytesRead += bytes.byteLength;
      await upload?.fill(bytes);
      if (!upload) this.#room.give();
      return upload ?? bytes;
    } catch (error) {
      if (upload && !this.#disposed) this.#passing.push(upload);
      this.#room.give();
      throw error;
    }
  }

  async #makeUpload(): Promise<UploadBuffer | null> {
    if (!this.#hostVisible) return null;
    const bytes = Math.max(...this.#slots.map(({ bytes: size }) => size));
    const upload = await UploadBuffer.make(this.#gpu, 'layers passing through host memory', bytes);
    this.#hostVisible = upload !== null;
    if (upload && this.#disposed) upload.destroy();
    else if (upload) this.#uploads.add(upload);
    return upload;
  }

  /** To be filled again once what was submitted so far has copied it. */
  #recycle(upload: UploadBuffer): void {
    upload.empty();
    const again = () => {
      this.#passing.push(upload);
      this.#room.give();
    };
    // A device that is lost says so elsewhere.
    upload.writable.then(again, () => undefined);
  }

  /** Begins to read the next layers that will not be there, and forgets others that were begun. */
  #readAhead(upcoming: readonly number[]): void {
    const held = [...this.#held];
    const wanted = new Set<number>();
    for (const layer of upcoming) {
      const slot = layer % held.length;
      if (held[slot] !== layer && !this.#source.resident(layer)) wanted.add(layer);
      held[slot] = layer;
      if (wanted.size === AHEAD) break;
    }
    for (const [layer, reading] of this.#reading) {
      if (wanted.has(layer)) continue;
      this.#reading.delete(layer);
      reading.then((slab) => slab instanceof UploadBuffer && this.#recycle(slab)).catch(() => undefined);
    }
    for (const layer of wanted) {
      if (this.#reading.has(layer)) continue;
      const reading = this.#read(layer);
      // Whoever enters the layer hears of it.
      reading.catch(() => undefined);
      this.#reading.set(layer, reading);
    }
  }
}
