/**
 * Measured kernel choices, kept in this browser by graphics adapter: measured at the first run on a device, read at the
 * next. Storage that is denied or full costs a measurement, nothing else.
 */
import { get, set } from 'idb-keyval';
import type { Gpu } from '../engine/device/gpu.ts';
import { type KernelChoices, measuredChoices, restoreMeasured } from '../engine/tuning/kernel_choices.ts';

/** Goes up when kernels change so that what was measured no longer says which is fastest. */
const KERNELS_VERSION = 2;

const keyOf = ({ capabilities }: Gpu) =>
  `kernel choices ${KERNELS_VERSION} ${capabilities.name} ${capabilities.enabled.join(' ')}`;

export async function restoreChoices(gpu: Gpu): Promise<void> {
  try {
    const kept = await get<KernelChoices>(keyOf(gpu));
    if (kept) restoreMeasured(gpu, kept);
  } catch {
    // Measured again.
  }
}

export async function keepChoices(gpu: Gpu): Promise<void> {
  try {
    await set(keyOf(gpu), measuredChoices(gpu));
  } catch {
    // Measured again at the next visit.
  }
}
