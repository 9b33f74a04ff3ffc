/** A device with little room, for tests. */
import { vi } from 'vitest';
import type { Gpu } from '../gpu.ts';

/**
 * Room for so many bytes of moments and arenas: beyond, what is made is reported as out of memory, until `vi.restoreAllMocks()`.
 * Returns what tells the bytes that are taken.
 */
export function limitRoom({ device }: Gpu, bytes: number): () => number {
  const create = device.createBuffer.bind(device);
  const pop = device.popErrorScope.bind(device);
  const sizes = new Map<GPUBuffer, number>();
  const taken = () => [...sizes.values()].reduce((a, b) => a + b, 0);
  vi.spyOn(device, 'createBuffer').mockImplementation((descriptor) => {
    const buffer = create(descriptor);
    if (!/^(moments|arena)/.test(descriptor.label ?? '')) return buffer;
    sizes.set(buffer, descriptor.size);
    const destroy = buffer.destroy.bind(buffer);
    buffer.destroy = () => {
      sizes.delete(buffer);
      return destroy();
    };
    return buffer;
  });
  vi.spyOn(device, 'popErrorScope').mockImplementation(async () => {
    const error = await pop();
    return error ?? (taken() > bytes ? new GPUOutOfMemoryError('injected') : null);
  });
  return taken;
}
