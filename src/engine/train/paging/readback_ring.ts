/** Buffers through which pages leave the GPU, a few at a time, without anyone waiting for all work before. */
import type { Gpu } from '../../device/gpu.ts';
import type { MappedPage } from './host_tier.ts';
import { Semaphore } from './semaphore.ts';

export class ReadbackRing {
  readonly #gpu: Gpu;
  readonly #bytes: number;
  readonly #free: GPUBuffer[];
  readonly #all: readonly GPUBuffer[];
  readonly #available: Semaphore;

  constructor(gpu: Gpu, bytes: number, count: number) {
    this.#gpu = gpu;
    this.#bytes = bytes;
    this.#all = Array.from({ length: count }, (_, i) =>
      gpu.ledger.create({
        label: `pages on their way out ${i}`,
        size: bytes,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
        category: 'staging',
      }),
    );
    this.#free = [...this.#all];
    this.#available = new Semaphore(count);
  }

  /** Null where a buffer is free; else when one is. A {@link copy} must follow. */
  take(): Promise<void> | null {
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

  dispose(): void {
    for (const buffer of this.#all) this.#gpu.ledger.destroy(buffer);
  }
}
