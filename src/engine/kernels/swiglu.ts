import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, input, output } from './kernel.ts';

/** y [T, width] = silu(gate) · up; gate_up [T, 2·width] (Shazeer 2020). Relative error ≤ 1e-5. */
export const swigluKernel = defineKernel({
  name: 'swiglu',
  shader: 'swiglu.wgsl',
  bindings: { gate_up: input('f32'), y: output('f32') },
  params: { width: 'u32' },
  constants: {},
});

export function swiglu(plan: PlanBuilder, { gateUp, y, width }: { gateUp: Tensor; y: Tensor; width: number }): void {
  plan.dispatch(swigluKernel, {
    bindings: { gate_up: gateUp, y },
    params: { width },
    workgroups: (tokens) => grid(Math.ceil((tokens * width) / 64)),
    flopsPerToken: 8 * width,
  });
}

/** d_gate_up [T, 2·width] from dy [T, width], and activated [T, width], swiglu's result again. Relative error ≤ 1e-5. */
export const swigluBackwardKernel = defineKernel({
  name: 'swiglu_backward',
  shader: 'swiglu_backward.wgsl',
  bindings: { gate_up: input('f32'), dy: input('f32'), d_gate_up: output('f32'), activated: output('f32') },
  params: { width: 'u32' },
  constants: {},
});

export interface SwigluBackwardOptions {
  readonly gateUp: Tensor;
  readonly dy: Tensor;
  readonly dGateUp: Tensor;
  readonly activated: Tensor;
  readonly width: number;
}

export function swigluBackward(plan: PlanBuilder, options: SwigluBackwardOptions): void {
  const { gateUp, dy, dGateUp, activated, width } = options;
  plan.dispatch(swigluBackwardKernel, {
    bindings: { gate_up: gateUp, dy, d_gate_up: dGateUp, activated },
    params: { width },
    workgroups: (tokens) => grid(Math.ceil((tokens * width) / 64)),
    flopsPerToken: 16 * width,
  });
}
