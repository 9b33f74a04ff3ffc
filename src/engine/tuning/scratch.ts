/** Operands to measure with: one buffer a name, as large as any problem asked for. */
import type { Gpu } from '../device/gpu.ts';
import { type BufferTensor, bufferTensor } from '../plan/tensor.ts';

export class Scratch {
  readonly #gpu: Gpu;
  readonly #buffers = new Map<string, GPUBuffer>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** At least so many bytes: zeros, or what was measured before. A larger one takes the place of a smaller: no plan may use that any more. */
  tensor(name: string, bytes: number): BufferTensor {
    let buffer = this.#buffers.get(name);
    if (!buffer || buffer.size < bytes) {
      if (buffer) this.#gpu.ledger.destroy(buffer);
      buffer = this.#gpu.ledger.create({
        label: `tuning ${name}`,
        size: Math.ceil(bytes / 256) * 256,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
        category: 'staging',
      });
      this.#buffers.set(name, buffer);
    }
    return bufferTensor(name, buffer);
  }

  put(name: string, data: Uint32Array<ArrayBuffer>): BufferTensor {
    const tensor = this.tensor(name, data.byteLength);
    this.#gpu.device.queue.writeBuffer(tensor.buffer, 0, data);
    return tensor;
  }

  dispose(): void {
    for (const buffer of this.#buffers.values()) this.#gpu.ledger.destroy(buffer);
    this.#buffers.clear();
  }
}
