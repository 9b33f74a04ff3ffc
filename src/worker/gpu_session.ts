/** One run's time with the GPU: gets the device, says what it is, and sees that nothing of it is left behind. */
import { type AcquireOptions, acquireGpu, type Gpu } from '../engine/device/gpu.ts';
import type { WorkerPorts } from './ports.ts';
import type { AdapterInfo } from './protocol.ts';

export class DeviceLostError extends Error {
  override name = 'DeviceLostError';
}

/** Buffers that a run did not give back: a fault in the studio, not in the input. */
export class GpuLeakError extends Error {
  override name = 'GpuLeakError';
}

/**
 * Runs `use` on a device of its own and disposes of it.
 *
 * @throws NoGpuError, DeviceLostError; GpuLeakError naming what is still allocated after `use` has returned.
 */
export async function withGpu<T>(
  ports: WorkerPorts,
  onDevice: (adapter: AdapterInfo) => void,
  use: (gpu: Gpu) => Promise<T>,
  options: AcquireOptions = {},
): Promise<T> {
  const gpu = await acquireGpu(await ports.requestGpu(), options);
  let lost: GPUDeviceLostInfo | null = null;
  void gpu.lost.then((info) => {
    lost = info;
  });
  const { name, features, subgroupSize } = gpu.capabilities;
  onDevice({ name, features, subgroupSize });
  try {
    const result = await use(gpu);
    gpu.check();
    const leaks = gpu.ledger.leaks();
    if (leaks.length > 0) {
      throw new GpuLeakError(
        `${leaks.length} GPU buffers were not freed: ${[...new Set(leaks)].slice(0, 20).join(', ')}. Please report this.`,
      );
    }
    return result;
  } catch (error) {
    // What a lost device makes fail first says little; why it was lost says what to do.
    await Promise.resolve();
    if (lost) throw lostError(lost, name, error);
    throw error;
  } finally {
    gpu.dispose();
  }
}

function lostError({ reason, message }: GPUDeviceLostInfo, adapter: string, cause: unknown): DeviceLostError {
  return new DeviceLostError(
    `The graphics device ${adapter} was lost (${reason}: ${message}). Close other programs that use the GPU, update its ` +
      'driver, or try a shorter max_length; then start again.',
    { cause },
  );
}
