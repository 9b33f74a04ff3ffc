/**
 * Measured kernel choices, kept in this browser by graphics adapter: measured at the first run on a device, read at the
 * next. Storage that is denied or full costs a measurement, nothing else.
 */
import { get, set } from 'idb-keyval';
import type { Gpu } from '../engine/device/gpu.ts';
import type { KeptChoices } from '../engine/tuning/matmul_choices.ts';

/** Goes up when kernels change so that what was measured no longer says which is fastest. */
const KERNELS_VERSION = 1;

const keyOf = ({ capabilities }: Gpu) =>
  `matmul choices ${KERNELS_VERSION} ${capabilities.name} ${capabilities.enabled.join(' ')}`;

export async function restoreChoices(gpu: Gpu): Promise<void> {
  try {
    const kept = await get<KeptChoices>(keyOf(gpu));
    if (kept) gpu.matmulChoices.restore(kept);
  } catch {
    // Measured again.
  }
}

export async function keepChoices(gpu: Gpu): Promise<void> {
  try {
    await set(keyOf(gpu), gpu.matmulChoices.kept());
  } catch {
    // Measured again at the next visit.
  }
}
