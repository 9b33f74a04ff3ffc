/** Allocating where the device may have too little memory. */
import type { Gpu } from './gpu.ts';
import { GpuMemoryError } from './ledger.ts';

/** The device has no room for a buffer that its limits allow: with less it may go. */
export class OutOfGpuMemoryError extends GpuMemoryError {}

/**
 * Runs `make`, which allocates and must not wait, and rejects with {@link OutOfGpuMemoryError} when the device has no
 * room for what it made; all of that is freed then.
 */
export async function allocate<T>({ device, ledger }: Gpu, make: () => T): Promise<T> {
  const before = new Set(ledger.buffers());
  device.pushErrorScope('out-of-memory');
  let made: T | undefined;
  let thrown: unknown;
  try {
    made = make();
  } catch (error) {
    thrown = error;
  }
  const added = ledger.buffers().filter((buffer) => !before.has(buffer));
  const outOfMemory = await device.popErrorScope();
  if (thrown === undefined && !outOfMemory) return made as T;
  for (const buffer of added) ledger.destroy(buffer);
  if (thrown !== undefined) throw thrown;
  throw new OutOfGpuMemoryError(
    `The GPU has no memory left (${outOfMemory?.message}). Close other programs that use the GPU, or try a smaller r, ` +
      'fewer target_modules or a smaller model.',
  );
}

const GIB = 2 ** 30;

/**
 * Bytes of GPU memory that a page may count on. WebGPU does not tell how much there is, nor how much is free: twice the
 * largest buffer that the device allows, but at least 2 GiB and at most 8, is a guess. Where it is too much, allocating
 * fails and less is asked for.
 */
export const assumedMemoryBytes = (maxBufferBytes: number): number =>
  Math.min(8 * GIB, Math.max(2 * GIB, 2 * maxBufferBytes));
