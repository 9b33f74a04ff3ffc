/** All that was measured on a device, as it is kept with the browser's data and with a run. */
import type { Gpu } from '../device/gpu.ts';
import type { KeptChoices } from './measured_choices.ts';

export interface KernelChoices {
  readonly matmuls: KeptChoices;
  /** Runs of before it was measured have none. */
  readonly attention?: KeptChoices;
}

export const measuredChoices = (gpu: Gpu): KernelChoices => ({
  matmuls: gpu.matmulChoices.kept(),
  attention: gpu.attentionChoices.kept(),
});

export function restoreMeasured(gpu: Gpu, { matmuls, attention = {} }: KernelChoices): void {
  gpu.matmulChoices.restore(matmuls);
  gpu.attentionChoices.restore(attention);
}

/** These and no others: what a run was started with and keeps to its end. */
export function pinChoices(gpu: Gpu, { matmuls, attention = {} }: KernelChoices): void {
  gpu.matmulChoices.pin(matmuls);
  gpu.attentionChoices.pin(attention);
}
