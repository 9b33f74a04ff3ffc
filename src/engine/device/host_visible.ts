/**
 * Host memory that the GPU copies from by itself (docs/decisions/0014): filled ahead, it comes to the GPU at the bus's speed,
 * and nobody copies bytes while the GPU waits.
 */
import type { Gpu } from './gpu.ts';
import type { BufferRequest } from './ledger.ts';

/** A buffer of the host's memory; null where there is none left for it, which is no failure of the device. */
export async function hostVisible({ device, ledger }: Gpu, request: BufferRequest): Promise<GPUBuffer | null> {
  device.pushErrorScope('out-of-memory');
  let buffer: GPUBuffer | null = null;
  try {
    buffer = ledger.create(request);
  } catch {
    // A browser says so at once where it has no memory to map.
  }
  const error = await device.popErrorScope().catch((lost: unknown) => lost);
  if (buffer && error) ledger.destroy(buffer);
  return error ? null : buffer;
}

/** Bytes that wait in host memory for the GPU to copy them. Holds them once, or is empty and can be filled. */
export class UploadBuffer {
  readonly #gpu: Gpu;
  readonly #buffer: GPUBuffer;
  readonly byteLength: number;
  /** Resolves when the bytes can be written: what was submitted before has copied the ones before. */
  #writable: Promise<void> = Promise.resolve();
  /** Bytes in it, from the beginning. */
  #filled = 0;
  #destroyed = false;

  private constructor(gpu: Gpu, buffer: GPUBuffer, byteLength: number) {
    this.#gpu = gpu;
    this.#buffer = buffer;
    this.byteLength = byteLength;
  }

  /** Null where the device has none, or no more. */
  static async make(gpu: Gpu, label: string, byteLength: number): Promise<UploadBuffer | null> {
    const usage = GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC;
    const request = { label, size: byteLength, usage, category: 'host', mappedAtCreation: true } as const;
    const buffer = await hostVisible(gpu, request);
    return buffer && new UploadBuffer(gpu, buffer, byteLength);
  }

  /** Bytes are in it. */
  get full(): boolean {
    return this.#filled > 0;
  }

  /** When it can be filled. */
  get writable(): Promise<void> {
    return this.#writable;
  }

  /** What the bytes are copied from, again and again where {@link empty} is never called. */
  get source(): GPUBuffer {
    if (!this.full) throw new Error(`${this.#buffer.label}: copied from before it was filled`);
    return this.#buffer;
  }

  /** Waits until its bytes before are with the GPU. `bytes` are looked at then, and not again. */
  async fill(bytes: Uint8Array): Promise<void> {
    if (this.full) throw new Error(`${this.#buffer.label}: filled twice`);
    await this.#writable;
    new Uint8Array(this.#buffer.getMappedRange(), 0, bytes.byteLength).set(bytes);
    this.#buffer.unmap();
    this.#filled = bytes.byteLength;
  }

  /** Submits a copy of its bytes. They stay until it is {@link empty}. Returns their number. */
  copyTo(target: GPUBuffer, offset = 0): number {
    const { device } = this.#gpu;
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.source, 0, target, offset, this.#filled);
    device.queue.submit([encoder.finish()]);
    return this.#filled;
  }

  /** Lets go of the bytes once what was submitted so far has copied them. */
  empty(): void {
    this.#filled = 0;
    this.#writable = this.#buffer.mapAsync(GPUMapMode.WRITE);
    // Whoever fills it hears of it.
    this.#writable.catch(() => undefined);
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#gpu.ledger.destroy(this.#buffer);
  }
}
