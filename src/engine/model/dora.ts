/** DoRA's norms of all adapted linears: where they lie, and their computation whenever A or B has changed. */
import type { Gpu } from '../device/gpu.ts';
import { doraNorms } from '../kernels/dora.ts';
import { Arena } from '../plan/arena.ts';
import { PlanBuilder } from '../plan/plan.ts';
import { bufferTensor } from '../plan/tensor.ts';
import { type AdaptedModel, type DoraNorms, groupOf } from './decoder.ts';
import { type LoraOptions, linearGroups } from './lora.ts';

/** Null without DoRA. The buffer belongs to the caller. */
export function createDoraNorms(gpu: Gpu, { adapters, dora }: LoraOptions): DoraNorms | null {
  if (!dora) return null;
  const at = new Map<string, number>();
  let count = 0;
  for (const { path, linear } of adapters.values()) {
    at.set(path, count);
    count += linear.outFeatures;
  }
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = gpu.ledger.create({ label: 'DoRA norms', size: count * 4, usage, category: 'adapter' });
  return { tensor: bufferTensor('DoRA norms', buffer), at };
}

/** ‖W + s·B·A‖ of every output of every adapted linear, from A and B as they are then. Nothing without DoRA. */
export function recordDoraNorms(plan: PlanBuilder, d: AdaptedModel): void {
  if (!d.doraNorms) return;
  const enter = d.weights.visits(plan, [...d.spec.layers.keys()]);
  for (const layer of d.spec.layers.keys()) {
    enter();
    for (const linears of linearGroups(d.spec)) {
      const { weights, adapter } = groupOf(d, layer, linears);
      if (adapter) doraNorms(plan, { group: weights, adapter, norms: d.doraNorms.tensor });
    }
  }
}

/**
 * The norms of the adapter that a run starts from; with `magnitudes` these start as the norms are, which is how DoRA
 * begins.
 */
export async function startDora(gpu: Gpu, d: AdaptedModel, step: GPUBuffer, magnitudes: boolean): Promise<void> {
  if (!d.doraNorms) return;
  const builder = new PlanBuilder(gpu, 1);
  recordDoraNorms(builder, d);
  const plan = await builder.finish(new Arena(gpu.ledger, []), step);
  await plan.run(1);
  plan.dispose();
  if (!magnitudes) return;
  for (const [path, at] of d.doraNorms.at) {
    d.state.copy(`${path}.lora_magnitude_vector`, d.doraNorms.tensor.buffer, at * 4);
  }
}
