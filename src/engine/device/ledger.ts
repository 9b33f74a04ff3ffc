/** Every GPU buffer has an owner and a category; the sums are shown, predicted and asserted zero after disposal. */

export const MEMORY_CATEGORIES = [
  'weights',
  'adapter',
  'optimizer',
  'activations',
  'logits',
  'cache',
  'staging',
] as const;
export type MemoryCategory = (typeof MEMORY_CATEGORIES)[number];
/** Memory of the host that the GPU copies from and to: counted by itself, and in no sum of GPU memory. */
export type BufferCategory = MemoryCategory | 'host';

export interface BufferRequest {
  /** Who holds it, for error messages and GPU debuggers. */
  readonly label: string;
  /** Bytes; rounded up to a multiple of 4. */
  readonly size: number;
  readonly usage: GPUBufferUsageFlags;
  readonly category: BufferCategory;
  /** To be filled before it is first used. */
  readonly mappedAtCreation?: boolean;
}

export class GpuMemoryError extends Error {
  override name = 'GpuMemoryError';
}

/** A size in words. */
export const readable = (bytes: number) =>
  bytes < 2 ** 20
    ? `${bytes} bytes`
    : bytes < 2 ** 30
      ? `${(bytes / 2 ** 20).toFixed(1)} MiB`
      : `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/** Creates and destroys the buffers of one device, and knows what is allocated. */
export class MemoryLedger {
  readonly #device: GPUDevice;
  readonly #live = new Map<GPUBuffer, { bytes: number; category: BufferCategory }>();
  #peak = 0;
  #peakByCategory: Record<MemoryCategory, number>;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#peakByCategory = this.byCategory();
  }

  /** Throws {@link GpuMemoryError} when the device's limit forbids a buffer of this size. */
  create({ label, size, usage, category, mappedAtCreation = false }: BufferRequest): GPUBuffer {
    const bytes = Math.max(4, Math.ceil(size / 4) * 4);
    if (bytes > this.#device.limits.maxBufferSize) {
      throw new GpuMemoryError(
        `${label} needs one buffer of ${readable(bytes)}; this device allows ${readable(this.#device.limits.maxBufferSize)}. ` +
          'Try a shorter max_length, a smaller batch, or a smaller model.',
      );
    }
    const buffer = this.#device.createBuffer({ label, size: bytes, usage, mappedAtCreation });
    this.#live.set(buffer, { bytes, category });
    const total = this.total();
    if (total > this.#peak) {
      this.#peak = total;
      this.#peakByCategory = this.byCategory();
    }
    return buffer;
  }

  destroy(buffer: GPUBuffer): void {
    if (!this.#live.delete(buffer)) throw new Error(`buffer ${buffer.label} is not in the ledger: destroyed twice?`);
    buffer.destroy();
  }

  /** Bytes of GPU memory now allocated, by category. */
  byCategory(): Record<MemoryCategory, number> {
    const sums = Object.fromEntries(MEMORY_CATEGORIES.map((c) => [c, 0])) as Record<MemoryCategory, number>;
    for (const { bytes, category } of this.#live.values()) if (category !== 'host') sums[category] += bytes;
    return sums;
  }

  /** Bytes of GPU memory. */
  total(): number {
    let sum = 0;
    for (const { bytes, category } of this.#live.values()) if (category !== 'host') sum += bytes;
    return sum;
  }

  /** Bytes of host memory that the GPU copies from and to. */
  get hostBytes(): number {
    let sum = 0;
    for (const { bytes, category } of this.#live.values()) if (category === 'host') sum += bytes;
    return sum;
  }

  /** The most bytes of GPU memory that were allocated at once. */
  get peak(): number {
    return this.#peak;
  }

  /** The categories' bytes at the moment of {@link peak}: what adds up to it. */
  get peakByCategory(): Record<MemoryCategory, number> {
    return { ...this.#peakByCategory };
  }

  /** Starts the search for a peak anew from what is allocated now. */
  resetPeak(): void {
    this.#peak = this.total();
    this.#peakByCategory = this.byCategory();
  }

  /** What is allocated now. */
  buffers(): GPUBuffer[] {
    return [...this.#live.keys()];
  }

  /** Labels of what is still allocated: empty after disposal. */
  leaks(): string[] {
    return [...this.#live.keys()].map((buffer) => buffer.label);
  }
}
