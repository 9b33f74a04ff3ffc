import type { Gpu } from './gpu.ts';

/** Copies `bytes` bytes (a multiple of 4) of a buffer to the host. Waits for all work submitted before. */
export async function readBuffer(gpu: Gpu, buffer: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
  const staging = gpu.ledger.create({
    label: `read-back of ${buffer.label}`,
    size: bytes,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    category: 'staging',
  });
  try {
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, bytes);
    gpu.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    return staging.getMappedRange().slice(0, bytes);
  } finally {
    gpu.ledger.destroy(staging);
  }
}
