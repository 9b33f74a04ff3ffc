/** Buffers through which pages leave the GPU, a few at a time, without anyone waiting for all work before. */
import type { Gpu } from '../../device/gpu.ts';
import { hostVisible } from '../../device/host_visible.ts';
import { Semaphore } from '../../semaphore.ts';

/** A page's bytes in a mapped buffer. */
export interface MappedPage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The bytes are no longer looked at. */
  release(): void;
}

/** Buffers that are there from the start. */
const LEAST = 2;

export class ReadbackRing {
  readonly #gpu: Gpu;
  readonly #bytes: number;
  readonly #free: GPUBuffer[] = [];
  readonly #all = new Set<GPUBuffer>();
  readonly #available: Semaphore;
  #most: number;
  /** Made, or being made. */
  #count: number;
  #disposed = false;

  /** @param most buffers; all but the first are made when there is need of them */
  constructor(gpu: Gpu, bytes: number, most: number) {
    this.#gpu = gpu;
    this.#bytes = bytes;
    this.#most = most;
    this.#count = Math.min(LEAST, most);
    for (let i = 0; i < this.#count; i++) this.#add(gpu.ledger.create(this.#request));
    this.#available = new Semaphore(this.#count);
  }

  /** Of all buffers. */
  get hostBytes(): number {
    return this.#all.size * this.#bytes;
  }

  /** Null where a buffer is free; else when one is. A {@link copy} must follow. */
  take(): Promise<void> | null {
    if (this.#available.free === 0 && this.#count < this.#most) return this.#grow();
    return this.#available.take();
  }

  /** Copies a page out, after all that was submitted before; rejects when the device or the ring is gone. */
  copy(source: GPUBuffer, offset: number): Promise<MappedPage> {
    const buffer = this.#free.pop();
    if (!buffer) throw new Error('a page leaves before a buffer was taken for it');
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(source, offset, buffer, 0, this.#bytes);
    device.queue.submit([encoder.finish()]);
    return buffer.mapAsync(GPUMapMode.READ).then(() => ({
      bytes: new Uint8Array(buffer.getMappedRange()),
      release: () => {
        buffer.unmap();
        this.#free.push(buffer);
        this.#available.give();
      },
    }));
  }

  /** Has at most so many from now on. While no page is on its way. */
  limit(most: number): void {
    this.#most = most;
    while (this.#all.size > this.#most && this.#free.length > 0) {
      const buffer = this.#free.pop()!;
      // Free, so that nothing is waited for.
      this.#available.take();
      this.#all.delete(buffer);
      this.#count--;
      this.#gpu.ledger.destroy(buffer);
    }
  }

  dispose(): void {
    this.#disposed = true;
    for (const buffer of this.#all) this.#gpu.ledger.destroy(buffer);
    this.#all.clear();
  }

  get #request() {
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    return { label: 'pages on their way out', size: this.#bytes, usage, category: 'host' } as const;
  }

  /** One more, for who asked; where there is no room for it, one of those that are there, once it is free. */
  async #grow(): Promise<void> {
    this.#count++;
    const buffer = await hostVisible(this.#gpu, this.#request);
    if (buffer && this.#disposed) this.#gpu.ledger.destroy(buffer);
    else if (buffer) this.#add(buffer);
    if (buffer) return;
    this.#count--;
    this.#most = this.#count;
    await this.#available.take();
  }

  #add(buffer: GPUBuffer): void {
    this.#all.add(buffer);
    this.#free.push(buffer);
  }
}
