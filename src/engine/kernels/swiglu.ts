import type { ModelSpec } from '../../formats/model_spec.ts';
import type { PlanBuilder } from '../plan/plan.ts';
import { inHalves, type Tensor } from '../plan/tensor.ts';
import { defineKernel, grid, inNumbers, input, numbers, output } from './kernel.ts';

export type Activation = ModelSpec['activation'];

/**
 * y [T, width] = f(gate) · up, f SiLU or GELU's tanh form (then it is called GeGLU); gate_up [T, 2·width] (Shazeer 2020).
 * Relative error ≤ 1e-5.
 *
 * @param halves both are in 16 bits
 */
export function swigluKernel(activation: Activation, vectors: boolean, halves = false) {
  const type = numbers(vectors, halves);
  return defineKernel({
    name: 'swiglu',
    shader: 'swiglu.wgsl',
    bindings: { gate_up: input(type), y: output(type) },
    params: { width: 'u32' },
    constants: { GELU: activation === 'gelu_tanh', VECTORS: vectors },
  });
}

export interface SwigluOptions {
  readonly activation: Activation;
  readonly gateUp: Tensor;
  readonly y: Tensor;
  readonly width: number;
}

export function swiglu(plan: PlanBuilder, { activation, gateUp, y, width }: SwigluOptions): void {
  const { count, vectors } = inNumbers(width);
  plan.dispatch(swigluKernel(activation, vectors, inHalves(y)), {
    bindings: { gate_up: gateUp, y },
    params: { width: count },
    workgroups: (tokens) => grid(Math.ceil((tokens * count) / 64)),
    flopsPerToken: 8 * width,
  });
}

/**
 * d_gate_up [T, 2·width] from dy [T, width], and activated [T, width], swiglu's result again. Relative error ≤ 1e-5.
 *
 * @param halves gate_up and activated are in 16 bits
 */
export function swigluBackwardKernel(activation: Activation, vectors: boolean, halves = false) {
  const type = numbers(vectors);
  const kept = numbers(vectors, halves);
  return defineKernel({
    name: 'swiglu_backward',
    shader: 'swiglu_backward.wgsl',
    bindings: { gate_up: input(kept), dy: input(type), d_gate_up: output(type), activated: output(kept) },
    params: { width: 'u32' },
    constants: { GELU: activation === 'gelu_tanh', VECTORS: vectors },
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
  const { count, vectors } = inNumbers(width);
  plan.dispatch(swigluBackwardKernel(activation, vectors, inHalves(activated)), {
    bindings: { gate_up: gateUp, dy, d_gate_up: dGateUp, activated },
    params: { width: count },
    workgroups: (tokens) => grid(Math.ceil((tokens * count) / 64)),
    flopsPerToken: 16 * width,
  });
}
