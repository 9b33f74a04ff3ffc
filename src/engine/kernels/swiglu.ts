import type { ModelSpec } from '../../formats/model_spec.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import type { Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, input, output } from './kernel.ts';

export type Activation = ModelSpec['activation'];

/**
 * y [T, width] = f(gate) · up, f SiLU or GELU's tanh form (then it is called GeGLU); gate_up [T, 2·width] (Shazeer 2020).
 * Relative error ≤ 1e-5.
 */
export function swigluKernel(activation: Activation) {
  return defineKernel({
    name: 'swiglu',
    shader: 'swiglu.wgsl',
    bindings: { gate_up: input('f32'), y: output('f32') },
    params: { width: 'u32' },
    constants: { GELU: activation === 'gelu_tanh' },
  });
}

export interface SwigluOptions {
  readonly activation: Activation;
  readonly gateUp: Tensor;
  readonly y: Tensor;
  readonly width: number;
}

export function swiglu(plan: PlanBuilder, { activation, gateUp, y, width }: SwigluOptions): void {
  plan.dispatch(swigluKernel(activation), {
    bindings: { gate_up: gateUp, y },
    params: { width },
    workgroups: (tokens) => grid(Math.ceil((tokens * width) / 64)),
    flopsPerToken: 8 * width,
  });
}

/** d_gate_up [T, 2·width] from dy [T, width], and activated [T, width], swiglu's result again. Relative error ≤ 1e-5. */
export function swigluBackwardKernel(activation: Activation) {
  return defineKernel({
    name: 'swiglu_backward',
    shader: 'swiglu_backward.wgsl',
    bindings: { gate_up: input('f32'), dy: input('f32'), d_gate_up: output('f32'), activated: output('f32') },
    params: { width: 'u32' },
    constants: { GELU: activation === 'gelu_tanh' },
  });
}

export interface SwigluBackwardOptions {
  readonly activation: Activation;
  readonly gateUp: Tensor;
  readonly dy: Tensor;
  readonly dGateUp: Tensor;
  readonly activated: Tensor;
  readonly width: number;
}

export function swigluBackward(plan: PlanBuilder, options: SwigluBackwardOptions): void {
  const { activation, gateUp, dy, dGateUp, activated, width } = options;
  plan.dispatch(swigluBackwardKernel(activation), {
    bindings: { gate_up: gateUp, dy, d_gate_up: dGateUp, activated },
    params: { width },
    workgroups: (tokens) => grid(Math.ceil((tokens * width) / 64)),
    flopsPerToken: 16 * width,
  });
}
