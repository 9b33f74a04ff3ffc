/** The GPU's own times of compute passes (the feature `timestamp-query`). */
import type { Gpu } from '../device/gpu.ts';
import { readBuffer } from '../device/readback.ts';

/** WebGPU's limit. */
const QUERIES_A_SET = 4096;

/** When a pass was begun and ended, in milliseconds since the first pass began. */
export interface Span {
  readonly begin: number;
  readonly end: number;
}

/** Two queries a pass, in as many sets as that takes. */
export class PassTimestamps {
  readonly #gpu: Gpu;
  readonly #passes: number;
  readonly #sets: GPUQuerySet[] = [];
  readonly #resolved: GPUBuffer;

  constructor(gpu: Gpu, passes: number) {
    this.#gpu = gpu;
    this.#passes = passes;
    const queries = 2 * passes;
    this.#resolved = gpu.ledger.create({
      label: 'timestamps',
      size: queries * 8,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      category: 'staging',
    });
    for (let first = 0; first < queries; first += QUERIES_A_SET) {
      const count = Math.min(QUERIES_A_SET, queries - first);
      this.#sets.push(gpu.device.createQuerySet({ type: 'timestamp', count }));
    }
  }

  writes(pass: number): GPUComputePassTimestampWrites {
    const query = 2 * pass;
    const at = query % QUERIES_A_SET;
    return {
      querySet: this.#sets[Math.floor(query / QUERIES_A_SET)],
      beginningOfPassWriteIndex: at,
      endOfPassWriteIndex: at + 1,
    };
  }

  /** After all passes have been submitted. Waits for them. */
  async read(): Promise<Span[]> {
    const encoder = this.#gpu.device.createCommandEncoder();
    for (const [i, set] of this.#sets.entries()) {
      encoder.resolveQuerySet(set, 0, set.count, this.#resolved, i * QUERIES_A_SET * 8);
    }
    this.#gpu.device.queue.submit([encoder.finish()]);
    const bytes = await readBuffer(this.#gpu, this.#resolved, 0, 2 * this.#passes * 8);
    const nanoseconds = new BigUint64Array(bytes);
    // Differences first: nanoseconds since the machine started do not fit a double.
    const milliseconds = (query: number) => Number(nanoseconds[query] - nanoseconds[0]) / 1e6;
    return Array.from({ length: this.#passes }, (_, pass) => ({
      begin: milliseconds(2 * pass),
      end: milliseconds(2 * pass + 1),
    }));
  }

  dispose(): void {
    for (const set of this.#sets) set.destroy();
    this.#gpu.ledger.destroy(this.#resolved);
  }
}
